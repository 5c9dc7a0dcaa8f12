/* AVX2: a layer's weights in cells, two and two, whose products 16 bits can add up.
 *
 * `vpmaddubsw` multiplies four inputs of a lane by the four weights of a cell and adds them in
 * pairs, in 16 bits, where they saturate. So only such cells of an output go together that cannot:
 * the weights of each pair are at most 128 in size over both cells, and inputs at most 255. Then
 * both are added up in 16 bits, and once to the 32 bits of the output. A cell that is beyond that
 * alone becomes two, of half the weights each.
 */
#ifndef JAXSLICE_AVX2_PACK_H
#define JAXSLICE_AVX2_PACK_H

#include "plan.h"

enum {
    INPUTS_OF_CELL = 4,
    PAIR_LIMIT = 128,      /* of the sizes of a pair's weights, over two cells */
    BYTES_OF_INPUTS = 128, /* four inputs of 32 lanes */
    /* Of the most cells, two for four inputs, each with a partner of zeros. */
    INTS_OF_GROUP = 8,
};

/* Two cells: where their inputs are, in bytes from the first ones, and their weights. */
struct cell_pair {
    int32_t from[2], weights[2];
};

/* Writes, for each output, how many pairs of cells there are, and these. */
HIDDEN void avx2_pack(const struct layer *layer);

#endif
