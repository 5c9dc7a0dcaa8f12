/* A round of the fuzzer with linear predictors; see fuzz.c. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { CURVE_BYTES = 5, HIGHEST_SHARPNESS = 160 };

static void fill(void *bytes, int64_t count, int32_t low, int32_t high) {
    for (int64_t i = 0; i < count; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(low + (int32_t)noise((uint32_t)(high - low + 1)));
}

static struct linear_task new_task(void) {
    struct linear_task task = {.context_count = 3 + seldom(5, 253)};
    task.fallback = between(0, task.context_count - 1);
    task.shear = between(2, 8);
    task.scales = seldom(2, 64);
    task.phases = 1 << (draw(4) ? 0 : draw(3));
    task.predictors = seldom(2, 16);
    task.level_counts = new_frame(task.extent, task.block_shape, 8);
    task.level_count_size = task.extent[0];
    const int64_t weights = (int64_t)task.predictors * task.context_count;
    const int64_t curves = (int64_t)task.predictors * task.scales;
    int32_t *scalars = room(3 * task.predictors * (int64_t)sizeof *scalars);
    int8_t *signs = room(weights);
    uint8_t *sizes = room(weights), *curve = room(CURVE_BYTES * curves);
    uint8_t *choices = room(task.extent[0]);
    const int32_t spread = between(0, 127);
    fill(signs, weights, -spread, spread);
    fill(sizes, weights, 0, spread);
    fill(curve, CURVE_BYTES * curves, 0, 255);
    for (int64_t i = 0; i < curves; i++)
        fill(curve + CURVE_BYTES * i + 2, 2, 0, HIGHEST_SHARPNESS);
    for (int32_t p = 0; p < task.predictors; p++) {
        scalars[3 * p] = between(4, 7);
        scalars[3 * p + 1] = between(0, 91);
        scalars[3 * p + 2] = between(1, 1 << 20);
    }
    fill(choices, task.extent[0], 0, task.predictors - 1);
    task.context = new_context(task.context_count, task.shear);
    task.scalars = scalars;
    task.weights = signs;
    task.activity_weights = sizes;
    task.curves = curve;
    task.choices = choices;
    return task;
}

static void free_task(struct linear_task *task) {
    free((void *)task->context);
    free((void *)task->scalars);
    free((void *)task->weights);
    free((void *)task->activity_weights);
    free((void *)task->curves);
    free((void *)task->choices);
    free((void *)task->level_counts);
}

/* One of the task's numbers, or a byte of what it points to, becomes another. */
static void damage_task(struct linear_task *task, const struct linear_task *sound) {
    const size_t numbers = offsetof(struct linear_task, level_count_size) / sizeof(int32_t);
    const size_t which = draw((uint32_t)numbers + 4);
    const uint32_t weights = (uint32_t)(sound->predictors * sound->context_count);
    const uint32_t curves = (uint32_t)(sound->predictors * sound->scales * CURVE_BYTES);
    if (which == numbers) {
        ((int32_t *)task->scalars)[draw(3 * (uint32_t)sound->predictors)] = strange_number();
    } else if (which == numbers + 1) {
        ((uint8_t *)task->weights)[draw(weights)] = (uint8_t)draw(256);
    } else if (which == numbers + 2) {
        ((uint8_t *)task->curves)[draw(curves)] = (uint8_t)draw(256);
    } else if (which == numbers + 3) {
        ((uint8_t *)task->choices)[draw((uint32_t)sound->extent[0])] = (uint8_t)draw(256);
    } else {
        int32_t value = strange_number(), old;
        memcpy(&old, (uint8_t *)task + which * sizeof value, sizeof value);
        /* These say how large the caller's arrays are: more would be the caller's lie. */
        const size_t sizes[] = {offsetof(struct linear_task, context_count),
                                offsetof(struct linear_task, scales),
                                offsetof(struct linear_task, predictors),
                                offsetof(struct linear_task, extent)};
        for (int i = 0; i < 4; i++)
            if (which * sizeof value == sizes[i] && value > old) value = old;
        memcpy((uint8_t *)task + which * sizeof value, &value, sizeof value);
    }
}

static int64_t run_encoder(const struct linear_task *task, int32_t set, const uint8_t *symbols,
                           int64_t voxels, uint32_t *message, int64_t words) {
    const int64_t bytes = linear_scratch_bytes(task, set);
    if (bytes < 0) return bytes;
    void *scratch = room(bytes);
    const int64_t used =
        linear_encode(task, set, symbols, voxels, message, words, scratch, bytes);
    free(scratch);
    return used;
}

