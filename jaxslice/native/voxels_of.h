/* Moves between rows and voxels for one type of symbols: VALUE, of which 16 fill a VECTOR.
 * NAMED gives names of their own to the functions. Included by voxels.c. */
/* Four rounds of interleaving rows i and i + 8 transpose 16 x 16 values. */
static void NAMED(transpose)(const VALUE *in, int64_t in_pitch, VALUE *out, int64_t out_pitch) {
    VECTOR a[16], b[16];
    for (int32_t i = 0; i < 16; i++) memcpy(a + i, in + i * in_pitch, sizeof(VECTOR));
    for (int32_t round = 0; round < 4; round++) {
        for (int32_t i = 0; i < 8; i++) {
            b[2 * i] = LOW_PAIRS(a[i], a[i + 8]);
            b[2 * i + 1] = HIGH_PAIRS(a[i], a[i + 8]);
        }
        memcpy(a, b, sizeof a);
    }
    for (int32_t i = 0; i < 16; i++) memcpy(out + i * out_pitch, a + i, sizeof(VECTOR));
}

static void NAMED(put_lane)(const struct march *m, struct position at, int32_t y,
                            const VALUE *lane, VALUE *symbols) {
    for (int32_t i = 0; i < ROWS_TOGETHER; i++, step(m, &at))
        if (is_voxel(m, at)) symbols[offset_of(m, at, y)] = lane[i];
}

static void NAMED(get_lane)(const struct march *m, struct position at, int32_t y, VALUE *lane,
                            const VALUE *symbols) {
    for (int32_t i = 0; i < ROWS_TOGETHER; i++, step(m, &at))
        lane[i] = is_voxel(m, at) ? symbols[offset_of(m, at, y)] : 0;
}

static void NAMED(rows_to_voxels)(const struct march *m, const VALUE *rows, int64_t time,
                                  VALUE *symbols) {
    const int64_t pitch = m->row_bytes / (int64_t)sizeof(VALUE);
    VALUE lanes[16 * 16];
    struct position at = position_at(m, time);
    for (int32_t y = 0; y < m->height; y++) {
        if (y % 16 == 0) NAMED(transpose)(rows + y, pitch, lanes, 16);
        const VALUE *lane = lanes + 16 * (y % 16);
        if (is_run(m, at))
            memcpy(symbols + offset_of(m, at, y), lane, ROWS_TOGETHER * sizeof(VALUE));
        else
            NAMED(put_lane)(m, at, y, lane, symbols);
        at = next_lane(m, at);
    }
}

static void NAMED(voxels_to_rows)(const struct march *m, VALUE *rows, int64_t time,
                                  const VALUE *symbols) {
    const int64_t pitch = m->row_bytes / (int64_t)sizeof(VALUE);
    VALUE lanes[16 * 16];
    struct position at = position_at(m, time);
    for (int32_t y = 0; y < m->lanes; y++) {
        VALUE *lane = lanes + 16 * (y % 16);
        if (y >= m->height)
            memset(lane, 0, ROWS_TOGETHER * sizeof(VALUE));
        else if (is_run(m, at))
            memcpy(lane, symbols + offset_of(m, at, y), ROWS_TOGETHER * sizeof(VALUE));
        else
            NAMED(get_lane)(m, at, y, lane, symbols);
        if (y % 16 == 15) NAMED(transpose)(lanes, 16, rows + y - 15, pitch);
        at = next_lane(m, at);
    }
}
