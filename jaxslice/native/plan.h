/* Inside the native engine: a checked task laid out in the caller's scratch memory.
 *
 * Lanes are handled in panels of 64, the last one filled up with lanes that rest. Panels are what
 * the kernels of the instruction sets decode and encode; time, history and voxels are shared.
 */
#ifndef JAXSLICE_PLAN_H
#define JAXSLICE_PLAN_H

#include <string.h>

#include "march.h"

#define HIDDEN __attribute__((visibility("hidden")))

enum {
    PANEL = 64,           /* lanes of a panel: a bit each in a word of a mask */
    MARGIN = 32,          /* bytes beside a row, so that a lane's neighbours can be loaded */
    MAX_CONTEXT = 256,
    MAX_UNITS = 256,
    MAX_LAYERS = 5,
    MAX_COMPONENTS = 8,
    MAX_REACH = 16,       /* largest component of an offset */
    ROWS_TOGETHER = 16,   /* times that are moved between rows and voxels at once */
    ALIGNMENT = 64,
    PRECISION = 24,
    TOTAL = 1 << PRECISION,
    MINIMUM_WIDTH = 64,
    SUM_HIGH = (1 << 17) - 1,
    MEAN_LOW = -2048,
    MEAN_HIGH = 6143,
    INVERSE_HIGH = 1 << 17,
    NO_REFERENCE = 128,
    ACTIVITY_HIGH = 4096,
    /* Of 16-bit voxels; see bins.py. */
    SHIFT_HIGH = 8,
    FINER = 1,
    OFFSET_LOW = -2048,
    OFFSET_HIGH = 2047,
    EDGE_LOW = -6144,
    EDGE_HIGH = 6143,
    LOSS_SHIFT = 10,
    WIDTH_BITS = 14,
};

/* Where the voxel of a context offset is, relative to the present row and lane. */
struct place {
    int64_t value; /* bytes from the present row's first lane to the context row's lane */
    int64_t live;  /* words from the present mask row to the one that says if it is a voxel */
    int64_t range; /* first word of the mask of lanes that have a lane dy away */
};

/* A layer, its weights packed into cells of several inputs for one output.
 * Outputs are in tiles; cells are in the order [tile][group of inputs][output of the tile], or as
 * the kernel's own `pack` puts them. */
struct layer {
    int32_t inputs, outputs; /* of the first layer: without its last two columns */
    int32_t tile, tiles, groups;
    const int8_t *weights;   /* as handed over; a row has `columns` entries */
    int32_t columns;
    int32_t *cells;
    int32_t *biases;         /* tiles * tile of them, as the next two */
    int32_t *minus_row_sum;  /* first layer only, as is the next: 16 bits, the upper half is 0 */
    int32_t *extras;         /* weights of reference and loglevel, 16 bits each */
};

struct march {
    /* architecture and geometry */
    int32_t context_count, activity_count, activity_offset, fallback, shear, components;
    int32_t layers;
    int32_t depth, height, width; /* the extent */
    int32_t panels, lanes;        /* lanes: 64 * panels */
    int64_t pitch, steps;
    int32_t wide;                 /* whether voxels have 16 bits */
    int32_t value_bytes;          /* of a symbol in the history and of a limit: 1 or 2 */
    int32_t limited;              /* whether limits are needed: a slice has less than 256 levels, or
                                     of 16-bit voxels another number of levels than the first */
    const int32_t *level_counts;
    struct layer layer[MAX_LAYERS];
    struct place *places;         /* [context_count rounded up to 4]; the last one is repeated */
    uint64_t *ranges;             /* masks of lanes, see `place.range` */

    /* history: rows of symbols and of masks, one for each time; see history.c */
    uint8_t *values;
    uint64_t *live;
    int64_t row_bytes, rows, keep, ahead;
    int64_t index;                /* row of the present time */
    int64_t entered;              /* encoder: lowest time that is in the history */
    uint8_t *limits;              /* [shear][lanes]: levels of a lane's slice, less 1 */

    /* the present time, for the kernels */
    int64_t time;
    uint8_t *now;                 /* symbols of the present row, its first lane */
    const uint64_t *live_now;     /* masks of the present row */
    const uint8_t *limits_now;    /* of 16-bit voxels: uint16_t */