static int64_t run_decoder(const struct linear_task *task, int32_t set, const uint32_t *message,
                           int64_t words, uint8_t *symbols, int64_t voxels) {
    const int64_t bytes = linear_scratch_bytes(task, set);
    if (bytes < 0) return bytes;
    uint32_t *exact = room(words * (int64_t)sizeof *exact);
    memcpy(exact, message, (size_t)words * sizeof *exact);
    void *scratch = room(bytes);
    const int64_t result =
        linear_decode(task, set, exact, words, symbols, voxels, scratch, bytes);
    free(scratch);
    free(exact);
    return result;
}

/* Whether every symbol has a level, as a decoder promises whatever the message. */
static int have_levels(const struct linear_task *task, const uint8_t *symbols, int64_t voxels) {
    for (int64_t i = 0; i < voxels; i++)
        if (symbols[i] >= task->level_counts[i / (voxels / task->extent[0])]) return 0;
    return 1;
}

/* Sums the residuals of some rows, which may lie outside. Returns whether the answer is one. */
static int sum_residuals(const struct linear_task *task, const uint8_t *symbols, int64_t voxels) {
    const int32_t size = between(0, 3), margin = between(-1, draw(4) ? 3 : 16);
    int32_t *rows = room(size * (int64_t)sizeof *rows);
    int64_t *sums = room((int64_t)task->predictors * task->extent[0] * (int64_t)sizeof *sums);
    for (int32_t i = 0; i < size; i++) rows[i] = between(-1, task->extent[1]);
    const int64_t result = linear_residuals(task, symbols, voxels, rows, size, margin, sums);
    int good = result == MARCH_OK || result == MARCH_BAD_SHAPE;
    for (int32_t i = 0; good && !result && i < task->predictors * task->extent[0]; i++)
        good = sums[i] >= 0;
    free(rows);
    free(sums);
    return good;
}

static int code(struct linear_task *task, int32_t set, const uint8_t *symbols, int64_t voxels) {
    const int64_t words = voxels + 2 * task->extent[1] + 64;
    uint32_t *message = room(words * (int64_t)sizeof *message);
    uint32_t *other = room(words * (int64_t)sizeof *other);
    uint8_t *decoded = room(voxels);
    const int64_t used = run_encoder(task, set, symbols, voxels, message, words);
    uint32_t *good = message + words - used;
    int same = used > 0 && run_decoder(task, set, good, used, decoded, voxels) == 0 &&
               !memcmp(symbols, decoded, (size_t)voxels);
    if (same && !draw(4))
        same = used == run_encoder(task, MARCH_PORTABLE, symbols, voxels, other, words) &&
               !memcmp(good, other + words - used, (size_t)used * sizeof *good);
    if (!draw(4)) run_encoder(task, set, symbols, voxels, other, (int64_t)draw((uint32_t)words));
    for (int i = 0; same && i < DAMAGES; i++) {
        const int64_t length = draw(3) ? used : (int64_t)draw((uint32_t)used + 1);
        damage_message(good, used);
        if (run_decoder(task, set, good, length, decoded, voxels) == 0)
            same = have_levels(task, decoded, voxels);
    }
    if (same) {
        const struct linear_task sound = *task;
        damage_task(task, &sound);
        const int64_t needed = linear_scratch_bytes(task, set);
        if (needed > 0 && needed < 1 << 26) run_decoder(task, set, good, used, decoded, voxels);
    }
    free(message);
    free(other);
    free(decoded);
    return same;
}

int linear_round(int32_t set) {
    struct linear_task task = new_task();
    const int64_t voxels = (int64_t)task.extent[0] * task.extent[1] * task.extent[2];
    int good = 1;
    const int64_t bytes = linear_scratch_bytes(&task, set);
    if (bytes > 0) {
        uint8_t *symbols = room(voxels);
        const uint32_t spread = draw(2) ? 256 : 4;
        for (int64_t i = 0; i < voxels; i++) {
            const uint32_t levels = (uint32_t)task.level_counts[i / (voxels / task.extent[0])];
            symbols[i] = (uint8_t)noise(levels < spread ? levels : spread);
        }
        good = sum_residuals(&task, symbols, voxels) && code(&task, set, symbols, voxels);
        free(symbols);
    }
    free_task(&task);
    return good ? bytes > 0 : -1;
}

int check_linear(int32_t set) {
    struct linear_task task = new_task(), damaged = task;
    for (int i = 0; i < 2; i++) damage_task(&damaged, &task);
    linear_scratch_bytes(&damaged, set);
    free_task(&task);
    return 0;
}
