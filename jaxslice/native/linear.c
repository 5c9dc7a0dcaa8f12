/* Blocks coded with a linear predictor: checks, and the two directions as callers see them. */
#include "linear_plan.h"

int64_t linear_task_bytes(void) { return sizeof(struct linear_task); }

static const struct kernel *kernel_of(int32_t set) {
    if (!march_has_set(set)) return NULL;
#if defined(__x86_64__)
    if (set == MARCH_AVX2) return &linear_avx2;
    if (set == MARCH_AVX512) return &linear_avx512;
#endif
    return &linear_portable;
}

static int within(int64_t value, int64_t low, int64_t high) {
    return low <= value && value <= high;
}

/* What all kinds of predictors have; the march is laid out by it, with no layer of a network. */
static struct march_task frame_of(const struct linear_task *task) {
    struct march_task frame = {
        .context_count = task->context_count,
        .fallback = task->fallback,
        .shear = task->shear,
        .hidden_count = -1,
        .voxel_bits = 8,
        .level_count_size = task->level_count_size,
        .context = task->context,
        .level_counts = task->level_counts,
    };
    memcpy(frame.block_shape, task->block_shape, sizeof frame.block_shape);
    memcpy(frame.extent, task->extent, sizeof frame.extent);
    return frame;
}

/* With at most 256 weights below 128 every sum stays below 2**23 before a reference or an offset
 * is added, and below 2**24 after it. */
static int64_t check_numbers(const struct linear_task *task) {
    const int32_t predictors = task->predictors;
    if (!task->weights || !task->activity_weights || !task->curves || !task->scalars ||
        !task->choices)
        return MARCH_NULL;
    if (!within(task->scales, 1, MAX_SCALES) || !within(predictors, 1, MAX_PREDICTORS) ||
        (task->phases != 1 && task->phases != 2 && task->phases != MAX_PHASES))
        return MARCH_BAD_ARCHITECTURE;
    for (int32_t z = 0; z < task->extent[0]; z++)
        if (task->choices[z] >= predictors) return MARCH_BAD_NETWORK;
    for (int32_t p = 0; p < predictors; p++) {
        const int32_t *scalars = task->scalars + 3 * p;
        if (!within(scalars[0], 4, MAX_EXPONENT) || !within(scalars[1], 0, MAX_FIRST) ||
            !within(scalars[2], 1, MAX_OFFSET))
            return MARCH_BAD_NETWORK;
    }
    for (int32_t c = 0; c < predictors * task->context_count; c++)
        if (task->weights[c] == -128 || task->activity_weights[c] > 127) return MARCH_BAD_NETWORK;
    for (int32_t i = 0; i < predictors * task->scales; i++)
        for (int32_t k = 2; k < 4; k++)
            if (task->curves[CURVE_BYTES * i + k] > HIGHEST_SHARPNESS) return MARCH_BAD_NETWORK;
    return MARCH_OK;
}

int64_t linear_check(const struct linear_task *task) {
    if (!task) return MARCH_NULL;
    const struct march_task frame = frame_of(task);
    const int64_t error = march_check_frame(&frame);
    return error ? error : check_numbers(task);
}

