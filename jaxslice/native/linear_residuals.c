/* What linear predictors leave of a sample of a block's voxels: what a slice's predictor is chosen
 * by. */
#include "linear_plan.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { TOGETHER = 32, VECTORS = TOGETHER / 4 }; /* voxels of a row, and four of them in each */

typedef int16_t pairs __attribute__((vector_size(16))); /* of what two context voxels have */
typedef int32_t sums4 __attribute__((vector_size(16)));

/* The products of pairs, added up. */
static inline sums4 dot_pairs(pairs a, pairs b) {
#if defined(__SSE2__)
    return (sums4)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    sums4 sums;
    for (int i = 0; i < 4; i++) sums[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    return sums;
#endif
}

/* Voxels (z, y, x) .. (z, y, x + TOGETHER - 1) of a block's symbols. */
struct stretch {
    const struct linear_task *task;
    const uint8_t *symbols;
    int32_t z;
    int64_t first;  /* index of the first voxel */
    int32_t voxels; /* up to TOGETHER; the others' numbers are garbage and not used */
};

static void load(const struct stretch *s, const uint8_t *from, uint8_t to[TOGETHER]) {
    if (s->voxels == TOGETHER)
        memcpy(to, from, TOGETHER);
    else
        memcpy(to, from, (size_t)s->voxels);
}

/* The context voxels' symbols, or `outside` before the first slice. */
static void load_context(const struct stretch *s, int32_t c, const uint8_t *outside,
                         uint8_t to[TOGETHER]) {
    const int32_t *offset = s->task->context + 3 * c, *extent = s->task->extent;
    const int64_t rows = (int64_t)offset[0] * extent[1] + offset[1];
    const int is_inside = s->z + offset[0] >= 0;
    load(s, is_inside ? s->symbols + s->first + rows * extent[2] + offset[2] : outside, to);
}

static void load_reference(const struct stretch *s, uint8_t reference[TOGETHER]) {
    const uint8_t zero[TOGETHER] = {0};
    uint8_t a[TOGETHER] = {0}, b[TOGETHER] = {0}, c[TOGETHER] = {0}, d[TOGETHER] = {0};
    load_context(s, 0, zero, a);
    load_context(s, 1, zero, b);
    load_context(s, 2, zero, c);
    load_context(s, 3, zero, d);
    for (int32_t i = 0; i < TOGETHER; i++)
        reference[i] = (uint8_t)((3 * a[i] + 3 * b[i] + c[i] + d[i]) >> 3);
}

/* The differences of context voxels c and c + 1 to the reference; 0 where there is none. */
static void load_differences(const struct stretch *s, int32_t c, const uint8_t *reference,
                             pairs out[VECTORS]) {
    uint8_t a[TOGETHER] = {0}, b[TOGETHER] = {0};
    int16_t both[2 * TOGETHER];
    load_context(s, c, reference, a);
    if (c + 1 < s->task->context_count)
        load_context(s, c + 1, reference, b);
    else
        memcpy(b, reference, TOGETHER);
    for (int32_t i = 0; i < TOGETHER; i++) {
        both[2 * i] = (int16_t)(a[i] - reference[i]);
        both[2 * i + 1] = (int16_t)(b[i] - reference[i]);
    }
    memcpy(out, both, sizeof both);
}

/* Sums below 2**24, as linear.c says. */
static int64_t residuals_of(const struct stretch *s, int32_t predictor, const int32_t *wanted,
                            pairs (*differences)[VECTORS]) {
    const int32_t count = s->task->context_count, exponent = s->task->scalars[3 * predictor];
    const int8_t *weights = s->task->weights + (int64_t)predictor * count;
    sums4 sums[VECTORS] = {{0}};
    for (int32_t c = 0; c < count; c += 2) {
        const int16_t one = weights[c], other = c + 1 < count ? weights[c + 1] : 0;
        const pairs both = {one, other, one, other, one, other, one, other};
        for (int32_t v = 0; v < VECTORS; v++) sums[v] += dot_pairs(differences[c / 2][v], both);
    }
    int32_t predicted[TOGETHER], total = 0;
    memcpy(predicted, sums, sizeof predicted);
    for (int32_t i = 0; i < s->voxels; i++) {
        const int32_t rest = wanted[i] * (1 << exponent) - predicted[i];
        total += rest < 0 ? -rest : rest;
    }
    return total;
}

/* Adds the sizes of a stretch's residuals to each predictor's sum. */
static void add_residuals(const struct stretch *s, int64_t *sums) {
    uint8_t reference[TOGETHER], symbols[TOGETHER] = {0};
    int32_t wanted[TOGETHER];
    pairs differences[MAX_CONTEXT / 2][VECTORS];
    load_reference(s, reference);
    load(s, s->symbols + s->first, symbols);
    for (int32_t i = 0; i < TOGETHER; i++) wanted[i] = symbols[i] - reference[i];
    for (int32_t c = 0; c < s->task->context_count; c += 2)
        load_differences(s, c, reference, differences[c / 2]);
    for (int32_t p = 0; p < s->task->predictors; p++)
        sums[(int64_t)p * s->task->extent[0]] += residuals_of(s, p, wanted, differences);
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
