/* Hands damaged messages and damaged tasks to the native engine, to be run under sanitizers.
 *
 * Each round makes a task, encodes symbols, compares the message with that of the portable set, and
 * decodes it again; then it decodes damaged messages, and runs damaged tasks. All memory is of exactly the size that was said, so that a step
 * beyond it is found. Exits with 1 if a good message does not come back. usage: fuzz SET ROUNDS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "march.h"

static uint64_t seed = 1;

static uint32_t draw(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static int32_t between(int32_t low, int32_t high) {
    return low + (int32_t)draw((uint32_t)(high - low + 1));
}

static void *room(int64_t bytes) {
    void *memory = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!memory) abort();
    return memory;
}

/* Causal offsets in the order of their distance along a scan; the caller takes the first ones. */
static int32_t *new_context(int32_t count, int32_t shear) {
    int32_t *context = room(count * 3 * (int64_t)sizeof *context), c = 0;
    for (int32_t dz = 0; dz >= -16 && c < count; dz--)
        for (int32_t dy = 0; dy >= -16 && c < count; dy -= 1 + (int32_t)draw(2))
            for (int32_t dx = -16; dx <= 16 && c < count; dx += 1 + (int32_t)draw(3)) {
                if (draw(3) || (dz == 0 && (dx + shear * dy >= 0 || c + 2 > count))) continue;
                context[3 * c] = dz;
                context[3 * c + 1] = dz < 0 && draw(2) ? -dy : dy;
                context[3 * c + 2] = dx;
                int32_t same = 0;
                for (int32_t i = 0; i < c; i++)
                    same |= !memcmp(context + 3 * i, context + 3 * c, 3 * sizeof *context);
                c += !same;
            }
    return context;
}

static struct march_task new_task(void) {
    struct march_task task = {.context_count = between(4, draw(8) ? 24 : 256)};
    task.activity_count = between(1, task.context_count < 16 ? task.context_count : 16);
    task.activity_offset = between(16, 4096 - 255 * task.activity_count);
    task.fallback = between(0, task.context_count - 1);
    task.shear = between(2, 8);
    task.components = between(1, 8);
    task.hidden_count = between(1, 4);
    int32_t columns = task.context_count + 2;
    for (int32_t i = 0; i <= task.hidden_count; i++) {
        const int last = i == task.hidden_count;
        const int32_t outputs = last ? 3 * task.components : between(1, draw(8) ? 20 : 256);
        if (!last) task.hidden[i] = outputs;
        task.weights_size += (int64_t)outputs * columns;
        task.biases_size += outputs;
        columns = outputs;
    }
    for (int32_t axis = 0; axis < 3; axis++) {
        static const int32_t most[3] = {5, 140, 40};
        task.extent[axis] = between(1, most[axis]);
        task.block_shape[axis] = task.extent[axis] + between(0, 9);
    }
    int8_t *weights = room(task.weights_size);
    int32_t *biases = room(task.biases_size * (int64_t)sizeof *biases);
    int32_t *levels = room(task.extent[0] * (int64_t)sizeof *levels);
    for (int64_t i = 0; i < task.weights_size; i++) weights[i] = (int8_t)between(-127, 127);
    for (int64_t i = 0; i < task.biases_size; i++) biases[i] = between(-4194303, 4194303);
    const int all = draw(2);
    task.level_count_size = task.extent[0];
    task.voxel_bits = draw(2) ? 8 : 16;
    const int32_t most_levels = 1 << between(0, task.voxel_bits);
    for (int32_t z = 0; z < task.extent[0]; z++)
        levels[z] = all ? 1 << task.voxel_bits : between(1, most_levels);
    task.context = new_context(task.context_count, task.shear);
    task.weights = weights;
    task.biases = biases;
    task.level_counts = levels;
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
    static const int32_t strange[] = {-2147483647 - 1, -1, 0, 1, 2, 255, 256, 257, 2147483647};
    const size_t numbers = offsetof(struct march_task, level_count_size) / sizeof(int32_t);
    int32_t value = strange[draw(9)];
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

static int run_round(int32_t set) {
    struct march_task task = new_task();
    const int64_t voxels = (int64_t)task.extent[0] * task.extent[1] * task.extent[2];
    const int64_t words = voxels + 2 * task.extent[1] + 64, wide = task.voxel_bits == 16;
    const int64_t voxel_bytes = wide ? 2 : 1;
    const int64_t bytes = march_scratch_bytes(&task, set);
    uint8_t *symbols = room(voxels * voxel_bytes), *decoded = room(voxels * voxel_bytes);
    uint32_t *message = room(words * (int64_t)sizeof *message);
    for (int64_t i = 0; i < voxels; i++) {
        const int64_t slice = i / (voxels / task.extent[0]);
        const uint16_t symbol = (uint16_t)draw((uint32_t)task.level_counts[slice]);
        if (wide)
            memcpy(symbols + 2 * i, &symbol, sizeof symbol);
        else
            symbols[i] = (uint8_t)symbol;
    }
    int bad = 0;
    if (bytes > 0) {
        void *scratch = room(bytes);
        const int64_t used =
            march_encode(&task, set, symbols, voxels, message, words, scratch, bytes);
        march_encode(&task, set, symbols, voxels, message, (int64_t)draw((uint32_t)words),
                     scratch, bytes);
        march_encode(&task, set, symbols, voxels, message, words, scratch, bytes);
        free(scratch);
        uint32_t *good = message + words - used;
        bad = used < 0 || !is_portable(&task, symbols, voxels, good, used) ||
              run_decoder(&task, set, good, used, decoded, voxels) != 0 ||
              memcmp(symbols, decoded, (size_t)(voxels * voxel_bytes)) != 0;
        for (int i = 0; !bad && i < 4; i++) {
            const int64_t length = draw(3) ? used : (int64_t)draw((uint32_t)used + 1);
            for (int k = 0; k < 3; k++) good[draw((uint32_t)used)] ^= 1u << draw(32);
            run_decoder(&task, set, good, length, decoded, voxels);
        }
        struct march_task damaged = task;
        damage_task(&damaged);
        /* A larger extent is more memory than there is: the sizes handed over say so. */
        const int64_t needed = march_scratch_bytes(&damaged, set);
        if (needed > 0 && needed < 1 << 24)
            run_decoder(&damaged, set, good, used, decoded, voxels);
    }
    free(message);
    free(decoded);
    free(symbols);
    free_task(&task);
    return bad ? -1 : bytes > 0;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const int32_t set = atoi(arguments[1]), rounds = atoi(arguments[2]);
    int coded = 0;
    for (int32_t i = 0; i < rounds; i++) {
        const int result = run_round(set);
        if (result < 0) return 1;
        coded += result;
    }
    printf("%d of %d rounds were coded\n", coded, rounds);
    return coded > rounds / 4 ? 0 : 3;
}
