/* Rows of symbols and of masks around the present time.
 *
 * Row r of `values` holds the symbols of all lanes at one time, row r of `live` a bit for each lane
 * that says whether there is a voxel. The present time is row `index`, and a context voxel is a
 * fixed distance away from it, so that kernels need no index that wraps. When the rows are used up
 * those still needed are moved to the other end.
 *
 * A mask's bit y is about the voxel at distance time - shear * y along the lane, also for lanes
 * that the extent does not have. So a row of masks is another one, `shear` times away, shifted by
 * one lane; and the voxel (dz, dy, dx) away is live if bit y is set in the row dz * pitch + dx
 * away and lane y + dy exists (`ranges`).
 */
#include "plan.h"

static uint8_t *value_row(const struct march *m, int64_t row) {
    return m->values + row * m->row_bytes;
}

static uint64_t *live_row(const struct march *m, int64_t row) { return m->live + row * m->panels; }

/* The slice at a distance along a lane, or -1 if there is no voxel of the extent. */
static int64_t slice_at(const struct march *m, int64_t distance) {
    if (distance < 0 || distance % m->pitch >= m->width) return -1;
    const int64_t slice = distance / m->pitch;
    return slice < m->depth ? slice : -1;
}

/* Sets the limit of lane `y` in a row of limits: the levels of its slice, less 1. */
static void set_limit(const struct march *m, uint8_t *limits, int64_t y, int64_t distance) {
    const int64_t slice = slice_at(m, distance);
    const uint16_t limit = slice < 0 ? 0 : (uint16_t)(m->level_counts[slice] - 1);
    if (m->wide)
        memcpy(limits + 2 * y, &limit, sizeof limit);
    else
        limits[y] = (uint8_t)limit;
}

static uint8_t *limits_at(const struct march *m, int64_t time) {
    return m->limits + time % m->shear * m->lanes * m->value_bytes;
}

static void set_now(struct march *m, int64_t time) {
    m->time = time;
    m->now = value_row(m, m->index) + MARGIN;
    m->live_now = live_row(m, m->index);
    m->limits_now = limits_at(m, time);
}

static void move_rows(struct march *m, int64_t to, int64_t from, int64_t count) {
    memmove(value_row(m, to), value_row(m, from), (size_t)(count * m->row_bytes));
    memmove(live_row(m, to), live_row(m, from),
            (size_t)(count * m->panels) * sizeof *m->live);
}

/* The masks of `time`, a row whose predecessor by `shear` times is in the history. */
static void live_from_before(struct march *m, int64_t row, int64_t time) {
    const uint64_t *before = live_row(m, row - m->shear);
    uint64_t *masks = live_row(m, row), carry = slice_at(m, time) >= 0;
    for (int32_t p = 0; p < m->panels; p++) {
        const uint64_t bits = before[p];
        masks[p] = bits << 1 | carry;
        carry = bits >> 63;
    }
}

/* The masks of `time`, a row whose successor by `shear` times is in the history. */
static void live_from_after(struct march *m, int64_t row, int64_t time) {
    const uint64_t *after = live_row(m, row + m->shear);
    uint64_t *masks = live_row(m, row);
    uint64_t carry = slice_at(m, time - (int64_t)m->shear * (m->lanes - 1)) >= 0;
    for (int32_t p = m->panels - 1; p >= 0; p--) {
        const uint64_t bits = after[p];
        masks[p] = bits >> 1 | carry << 63;
        carry = bits & 1;
    }
}

/* The masks of `time`, with nothing to start from. */
static void live_alone(struct march *m, int64_t row, int64_t time) {
    uint64_t *masks = live_row(m, row);
    memset(masks, 0, (size_t)m->panels * sizeof *masks);
    for (int32_t y = 0; y < m->lanes; y++)
        if (slice_at(m, time - (int64_t)m->shear * y) >= 0)
            masks[y / PANEL] |= (uint64_t)1 << (y % PANEL);
}

void history_start_forward(struct march *m) {
    memset(m->values, 0, (size_t)(m->rows * m->row_bytes));
    memset(m->live, 0, (size_t)(m->rows * m->panels) * sizeof *m->live);
    memset(m->limits, 0, (size_t)m->shear * m->lanes * m->value_bytes);
    m->index = m->keep - 1; /* time -1 */
    for (int64_t time = 0; time < m->ahead; time++)
        live_from_before(m, m->keep + time, time);
}

void history_forward(struct march *m, int64_t time) {
    m->index++;
    if (m->index + m->ahead >= m->rows) {
        move_rows(m, 0, m->index - m->keep, m->keep + m->ahead);
        m->index = m->keep;
    }
    live_from_before(m, m->index + m->ahead, time + m->ahead);
    if (m->limited) {
        uint8_t *limits = limits_at(m, time);
        const size_t bytes = ((size_t)m->lanes - 1) * m->value_bytes;
        memmove(limits + m->value_bytes, limits, bytes);
        set_limit(m, limits, 0, time);
    }
    set_now(m, time);
}

/* Puts ROWS_TOGETHER more times into the history, before those that are there. */
static void enter_rows(struct march *m, int64_t time, const void *symbols) {
    int64_t first = m->index + (m->entered - ROWS_TOGETHER - time);
    if (first < 0) {
        const int64_t count = time + m->ahead - m->entered + 1;
        move_rows(m, m->rows - count, m->index + m->ahead + 1 - count, count);
        m->index = m->rows - 1 - m->ahead;
        first = m->rows - count - ROWS_TOGETHER;
    }
    m->entered -= ROWS_TOGETHER;
    for (int32_t i = ROWS_TOGETHER - 1; i >= 0; i--) {
        const int64_t row = first + i;
        if (row + m->shear < m->rows)
            live_from_after(m, row, m->entered + i);
        else
            live_alone(m, row, m->entered + i);
    }
    voxels_to_rows(m, value_row(m, first) + MARGIN, m->entered, symbols);
}

void history_start_backward(struct march *m) {
    memset(m->values, 0, (size_t)(m->rows * m->row_bytes));
    m->index = m->rows - m->ahead; /* time `steps` */
    m->entered = m->steps + m->ahead;
    for (int64_t time = m->steps; m->limited && time < m->steps + m->shear; time++)
        for (int32_t y = 0; y < m->lanes; y++)
            set_limit(m, limits_at(m, time), y, time - (int64_t)m->shear * y);
}

void history_backward(struct march *m, int64_t time, const void *symbols) {
    m->index--;
    while (m->entered > time - m->keep) enter_rows(m, time, symbols);
    if (m->limited) {
        uint8_t *limits = limits_at(m, time);
        const int64_t last = m->lanes - 1;
        memmove(limits, limits + m->value_bytes, (size_t)last * m->value_bytes);
        set_limit(m, limits, last, time - m->shear * last);
    }
    set_now(m, time);
}
