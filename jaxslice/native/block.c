/* The two directions of a block's march, and what callers see. */
#include "plan.h"

static const uint64_t LOWER_BOUND = (uint64_t)1 << 31;

/* The kernel of an instruction set, or NULL if this library or this core has it not. NEON has none
 * for 16-bit voxels, and uses the portable one. */
static const struct kernel *kernel_of(const struct march_task *task, int32_t set) {
    if (!march_has_set(set)) return NULL;
    if (task->voxel_bits == 16 && set == MARCH_NEON) return &march_portable;
#if defined(__x86_64__)
    if (set == MARCH_AVX2) return &march_avx2;
    if (set == MARCH_AVX512) return &march_avx512;
#elif defined(__aarch64__)
    if (set == MARCH_NEON) return &march_neon;
#endif
    return &march_portable;
}

int64_t march_task_bytes(void) { return sizeof(struct march_task); }

#ifndef MARCH_SOURCE_DIGEST
#define MARCH_SOURCE_DIGEST ""
#endif
const char *march_source_digest(void) { return MARCH_SOURCE_DIGEST; }

int64_t march_scratch_bytes(const struct march_task *task, int32_t set) {
    struct march m;
    const int64_t error = march_check(task);
    if (error) return error;
    const struct kernel *kernel = kernel_of(task, set);
    if (!kernel) return MARCH_NO_SUCH_SET;
    return march_plan(&m, task, kernel, NULL) + ALIGNMENT - 1;
}

int64_t block_prepare(struct march *m, const struct march_task *task, const struct kernel *kernel,
                      int64_t symbols_size, void *scratch, int64_t scratch_bytes) {
    if (!scratch) return MARCH_NULL;
    if (scratch_bytes < march_plan(m, task, kernel, NULL) + ALIGNMENT - 1) return MARCH_NO_ROOM;
    if (symbols_size != (int64_t)m->depth * m->height * m->width) return MARCH_BAD_SHAPE;
    uint8_t *base = scratch;
    base += -(uintptr_t)base % ALIGNMENT;
    march_plan(m, task, kernel, base);
    memset(m->work, 0, (size_t)(kernel->work_bytes - kernel->unset_bytes));
    if (kernel->start) kernel->start(m->work);
    return MARCH_OK;
}

/* The lanes' first states: all upper halves, then all lower halves. */
static int64_t read_states(struct march *m, const uint32_t *message, int64_t words) {
    if (words < 2 * (int64_t)m->height) return MARCH_TOO_SHORT;
    for (int32_t y = 0; y < m->lanes; y++) {
        const int rests = y >= m->height;
        m->high[y] = rests ? 0 : message[y];
        m->low[y] = rests ? (uint32_t)LOWER_BOUND : message[m->height + y];
        const uint64_t state = (uint64_t)m->high[y] << 32 | m->low[y];
        if (state < LOWER_BOUND || state >> 63) return MARCH_BAD_STATE;
    }
    m->next_word = message + 2 * (int64_t)m->height;
    m->words_left = words - 2 * (int64_t)m->height;
    return MARCH_OK;
}

static int64_t is_finished(const struct march *m) {
    uint32_t rest = 0;
    for (int32_t y = 0; y < m->lanes; y++) rest |= m->high[y] | (m->low[y] ^ (uint32_t)LOWER_BOUND);
    return m->words_left == 0 && rest == 0;
}

int64_t block_decode(struct march *m, const struct kernel *kernel, const uint32_t *message,
                     int64_t words, void *symbols) {
    const int64_t error = read_states(m, message, words);
    if (error) return error;
    history_start_forward(m);
    for (int64_t time = 0; time < m->steps; time++) {
        history_forward(m, time);
        for (int32_t panel = 0; panel < m->panels; panel++)
            if (live_lanes(m, panel)) kernel->decode(m, panel);
        if (m->failed) return MARCH_TOO_SHORT;
        /* At the end some are written once more. */
        if (time % ROWS_TOGETHER == ROWS_TOGETHER - 1 || time == m->steps - 1)
            rows_to_voxels(m, m->now - (ROWS_TOGETHER - 1) * m->row_bytes,
                           time - (ROWS_TOGETHER - 1), symbols);
    }
    return is_finished(m) ? MARCH_OK : MARCH_UNFINISHED;
}

