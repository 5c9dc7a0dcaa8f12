/* The native engine for linear predictors, FORMAT.md's section on them: what march.h is for
 * networks. Errors, sets, messages and memory are as there. */
#ifndef JAXSLICE_LINEAR_H
#define JAXSLICE_LINEAR_H

#include "march.h"

/* What a block is coded with. All counts are checked against the sizes given here. */
struct linear_task {
    int32_t context_count; /* C */
    int32_t fallback;      /* index of a context voxel */
    int32_t shear;
    int32_t scales;        /* T */
    int32_t phases;        /* 1, 2 or 4 */
    int32_t exponent;      /* of the weights */
    int32_t first;         /* scale of the lowest table */
    int32_t offset;        /* of the activity */
    int32_t block_shape[3];    /* z, y, x */
    int32_t extent[3];         /* z, y, x, each at least 1 */
    int32_t level_count_size;  /* entries of level_counts: extent[0] */
    int32_t unused;            /* 0: the pointers that follow are aligned without it, too */
    const int32_t *context;    /* [C][3]: dz, dy, dx */
    const int8_t *weights;     /* [C] */
    const uint8_t *activity_weights; /* [C] */
    const uint8_t *curves;     /* [T][5]: two means (signed), two inverses, a weight */
    const int32_t *level_counts; /* levels of each slice of the extent */
};

/* As the functions of march.h whose names end alike. */
MARCH_API int64_t linear_scratch_bytes(const struct linear_task *task, int32_t set);
MARCH_API int64_t linear_decode(const struct linear_task *task, int32_t set,
                                const uint32_t *message, int64_t words, uint8_t *symbols,
                                int64_t symbols_size, void *scratch, int64_t scratch_bytes);
MARCH_API int64_t linear_encode(const struct linear_task *task, int32_t set,
                                const uint8_t *symbols, int64_t symbols_size, uint32_t *message,
                                int64_t words, void *scratch, int64_t scratch_bytes);
MARCH_API int64_t linear_task_bytes(void);

#endif
