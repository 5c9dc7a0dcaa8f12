/* What the rounds of the native engine's fuzzer share: choices made from an input's bytes.
 *
 * Choices come from the bytes, so that a coverage-guided fuzzer can steer them, and from a
 * generator of numbers once the bytes are used up. Bulk data (weights, symbols) always come from
 * the generator, whose seed is the first thing that is taken from the bytes. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

#include "linear.h"

/* Small blocks and networks show most faults and are quick; large ones come now and then. */
#ifdef FUZZ_LIBRARY
enum { LARGE_EVERY = 256, DAMAGES = 1 };
#else
enum { LARGE_EVERY = 4, DAMAGES = 4 };
#endif

void fuzz_start(const uint8_t *data, int64_t size);

/* A number below a limit: from the generator, or chosen from the bytes. */
uint32_t noise(uint32_t below);
uint32_t draw(uint32_t below);
int32_t between(int32_t low, int32_t high);

/* From 1 to a number, and now and then up to a larger one. */
int32_t seldom(int32_t often, int32_t most);

/* Memory of exactly that size, so that a step beyond it is found. */
void *room(int64_t bytes);

/* Causal offsets in the order of their distance along a scan; the caller takes the first ones. */
int32_t *new_context(int32_t count, int32_t shear);

/* Fills the block's extent and shape, and the levels of its slices; returns the levels. */
int32_t *new_frame(int32_t *extent, int32_t *block_shape, int32_t voxel_bits);

/* A number that a field may be overwritten with. */
int32_t strange_number(void);

/* Flips some bits of a message. */
void damage_message(uint32_t *message, int64_t words);

/* Each runs one round on an instruction set. Returns 1 if a block was coded, 0 if its task was
 * refused, and -1 if a good message does not come back or two sets differ. */
int network_round(int32_t set);
int linear_round(int32_t set);

/* Counts the levels of some slices and looks them up. Returns 1, or -1 if either is wrong. */
int levels_round(int32_t set);

/* Each has a damaged task checked and laid out, and no more. Returns 0. */
int check_network(int32_t set);
int check_linear(int32_t set);

#endif