int64_t march_decode(const struct march_task *task, int32_t set, const uint32_t *message,
                     int64_t words, void *symbols, int64_t symbols_size, void *scratch,
                     int64_t scratch_bytes) {
    struct march m;
    int64_t error = march_check(task);
    if (error) return error;
    const struct kernel *kernel = kernel_of(task, set);
    if (!kernel) return MARCH_NO_SUCH_SET;
    if (!message || !symbols) return MARCH_NULL;
    error = block_prepare(&m, task, kernel, symbols_size, scratch, scratch_bytes);
    return error ? error : block_decode(&m, kernel, message, words, symbols);
}

/* The largest of some symbols. */
static int32_t largest(const struct march *m, const void *symbols, int64_t first, int64_t count) {
    const uint8_t *bytes = (const uint8_t *)symbols + first;
    const uint16_t *words = (const uint16_t *)symbols + first;
    uint8_t most_byte = 0;
    uint16_t most = 0;
    if (m->wide)
        for (int64_t i = 0; i < count; i++) most = words[i] > most ? words[i] : most;
    else
        for (int64_t i = 0; i < count; i++)
            most_byte = bytes[i] > most_byte ? bytes[i] : most_byte;
    return m->wide ? most : most_byte;
}

int symbols_are_good(const struct march *m, const void *symbols) {
    const int64_t slice = (int64_t)m->height * m->width;
    if (!m->wide && !m->limited) return 1;
    for (int32_t z = 0; z < m->depth; z++)
        if (largest(m, symbols, z * slice, slice) >= m->level_counts[z]) return 0;
    return 1;
}

/* The lanes' last states go in front of the words put down. */
static int64_t write_states(struct march *m) {
    if (m->words_left < 2 * (int64_t)m->height) return MARCH_NO_ROOM;
    const size_t bytes = (size_t)m->height * sizeof(uint32_t);
    memcpy(m->last_word - m->height, m->low, bytes);
    memcpy(m->last_word - 2 * (int64_t)m->height, m->high, bytes);
    m->words_left -= 2 * (int64_t)m->height;
    return MARCH_OK;
}

int64_t block_encode(struct march *m, const struct kernel *kernel, const void *symbols,
                     uint32_t *message, int64_t words) {
    if (words < 0) return MARCH_NO_ROOM;
    if (!symbols_are_good(m, symbols)) return MARCH_BAD_SYMBOL;
    for (int32_t y = 0; y < m->lanes; y++) {
        m->high[y] = 0;
        m->low[y] = (uint32_t)LOWER_BOUND;
    }
    m->last_word = message + words;
    m->words_left = words;
    history_start_backward(m);
    for (int64_t time = m->steps - 1; time >= 0; time--) {
        history_backward(m, time, symbols);
        for (int32_t panel = m->panels - 1; panel >= 0; panel--)
            if (live_lanes(m, panel)) kernel->encode(m, panel);
        if (m->failed) return MARCH_NO_ROOM;
    }
    const int64_t error = write_states(m);
    return error ? error : words - m->words_left;
}

int64_t march_encode(const struct march_task *task, int32_t set, const void *symbols,
                     int64_t symbols_size, uint32_t *message, int64_t words, void *scratch,
                     int64_t scratch_bytes) {
    struct march m;
    int64_t error = march_check(task);
    if (error) return error;
    const struct kernel *kernel = kernel_of(task, set);
    if (!kernel) return MARCH_NO_SUCH_SET;
    if (!message || !symbols) return MARCH_NULL;
    error = block_prepare(&m, task, kernel, symbols_size, scratch, scratch_bytes);
    return error ? error : block_encode(&m, kernel, symbols, message, words);
}