static int64_t rounded(int64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static int64_t tables_of(const struct linear_task *task) {
    return (int64_t)task->predictors * task->scales * task->phases;
}

static int64_t edges_bytes(const struct linear_task *task) {
    return rounded(tables_of(task) * EDGES * (int64_t)sizeof(int32_t));
}

static int64_t predictors_bytes(const struct linear_task *task) {
    return rounded(task->predictors * (int64_t)sizeof(struct predictor));
}

/* A kernel whose work has room for the task's tables and for its own. The tables are filled whole or
 * not used at all, so that they need not be 0. */
static struct kernel sized(const struct kernel *kernel, const struct linear_task *task) {
    struct kernel with_room = *kernel;
    with_room.unset_bytes =
        edges_bytes(task) + tables_of(task) * SLOTS * (int64_t)sizeof(uint32_t);
    with_room.work_bytes = rounded(sizeof(struct linear)) + rounded(kernel->work_bytes) +
                           predictors_bytes(task) + with_room.unset_bytes;
    with_room.start = NULL;
    return with_room;
}

static void fill_predictor(struct predictor *to, const struct linear_task *task, int32_t p) {
    const int32_t *scalars = task->scalars + 3 * p;
    const int8_t *weights = task->weights + (int64_t)task->context_count * p;
    const uint8_t *sizes = task->activity_weights + (int64_t)task->context_count * p;
    to->exponent = scalars[0];
    to->first = scalars[1];
    to->offset = scalars[2];
    to->first_table = p * task->scales * task->phases;
    to->reference_weight = 1 << to->exponent;
    for (int32_t c = 0; c < task->context_count; c++) {
        const int32_t shift = 8 * (c % 4);
        to->weights[c] = weights[c];
        to->activity_weights[c] = sizes[c];
        to->reference_weight -= weights[c];
        to->weight_cells[c / 4] |= (int32_t)((uint32_t)(weights[c] & 0xff) << shift);
        to->activity_cells[c / 4] |= (int32_t)((uint32_t)sizes[c] << shift);
    }
}

static void fill(struct linear *linear, const struct linear_task *task,
                 const struct kernel *kernel, int decodes) {
    linear->own = (uint8_t *)linear + rounded(sizeof *linear);
    if (kernel->start) kernel->start(linear->own);
    uint8_t *room = (uint8_t *)linear->own + rounded(kernel->work_bytes);
    linear->predictor = (struct predictor *)room;
    linear->edges = (int32_t *)(room + predictors_bytes(task));
    if (decodes)
        linear->slots = (uint32_t *)(room + predictors_bytes(task) + edges_bytes(task));
    linear->phases = task->phases;
    linear->phase_bits = task->phases / 2;
    linear->scales = task->scales;
    linear->predictors = task->predictors;
    linear->choices = task->choices;
    for (int32_t z = 0; z < task->extent[0]; z++)
        linear->varies |= task->choices[z] != task->choices[0];
    for (int32_t p = 0; p < task->predictors; p++)
        fill_predictor(linear->predictor + p, task, p);
    linear_fill_tables(linear, task->curves);
}

int64_t linear_scratch_bytes(const struct linear_task *task, int32_t set) {
    struct march m;
    const int64_t error = linear_check(task);
    if (error) return error;
    const struct kernel *kernel = kernel_of(set);
    if (!kernel) return MARCH_NO_SUCH_SET;
    const struct march_task frame = frame_of(task);
    const struct kernel with_room = sized(kernel, task);
    return march_plan(&m, &frame, &with_room, NULL) + ALIGNMENT - 1;
}

static int64_t prepare(struct march *m, const struct linear_task *task,
                       const struct march_task *frame, const struct kernel *kernel,
                       int64_t symbols_size, void *scratch, int64_t scratch_bytes, int decodes) {
    const struct kernel with_room = sized(kernel, task);
    const int64_t error =
        block_prepare(m, frame, &with_room, symbols_size, scratch, scratch_bytes);
    if (!error) fill(m->work, task, kernel, decodes);
    return error;
}

int64_t linear_decode(const struct linear_task *task, int32_t set, const uint32_t *message,
                      int64_t words, uint8_t *symbols, int64_t symbols_size, void *scratch,
                      int64_t scratch_bytes) {
    struct march m;
    int64_t error = linear_check(task);
    if (error) return error;
    const struct kernel *kernel = kernel_of(set);
    if (!kernel) return MARCH_NO_SUCH_SET;
    if (!message || !symbols) return MARCH_NULL;
    const struct march_task frame = frame_of(task);
    error = prepare(&m, task, &frame, kernel, symbols_size, scratch, scratch_bytes, 1);
    if (!error) error = block_decode(&m, kernel, message, words, symbols);
    /* A damaged message can lead to a symbol that its slice has no level for. */
    return error || symbols_are_good(&m, symbols) ? error : MARCH_UNFINISHED;
}

int64_t linear_encode(const struct linear_task *task, int32_t set, const uint8_t *symbols,
                      int64_t symbols_size, uint32_t *message, int64_t words, void *scratch,
                      int64_t scratch_bytes) {
    struct march m;
    int64_t error = linear_check(task);
    if (error) return error;
    const struct kernel *kernel = kernel_of(set);
    if (!kernel) return MARCH_NO_SUCH_SET;
    if (!message || !symbols) return MARCH_NULL;
    const struct march_task frame = frame_of(task);
    error = prepare(&m, task, &frame, kernel, symbols_size, scratch, scratch_bytes, 0);
    return error ? error : block_encode(&m, kernel, symbols, message, words);
}
