/* A task laid out in scratch memory: geometry (FORMAT.md, section 2), packed weights, rows. */
#include "plan.h"

/* Takes bytes off the scratch memory; only counts them while `base` is NULL. */
struct arena {
    uint8_t *base;
    int64_t used;
};

static void *take(struct arena *arena, int64_t bytes) {
    uint8_t *start = arena->base ? arena->base + arena->used : NULL;
    arena->used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return start;
}

static int64_t floor_division(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0); }

static int64_t pitch_of(const struct march_task *task) {
    int64_t gap = 0, ahead = 0;
    for (int32_t c = 0; c < task->context_count; c++) {
        const int32_t *offset = task->context + 3 * c;
        const int64_t dx = offset[2];
        if ((dx < 0 ? -dx : dx) > gap) gap = dx < 0 ? -dx : dx;
        if (offset[0] < 0) {
            const int64_t reach = floor_division(dx + task->shear * offset[1], -offset[0]);
            if (reach > ahead) ahead = reach;
        }
    }
    const int64_t wide = task->block_shape[2] + gap;
    return wide > ahead + 1 ? wide : ahead + 1;
}

/* Whether an offset leads out of the extent from every voxel. Then its row is never read, and no
 * history needs to be kept for it. */
static int is_dead(const struct march_task *task, const int32_t *offset) {
    return -offset[0] >= task->extent[0] || offset[1] >= task->extent[1] ||
           -offset[1] >= task->extent[1] || offset[2] >= task->extent[2] ||
           -offset[2] >= task->extent[2];
}

/* How many rows must be kept before and after the present one, and how many there are. */
static void size_history(struct march *m, const struct march_task *task) {
    m->keep = ROWS_TOGETHER; /* voxels.c reads them together, and the masks go back by the shear */
    m->ahead = 0;
    for (int32_t c = 0; c < task->context_count; c++) {
        const int32_t *offset = task->context + 3 * c;
        if (is_dead(task, offset)) continue;
        const int64_t masks = offset[0] * m->pitch + offset[2];
        const int64_t lag = masks + m->shear * offset[1];
        if (-lag > m->keep) m->keep = -lag;
        if (-masks > m->keep) m->keep = -masks;
        if (masks > m->ahead) m->ahead = masks;
    }
    /* Rows are moved to make room once in this many steps: few enough to stay in the cache. */
    const int64_t slack = m->keep / 2 < 4 * ROWS_TOGETHER ? 4 * ROWS_TOGETHER : m->keep / 2;
    m->rows = m->keep + m->ahead + slack + 1;
    m->row_bytes = m->lanes * m->value_bytes + 2 * MARGIN;
}

/* 2 * MAX_REACH + 1 masks, of the lanes that have a lane dy = -MAX_REACH .. MAX_REACH away, and
 * one of no lanes. */
static void fill_ranges(struct march *m) {
    memset(m->ranges, 0, (size_t)(2 * MAX_REACH + 2) * m->panels * sizeof *m->ranges);
    for (int32_t dy = -MAX_REACH; dy <= MAX_REACH; dy++)
        for (int32_t y = 0; y < m->height; y++)
            if (y + dy >= 0 && y + dy < m->height)
                m->ranges[(dy + MAX_REACH) * m->panels + y / PANEL] |= (uint64_t)1 << (y % PANEL);
}

static void fill_places(struct march *m, const struct march_task *task) {
    for (int32_t i = 0; i < m->context_count + 3; i++) {
        const int32_t *offset = task->context + 3 * smaller(i, m->context_count - 1);
        struct place *place = m->places + i;
        if (is_dead(task, offset)) {
            *place = (struct place){-m->row_bytes, 0, (2 * MAX_REACH + 1) * m->panels};
            continue;
        }
        const int64_t masks = offset[0] * m->pitch + offset[2];
        place->value = (masks + m->shear * offset[1]) * m->row_bytes + offset[1] * m->value_bytes;
        place->live = masks * m->panels;
        place->range = (int64_t)(offset[1] + MAX_REACH) * m->panels;
    }
}

/* Sets one weight in its cell. */
static void put_weight(const struct layer *layer, int32_t per_cell, int32_t o, int32_t i,
                       int32_t weight) {
    const int32_t bits = 32 / per_cell;
    const int64_t cell =
        ((int64_t)(o / layer->tile) * layer->groups + i / per_cell) * layer->tile + o % layer->tile;
    const uint32_t mask = bits == 8 ? 0xff : 0xffff;
    uint32_t value = (uint32_t)layer->cells[cell];
    value |= ((uint32_t)weight & mask) << (bits * (i % per_cell));
    memcpy(layer->cells + cell, &value, sizeof value);
}

static int64_t cells_of(const struct layer *layer, const struct kernel *kernel) {
    const int64_t padded = (int64_t)layer->tiles * layer->tile;
    if (!kernel->pack) return padded * layer->groups;
    return padded * (1 + (int64_t)kernel->cells_per_group * layer->groups);
}

