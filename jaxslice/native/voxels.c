/* Symbols between rows (one time, all lanes) and voxels (z, y, x): transposed 16 by 16. */
#include "plan.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* The bytes of the lower and of the upper halves of two vectors, in turn one of each. */
#if defined(__clang__)
#define LOW_PAIRS(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_PAIRS(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define LOW_PAIRS(a, b) \
    __builtin_shuffle(a, b, (bytes16){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23})
#define HIGH_PAIRS(a, b) \
    __builtin_shuffle(a, b, (bytes16){8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31})
#endif

/* Four rounds of interleaving rows i and i + 8 transpose 16 x 16 bytes. */
static void transpose(const uint8_t *in, int64_t in_pitch, uint8_t *out, int64_t out_pitch) {
    bytes16 a[16], b[16];
    for (int32_t i = 0; i < 16; i++) memcpy(a + i, in + i * in_pitch, 16);
    for (int32_t round = 0; round < 4; round++) {
        for (int32_t i = 0; i < 8; i++) {
            b[2 * i] = LOW_PAIRS(a[i], a[i + 8]);
            b[2 * i + 1] = HIGH_PAIRS(a[i], a[i + 8]);
        }
        memcpy(a, b, sizeof a);
    }
    for (int32_t i = 0; i < 16; i++) memcpy(out + i * out_pitch, a + i, 16);
}

/* Where along its lane a lane is: the slice, and x within the pitch. */
struct position {
    int64_t z, x;
};

/* The position of lane 0 at a time, which may lie before the first. */
static struct position position_at(const struct march *m, int64_t time) {
    const int64_t z = time < 0 ? -((-time + m->pitch - 1) / m->pitch) : time / m->pitch;
    return (struct position){z, time - z * m->pitch};
}

/* The next lane's position. The shear may be larger than the pitch. */
static struct position next_lane(const struct march *m, struct position at) {
    at.x -= m->shear;
    while (at.x < 0) {
        at.x += m->pitch;
        at.z--;
    }
    return at;
}

static int is_voxel(const struct march *m, struct position at) {
    return at.z >= 0 && at.z < m->depth && at.x < m->width;
}

static int64_t offset_of(const struct march *m, struct position at, int32_t y) {
    return (at.z * m->height + y) * m->width + at.x;
}

/* Whether all ROWS_TOGETHER times of a lane that begin at a position are one run of voxels. */
static int is_run(const struct march *m, struct position at) {
    return is_voxel(m, at) && at.x + ROWS_TOGETHER <= m->width;
}

static void step(const struct march *m, struct position *at) {
    if (++at->x == m->pitch) {
        at->x = 0;
        at->z++;
    }
}

static void put_lane(const struct march *m, struct position at, int32_t y, const uint8_t *lane,
                     uint8_t *symbols) {
    for (int32_t i = 0; i < ROWS_TOGETHER; i++, step(m, &at))
        if (is_voxel(m, at)) symbols[offset_of(m, at, y)] = lane[i];
}

static void get_lane(const struct march *m, struct position at, int32_t y, uint8_t *lane,
                     const uint8_t *symbols) {
    for (int32_t i = 0; i < ROWS_TOGETHER; i++, step(m, &at))
        lane[i] = is_voxel(m, at) ? symbols[offset_of(m, at, y)] : 0;
}

void rows_to_voxels(const struct march *m, const uint8_t *rows, int64_t time,
                    uint8_t *symbols) {
    uint8_t lanes[16 * 16];
    struct position at = position_at(m, time);
    for (int32_t y = 0; y < m->height; y++) {
        if (y % 16 == 0) transpose(rows + y, m->row_bytes, lanes, 16);
        const uint8_t *lane = lanes + 16 * (y % 16);
        if (is_run(m, at))
            memcpy(symbols + offset_of(m, at, y), lane, ROWS_TOGETHER);
        else
            put_lane(m, at, y, lane, symbols);
        at = next_lane(m, at);
    }
}

void voxels_to_rows(const struct march *m, uint8_t *rows, int64_t time, const uint8_t *symbols) {
    uint8_t lanes[16 * 16];
    struct position at = position_at(m, time);
    for (int32_t y = 0; y < m->lanes; y++) {
        uint8_t *lane = lanes + 16 * (y % 16);
        if (y >= m->height)
            memset(lane, 0, ROWS_TOGETHER);
        else if (is_run(m, at))
            memcpy(lane, symbols + offset_of(m, at, y), ROWS_TOGETHER);
        else
            get_lane(m, at, y, lane, symbols);
        if (y % 16 == 15) transpose(lanes, 16, rows + y - 15, m->row_bytes);
        at = next_lane(m, at);
    }
}
