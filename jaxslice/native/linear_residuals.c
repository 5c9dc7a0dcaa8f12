/* What linear predictors leave of a sample of a block's voxels: what a slice's predictor is chosen
 * by. All numbers are integers below 2**24, which a float holds exactly and every machine has
 * vectors of. */
#include "linear_plan.h"

enum { TOGETHER = 32 }; /* voxels of a row */

/* Voxels (z, y, x) .. (z, y, x + TOGETHER - 1) of a block's symbols. */
struct stretch {
    const struct linear_task *task;
    const uint8_t *symbols;
    int32_t z;
    int64_t first;  /* index of the first voxel */
    int32_t voxels; /* up to TOGETHER; the others' numbers are garbage and not used */
};

/* The context voxel's symbols, or NULL before the first slice. */
static const uint8_t *context_of(const struct stretch *s, int32_t c) {
    const int32_t *offset = s->task->context + 3 * c, *extent = s->task->extent;
    if (s->z + offset[0] < 0) return NULL;
    const int64_t rows = (int64_t)offset[0] * extent[1] + offset[1];
    return s->symbols + s->first + rows * extent[2] + offset[2];
}

static void load(const struct stretch *s, const uint8_t *from, float to[TOGETHER]) {
    uint8_t bytes[TOGETHER] = {0};
    if (from && s->voxels == TOGETHER)
        memcpy(bytes, from, TOGETHER);
    else if (from)
        memcpy(bytes, from, (size_t)s->voxels);
    for (int32_t i = 0; i < TOGETHER; i++) to[i] = (float)bytes[i];
}

static void load_reference(const struct stretch *s, float reference[TOGETHER]) {
    float a[TOGETHER], b[TOGETHER], c[TOGETHER], d[TOGETHER];
    load(s, context_of(s, 0), a);
    load(s, context_of(s, 1), b);
    load(s, context_of(s, 2), c);
    load(s, context_of(s, 3), d);
    for (int32_t i = 0; i < TOGETHER; i++)
        reference[i] = (float)((int32_t)(3 * a[i] + 3 * b[i] + c[i] + d[i]) >> 3);
}

/* Adds the sizes of a stretch's residuals to each predictor's sum. */
static void add_residuals(const struct stretch *s, int64_t *sums) {
    const struct linear_task *task = s->task;
    const int32_t count = task->context_count;
    float reference[TOGETHER], wanted[TOGETHER], differences[MAX_CONTEXT][TOGETHER];
    load_reference(s, reference);
    load(s, s->symbols + s->first, wanted);
    for (int32_t i = 0; i < TOGETHER; i++) wanted[i] -= reference[i];
    for (int32_t c = 0; c < count; c++) {
        const uint8_t *values = context_of(s, c);
        load(s, values, differences[c]);
        for (int32_t i = 0; i < TOGETHER; i++)
            differences[c][i] = values ? differences[c][i] - reference[i] : 0;
    }
    for (int32_t p = 0; p < task->predictors; p++, sums += task->extent[0]) {
        const float unit = (float)(1 << task->scalars[3 * p]);
        const int8_t *weights = task->weights + (int64_t)p * count;
        float rest[TOGETHER];
        for (int32_t i = 0; i < TOGETHER; i++) rest[i] = wanted[i] * unit;
        for (int32_t c = 0; c < count; c++) {
            const float weight = (float)weights[c];
            for (int32_t i = 0; i < TOGETHER; i++) rest[i] -= weight * differences[c][i];
        }
        int32_t total = 0; /* below 32 * 2**24 */
        for (int32_t i = s->voxels; i < TOGETHER; i++) rest[i] = 0;
        for (int32_t i = 0; i < TOGETHER; i++) total += (int32_t)(rest[i] < 0 ? -rest[i] : rest[i]);
        *sums += total;
    }
}

/* Whether the context of all rows and columns that are asked for is inside the slice. */
static int is_inside(const struct linear_task *task, const int32_t *rows, int64_t rows_size,
                     int32_t margin) {
    const int32_t height = task->extent[1], width = task->extent[2];
    for (int32_t c = 0; c < task->context_count; c++) {
        const int32_t dy = task->context[3 * c + 1], dx = task->context[3 * c + 2];
        if (margin < dx || margin < -dx) return 0;
        for (int64_t r = 0; r < rows_size; r++)
            if (rows[r] < 0 || rows[r] >= height || rows[r] + dy < 0 || rows[r] + dy >= height)
                return 0;
    }
    return margin >= 0 && 2 * (int64_t)margin < width;
}

int64_t linear_residuals(const struct linear_task *task, const uint8_t *symbols,
                         int64_t symbols_size, const int32_t *rows, int64_t rows_size,
                         int32_t margin, int64_t *sums) {
    const int64_t error = linear_check(task);
    if (error) return error;
    if (!symbols || !rows || !sums) return MARCH_NULL;
    const int32_t depth = task->extent[0], height = task->extent[1], width = task->extent[2];
    if (symbols_size != (int64_t)depth * height * width || rows_size < 0 ||
        !is_inside(task, rows, rows_size, margin))
        return MARCH_BAD_SHAPE;
    memset(sums, 0, (size_t)task->predictors * (size_t)depth * sizeof *sums);
    for (int32_t z = 0; z < depth; z++)
        for (int64_t r = 0; r < rows_size; r++) {
            const int64_t row = ((int64_t)z * height + rows[r]) * width;
            for (int32_t x = margin; x < width - margin; x += TOGETHER) {
                const struct stretch s = {task, symbols, z, row + x,
                                          smaller(TOGETHER, width - margin - x)};
                add_residuals(&s, sums + z);
            }
        }
    return MARCH_OK;
}
