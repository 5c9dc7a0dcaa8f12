/* A round of the fuzzer with a network, of 8 or 16 bits; see fuzz.c. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static struct march_task new_task(void) {
    struct march_task task = {.context_count = 3 + seldom(5, 253)};
    task.activity_count = between(1, task.context_count < 16 ? task.context_count : 16);
    task.activity_offset = between(16, 4096 - 255 * task.activity_count);
    task.fallback = between(0, task.context_count - 1);
    task.shear = between(2, 8);
    task.components = seldom(2, 8);
    task.hidden_count = seldom(1, 4);
    int32_t columns = task.context_count + 2;
    for (int32_t i = 0; i <= task.hidden_count; i++) {
        const int last = i == task.hidden_count;
        const int32_t outputs = last ? 3 * task.components : seldom(3, 256);
        if (!last) task.hidden[i] = outputs;
        task.weights_size += (int64_t)outputs * columns;
        task.biases_size += outputs;
        columns = outputs;
    }
    task.voxel_bits = draw(2) ? 8 : 16;
    task.level_counts = new_frame(task.extent, task.block_shape, task.voxel_bits);
    task.level_count_size = task.extent[0];
    int8_t *weights = room(task.weights_size);
    int32_t *biases = room(task.biases_size * (int64_t)sizeof *biases);
    const uint32_t spread = 1 + draw(128), bias_spread = 1u << draw(23);
    for (int64_t i = 0; i < task.weights_size; i++)
        weights[i] = (int8_t)((int32_t)noise(2 * spread - 1) - (int32_t)spread + 1);
    for (int64_t i = 0; i < task.biases_size; i++)
        biases[i] = (int32_t)noise(2 * bias_spread - 1) - (int32_t)bias_spread + 1;
    task.context = new_context(task.context_count, task.shear);
    task.weights = weights;
    task.biases = biases;
    return task;
}

static void free_task(struct march_task *task) {
    free((void *)task->context);
    free((void *)task->weights);
    free((void *)task->biases);
    free((void *)task->level_counts);
}

static int64_t run_decoder(const struct march_task *task, int32_t set, const uint32_t *message,
                           int64_t words, void *symbols, int64_t voxels) {
    const int64_t bytes = march_scratch_bytes(task, set);
    if (bytes < 0) return bytes;
    uint32_t *exact = room(words * (int64_t)sizeof *exact);
    memcpy(exact, message, (size_t)words * sizeof *exact);
    void *scratch = room(bytes);
    const int64_t result =
        march_decode(task, set, exact, words, symbols, voxels, scratch, bytes);
    free(scratch);
    free(exact);
    return result;
}

/* Any one of the task's own numbers becomes another; its arrays stay as large as they were. */
static void damage_task(struct march_task *task) {
    const size_t numbers = offsetof(struct march_task, level_count_size) / sizeof(int32_t);
    int32_t value = strange_number();
    const size_t which = draw((uint32_t)numbers);
    /* These say how large the caller's arrays are: more would be the caller's lie. */
    const size_t depth = offsetof(struct march_task, extent) / sizeof(int32_t);
    if (which == 0 || which == depth) value = value < 0 ? value : 0;
    memcpy((uint8_t *)task + which * sizeof value, &value, sizeof value);
}

/* Whether the portable set makes the same message. */
static int is_portable(const struct march_task *task, const void *symbols, int64_t voxels,
                       const uint32_t *message, int64_t words) {
    const int64_t bytes = march_scratch_bytes(task, MARCH_PORTABLE);
    uint32_t *other = room(words * (int64_t)sizeof *other);
    void *scratch = room(bytes);
    const int64_t used = march_encode(task, MARCH_PORTABLE, symbols, voxels, other, words,
                                      scratch, bytes);
    const int same = used == words && !memcmp(other, message, (size_t)words * sizeof *other);
    free(scratch);
    free(other);
    return same;
}

static void *new_symbols(const struct march_task *task, int64_t voxels) {
    const int64_t voxel_bytes = task->voxel_bits / 8;
    uint8_t *symbols = room(voxels * voxel_bytes);
    const uint32_t spread = draw(2) ? 65536 : 4;
    for (int64_t i = 0; i < voxels; i++) {
        const uint32_t levels = (uint32_t)task->level_counts[i / (voxels / task->extent[0])];
        const uint16_t symbol = (uint16_t)noise(levels < spread ? levels : spread);
        if (voxel_bytes == 2)
            memcpy(symbols + 2 * i, &symbol, sizeof symbol);
        else
            symbols[i] = (uint8_t)symbol;
    }
    return symbols;
}

/* Decodes a good message and damaged ones. Returns whether the good one came back. */
static int decode_all(const struct march_task *task, int32_t set, const void *symbols,
                      int64_t voxels, uint32_t *good, int64_t used) {
    const size_t bytes = (size_t)(voxels * task->voxel_bits / 8);
    void *decoded = room((int64_t)bytes);
    const int same = (draw(4) || is_portable(task, symbols, voxels, good, used)) &&
                     run_decoder(task, set, good, used, decoded, voxels) == 0 &&
                     memcmp(symbols, decoded, bytes) == 0;
    for (int i = 0; same && i < DAMAGES; i++) {
        const int64_t length = draw(3) ? used : (int64_t)draw((uint32_t)used + 1);
        damage_message(good, used);
        run_decoder(task, set, good, length, decoded, voxels);
    }
    struct march_task damaged = *task;
    damage_task(&damaged);
    /* A larger extent is more memory than there is: the sizes handed over say so. */
    const int64_t needed = march_scratch_bytes(&damaged, set);
    const int narrower = damaged.voxel_bits <= task->voxel_bits;
    if (narrower && needed > 0 && needed < 1 << 24)
        run_decoder(&damaged, set, good, used, decoded, voxels);
    free(decoded);
    return same;
}

int network_round(int32_t set) {
    struct march_task task = new_task();
    const int64_t voxels = (int64_t)task.extent[0] * task.extent[1] * task.extent[2];
    const int64_t words = voxels + 2 * task.extent[1] + 64;
    const int64_t bytes = march_scratch_bytes(&task, set);
    int good = 1;
    if (bytes > 0) {
        void *symbols = new_symbols(&task, voxels), *scratch = room(bytes);
        uint32_t *message = room(words * (int64_t)sizeof *message);
        const int64_t used =
            march_encode(&task, set, symbols, voxels, message, words, scratch, bytes);
        good = used > 0 && decode_all(&task, set, symbols, voxels, message + words - used, used);
        if (!draw(4))
            march_encode(&task, set, symbols, voxels, message, (int64_t)draw((uint32_t)words),
                         scratch, bytes);
        free(scratch);
        free(message);
        free(symbols);
    }
    free_task(&task);
    return good ? bytes > 0 : -1;
}

int check_network(int32_t set) {
    struct march_task task = new_task(), damaged = task;
    for (int i = 0; i < 2; i++) damage_task(&damaged);
    march_scratch_bytes(&damaged, set);
    free_task(&task);
    return 0;
}
