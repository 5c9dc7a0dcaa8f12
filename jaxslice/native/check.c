/* Everything that a task can get wrong, checked before anything is made of it. */
#include "plan.h"

static int within(int64_t value, int64_t low, int64_t high) {
    return low <= value && value <= high;
}

static int is_causal(const int32_t *offset, int32_t shear) {
    const int32_t dz = offset[0], dy = offset[1], dx = offset[2];
    if (!within(dz, -MAX_REACH, 0) || !within(dy, -MAX_REACH, MAX_REACH) ||
        !within(dx, -MAX_REACH, MAX_REACH))
        return 0;
    return dz < 0 || dx + shear * dy < 0;
}

/* Offsets are causal and distinct, and those of the slice itself come first. */
static int64_t check_context(const struct march_task *task) {
    if (!within(task->context_count, 4, MAX_CONTEXT) ||
        !within(task->fallback, 0, task->context_count - 1) || !within(task->shear, 2, 8))
        return MARCH_BAD_ARCHITECTURE;
    enum { SIDE = 2 * MAX_REACH + 1, BOXES = (MAX_REACH + 1) * SIDE * SIDE };
    uint8_t seen[(BOXES + 7) / 8] = {0};
    for (int32_t c = 0; c < task->context_count; c++) {
        const int32_t *offset = task->context + 3 * c;
        if (!is_causal(offset, task->shear)) return MARCH_BAD_ARCHITECTURE;
        if (c > 0 && offset[0] == 0 && offset[-3] < 0) return MARCH_BAD_ARCHITECTURE;
        const int32_t box =
            (-offset[0] * SIDE + offset[1] + MAX_REACH) * SIDE + offset[2] + MAX_REACH;
        if (seen[box / 8] >> (box % 8) & 1) return MARCH_BAD_ARCHITECTURE;
        seen[box / 8] |= (uint8_t)(1 << (box % 8));
    }
    return MARCH_OK;
}

static int64_t check_architecture(const struct march_task *task) {
    const int32_t activity = task->activity_count;
    if (!within(activity, 1, smaller(task->context_count, 16)) ||
        !within(task->activity_offset, 16, 4096 - 255 * activity) ||
        !within(task->components, 1, MAX_COMPONENTS) || !within(task->hidden_count, 1, 4))
        return MARCH_BAD_ARCHITECTURE;
    if (task->voxel_bits != 8 && task->voxel_bits != 16) return MARCH_BAD_ARCHITECTURE;
    for (int32_t i = 0; i < task->hidden_count; i++)
        if (!within(task->hidden[i], 1, MAX_UNITS)) return MARCH_BAD_ARCHITECTURE;
    return MARCH_OK;
}

/* A row's absolute weights by the largest input stay within 2**23, so that with a bias below 2**22
 * and the first layer's two further columns (127 * 128 + 127 * 112) no sum reaches 2**24. */
static int row_is_safe(const int8_t *row, int32_t columns, int32_t summed) {
    int32_t sum = 0;
    for (int32_t i = 0; i < columns; i++) {
        if (row[i] == -128) return 0;
        if (i < summed) sum += row[i] < 0 ? -row[i] : row[i];
    }
    return sum * 255 <= 1 << 23;
}

static int64_t check_network(const struct march_task *task) {
    int64_t weight = 0, bias = 0;
    int32_t columns = task->context_count + 2;
    for (int32_t layer = 0; layer <= task->hidden_count; layer++) {
        const int last = layer == task->hidden_count;
        const int32_t outputs = last ? 3 * task->components : task->hidden[layer];
        if (weight + (int64_t)outputs * columns > task->weights_size ||
            bias + outputs > task->biases_size)
            return MARCH_BAD_NETWORK;
        for (int32_t o = 0; o < outputs; o++, weight += columns, bias++) {
            const int32_t summed = layer == 0 ? columns - 2 : columns;
            if (!row_is_safe(task->weights + weight, columns, summed)) return MARCH_BAD_NETWORK;
            if (!within(task->biases[bias], -(1 << 22) + 1, (1 << 22) - 1))
                return MARCH_BAD_NETWORK;
        }
        columns = outputs;
    }
    return weight == task->weights_size && bias == task->biases_size ? MARCH_OK : MARCH_BAD_NETWORK;
}

static int64_t check_shape(const struct march_task *task) {
    int64_t voxels = 1;
    for (int32_t axis = 0; axis < 3; axis++) {
        const int32_t size = task->block_shape[axis];
        if (size < 1 || !within(task->extent[axis], 1, size)) return MARCH_BAD_SHAPE;
        voxels *= size; /* below 2**31 before, so below 2**62 now */
        if (voxels >= (int64_t)1 << 31) return MARCH_BAD_SHAPE;
    }
    return MARCH_OK;
}

static int64_t check_levels(const struct march_task *task) {
    if (task->level_count_size != task->extent[0]) return MARCH_BAD_LEVELS;
    for (int32_t z = 0; z < task->extent[0]; z++)
        if (!within(task->level_counts[z], 1, 1 << task->voxel_bits)) return MARCH_BAD_LEVELS;
    return MARCH_OK;
}

int64_t march_check_frame(const struct march_task *task) {
    if (!task->context || !task->level_counts) return MARCH_NULL;
    int64_t error = check_context(task);
    if (!error) error = check_shape(task);
    if (!error) error = check_levels(task);
    return error;
}

int64_t march_check(const struct march_task *task) {
    if (!task || !task->weights || !task->biases) return MARCH_NULL;
    int64_t error = march_check_frame(task);
    if (!error) error = check_architecture(task);
    if (!error) error = check_network(task);
    return error;
}
