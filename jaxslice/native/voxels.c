/* Symbols between rows (one time, all lanes) and voxels (z, y, x): transposed 16 by 16. */
#include "plan.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint16_t words16 __attribute__((vector_size(32)));

/* The values of the lower and of the upper halves of two vectors, in turn one of each. */
#if defined(__clang__)
#define LOW_PAIRS(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_PAIRS(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define LOW_PAIRS(a, b) \
    __builtin_shuffle(a, b, (VECTOR){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23})
#define HIGH_PAIRS(a, b) \
    __builtin_shuffle(a, b, (VECTOR){8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31})
#endif

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

#define VALUE uint8_t
#define VECTOR bytes16
#define NAMED(name) name##_8
#include "voxels_of.h"
#undef VALUE
#undef VECTOR
#undef NAMED

#define VALUE uint16_t
#define VECTOR words16
#define NAMED(name) name##_16
#include "voxels_of.h"

void rows_to_voxels(const struct march *m, const uint8_t *rows, int64_t time, void *symbols) {
    if (m->wide)
        rows_to_voxels_16(m, (const uint16_t *)rows, time, symbols);
    else
        rows_to_voxels_8(m, rows, time, symbols);
}

void voxels_to_rows(const struct march *m, uint8_t *rows, int64_t time, const void *symbols) {
    if (m->wide)
        voxels_to_rows_16(m, (uint16_t *)rows, time, symbols);
    else
        voxels_to_rows_8(m, rows, time, symbols);
}
