/* The native engine for linear predictors, FORMAT.md, section 11: what march.h is for
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
    int32_t predictors;    /* P */
    int32_t block_shape[3];    /* z, y, x */
    int32_t extent[3];         /* z, y, x, each at least 1 */
    int32_t level_count_size;  /* entries of level_counts and of choices: extent[0] */
    int32_t unused;            /* so that the pointers that follow are aligned */
    const int32_t *context;    /* [C][3]: dz, dy, dx */
    const int32_t *scalars;    /* [P][3]: exponent of the weights, lowest scale, offset */
    const int8_t *weights;     /* [P][C] */
    const uint8_t *activity_weights; /* [P][C] */
    const uint8_t *curves;     /* [P][T][5]: two means (signed), two inverses, a weight */
    const uint8_t *choices;    /* predictor of each slice of the extent */
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

/* What each predictor leaves of some rows: the sum, over the rows of each slice, of the sizes of
 * symbols less predictions, times 2**exponent. Context voxels before the first slice count as if
 * they had no difference. `symbols` are those of the extent; all `rows` and the columns from
 * `margin` to `margin` before the end have their context inside the slice; `sums` is
 * [predictors][slices]. Returns 0 or an error. */
MARCH_API int64_t linear_residuals(const struct linear_task *task, const uint8_t *symbols,
                                   int64_t symbols_size, const int32_t *rows, int64_t rows_size,
                                   int32_t margin, int64_t *sums);

#endif