static void pack_layer(const struct layer *layer, const struct kernel *kernel,
                       const int32_t *biases) {
    const int64_t padded = (int64_t)layer->tiles * layer->tile;
    memset(layer->cells, 0, (size_t)cells_of(layer, kernel) * sizeof *layer->cells);
    memset(layer->biases, 0, (size_t)padded * sizeof *layer->biases);
    memset(layer->minus_row_sum, 0, (size_t)padded * sizeof *layer->minus_row_sum);
    memset(layer->extras, 0, (size_t)padded * sizeof *layer->extras);
    for (int32_t o = 0; o < layer->outputs; o++) {
        const int8_t *row = layer->weights + (int64_t)o * layer->columns;
        int32_t sum = 0;
        for (int32_t i = 0; i < layer->inputs; i++) {
            if (!kernel->pack) put_weight(layer, kernel->inputs_per_cell, o, i, row[i]);
            sum += row[i];
        }
        layer->biases[o] = biases[o];
        if (layer->columns == layer->inputs) {
            layer->biases[o] += kernel->input_offset * sum;
            continue;
        }
        /* 256 inputs by 127: fits 16 bits. */
        layer->minus_row_sum[o] = -sum & 0xffff;
        layer->extras[o] = (row[layer->inputs] & 0xffff) | row[layer->inputs + 1] * (1 << 16);
    }
    if (kernel->pack) kernel->pack(layer);
}

static void plan_layers(struct march *m, const struct march_task *task, const struct kernel *kernel,
                        struct arena *arena) {
    const int32_t per_cell = kernel->inputs_per_cell;
    const int8_t *weights = task->weights;
    const int32_t *biases = task->biases;
    int32_t columns = m->context_count + 2;
    for (int32_t i = 0; i < m->layers; i++) {
        struct layer *layer = m->layer + i;
        const int last = i == m->layers - 1;
        layer->outputs = last ? 3 * m->components : task->hidden[i];
        layer->columns = columns;
        layer->inputs = i == 0 ? columns - 2 : columns;
        layer->weights = weights;
        layer->tile = last ? kernel->last_tile : 4;
        layer->tiles = (layer->outputs + layer->tile - 1) / layer->tile;
        layer->groups = per_cell ? (layer->inputs + per_cell - 1) / per_cell : 0;
        const int64_t padded = (int64_t)layer->tiles * layer->tile;
        layer->cells = take(arena, cells_of(layer, kernel) * (int64_t)sizeof *layer->cells);
        layer->biases = take(arena, padded * (int64_t)sizeof *layer->biases);
        layer->minus_row_sum = take(arena, padded * (int64_t)sizeof *layer->minus_row_sum);
        layer->extras = take(arena, padded * (int64_t)sizeof *layer->extras);
        if (arena->base) {
            if (per_cell)
                pack_layer(layer, kernel, biases);
            else
                memcpy(layer->biases, biases, (size_t)layer->outputs * sizeof *biases);
        }
        weights += (int64_t)layer->outputs * columns;
        biases += layer->outputs;
        columns = layer->outputs;
    }
}

static void plan_geometry(struct march *m, const struct march_task *task) {
    m->context_count = task->context_count;
    m->activity_count = task->activity_count;
    m->activity_offset = task->activity_offset;
    m->fallback = task->fallback;
    m->shear = task->shear;
    m->components = task->components;
    m->layers = task->hidden_count + 1;
    m->depth = task->extent[0];
    m->height = task->extent[1];
    m->width = task->extent[2];
    m->panels = (int32_t)(((int64_t)m->height + PANEL - 1) / PANEL);
    m->lanes = PANEL * m->panels;
    m->pitch = pitch_of(task);
    m->steps = (m->depth - 1) * m->pitch + m->width + (int64_t)m->shear * (m->height - 1);
    m->level_counts = task->level_counts;
    m->wide = task->voxel_bits == 16;
    m->value_bytes = task->voxel_bits / 8;
    const int32_t usual = m->wide ? task->level_counts[0] : 256;
    for (int32_t z = 0; z < m->depth; z++) m->limited |= task->level_counts[z] != usual;
    size_history(m, task);
}

int64_t march_plan(struct march *m, const struct march_task *task, const struct kernel *kernel,
                   uint8_t *base) {
    struct arena arena = {base, 0};
    memset(m, 0, sizeof *m);
    plan_geometry(m, task);
    plan_layers(m, task, kernel, &arena);
    const int64_t word = sizeof(uint64_t), half = sizeof(uint32_t);
    m->places = take(&arena, (m->context_count + 3) * (int64_t)sizeof *m->places);
    m->ranges = take(&arena, (2 * MAX_REACH + 2) * m->panels * word);
    m->high = take(&arena, m->lanes * half);
    m->low = take(&arena, m->lanes * half);
    m->limits = take(&arena, (int64_t)m->shear * m->lanes * m->value_bytes);
    m->work = take(&arena, kernel->work_bytes);
    m->live = take(&arena, m->rows * m->panels * word);
    m->values = take(&arena, m->rows * m->row_bytes);
    if (base) {
        fill_ranges(m);
        fill_places(m, task);
    }
    return arena.used;
}