    /* the message */
    uint32_t *high, *low;         /* halves of the lanes' states */
    const uint32_t *next_word;    /* decoder: words not yet taken, and how many */
    uint32_t *last_word;          /* encoder: where the words put down begin, and the room before */
    int64_t words_left;
    int32_t failed;               /* set by a kernel when `words_left` does not suffice */

    void *work;                   /* of the kernel */
};

/* The kernels of an instruction set. A panel's functions are called only if a lane is live. */
struct kernel {
    int32_t inputs_per_cell;      /* 0 if the kernel reads the weights as they are */
    int32_t last_tile;            /* outputs in a tile of the last layer; others have 4 */
    int64_t work_bytes;
    void (*start)(void *work);    /* fills the work, which is 0 before; NULL if it need not */
    void (*decode)(struct march *m, int32_t panel);
    void (*encode)(struct march *m, int32_t panel);
    int32_t input_offset;         /* taken off each input of the further layers: makes it signed */
    int64_t unset_bytes;          /* the end of the work, which is not set to 0 before */
    /* Writes the cells of a layer, at most `cells_per_group` for each group and output and one
     * more for each output; NULL for the usual order. */
    void (*pack)(const struct layer *layer);
    int32_t cells_per_group;
};

HIDDEN extern const struct kernel march_portable;
#if defined(__x86_64__)
HIDDEN extern const struct kernel march_avx2;
HIDDEN extern const struct kernel march_avx512;

/* The panels of 16-bit voxels: avx2_wide.c and avx512_wide.c */
HIDDEN void avx2_wide_decode(struct march *m, int32_t panel);
HIDDEN void avx2_wide_encode(struct march *m, int32_t panel);
HIDDEN void avx512_wide_decode(struct march *m, int32_t panel);
HIDDEN void avx512_wide_encode(struct march *m, int32_t panel);
#elif defined(__aarch64__)
HIDDEN extern const struct kernel march_neon;
#endif

/* check.c: a whole task, and only what every kind of predictor has: context, shape and levels. */
HIDDEN int64_t march_check(const struct march_task *task);
HIDDEN int64_t march_check_frame(const struct march_task *task);

/* block.c: lays out a checked task, and runs it in either direction. */
HIDDEN int64_t block_prepare(struct march *m, const struct march_task *task,
                             const struct kernel *kernel, int64_t symbols_size, void *scratch,
                             int64_t scratch_bytes);
HIDDEN int64_t block_decode(struct march *m, const struct kernel *kernel, const uint32_t *message,
                            int64_t words, void *symbols);
HIDDEN int64_t block_encode(struct march *m, const struct kernel *kernel, const void *symbols,
                            uint32_t *message, int64_t words);
/* Whether every symbol is one of its slice's levels. */
HIDDEN int symbols_are_good(const struct march *m, const void *symbols);

/* plan.c: lays the task out. With `base` NULL nothing is written but `*m`, and the result is how
 * many bytes are needed. The task must have passed `march_check`. */
HIDDEN int64_t march_plan(struct march *m, const struct march_task *task,
                          const struct kernel *kernel, uint8_t *base);

/* history.c */
HIDDEN void history_start_forward(struct march *m);
HIDDEN void history_forward(struct march *m, int64_t time);
HIDDEN void history_start_backward(struct march *m);
HIDDEN void history_backward(struct march *m, int64_t time, const void *symbols);

/* voxels.c: moves the symbols of ROWS_TOGETHER times, from `time` on, between rows and voxels.
 * Times may lie before the first and after the last. */
HIDDEN void rows_to_voxels(const struct march *m, const uint8_t *rows, int64_t time,
                           void *symbols);
HIDDEN void voxels_to_rows(const struct march *m, uint8_t *rows, int64_t time,
                           const void *symbols);

/* The lanes of a panel that have a voxel at the present time. */
static inline uint64_t live_lanes(const struct march *m, int32_t panel) {
    return m->live_now[panel] & m->ranges[MAX_REACH * m->panels + panel];
}

static inline int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
static inline int32_t clip(int32_t v, int32_t low, int32_t high) {
    return larger(low, smaller(v, high));
}

#endif
