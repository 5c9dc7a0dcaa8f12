/* Inside the native engine for linear predictors: what the kernels of the instruction sets share.
 */
#ifndef JAXSLICE_LINEAR_PLAN_H
#define JAXSLICE_LINEAR_PLAN_H

#include "linear.h"
#include "plan.h"

enum {
    MAX_SCALES = 64,
    MAX_PHASES = 4,
    MAX_PREDICTORS = 16,
    MAX_EXPONENT = 7,
    MAX_OFFSET = 1 << 20,
    MAX_FIRST = 91,        /* four tables an octave, of activities below 2**23 */
    CURVE_BYTES = 5,
    HIGHEST_SHARPNESS = 160,
    RESIDUALS = 256,
    EDGES = RESIDUALS + 1,
    CENTRE = 128,          /* the residual's index where a symbol is as predicted */
    SLOT_BITS = 10,        /* a position's upper bits, which say where to look for its interval */
    SLOTS = 1 << SLOT_BITS,
    SLOT_SHIFT = PRECISION - SLOT_BITS,
    START_BITS = 24,       /* of a slot's word; the upper 8 are a residual's index */
};

/* The numbers of one predictor as the kernels want them. */
struct predictor {
    int32_t exponent, first, offset;
    int32_t first_table;      /* of its scales * phases tables */
    int32_t reference_weight; /* 2**exponent less the sum of the weights */
    int32_t weights[MAX_CONTEXT], activity_weights[MAX_CONTEXT]; /* 0 beyond the context */
    int32_t weight_cells[MAX_CONTEXT / 4], activity_cells[MAX_CONTEXT / 4]; /* four bytes each */
};

/* What `m->work` points to. Table `first_table + scale * phases + phase` has the edges C(0) ..
 * C(256) and, for each slot, the residual that holds the slot's first position and the start of
 * its interval. */
struct linear {
    int32_t phases, phase_bits, scales, predictors;
    int32_t varies;           /* whether slices differ in their predictor */
    const uint8_t *choices;   /* of the task */
    struct predictor *predictor; /* [predictors] */
    int32_t *edges;           /* [table][EDGES] */
    uint32_t *slots;          /* [table][SLOTS]; NULL when encoding, which needs none */
    void *own;                /* the kernel's own work */
};

/* The lanes of a panel that each of some predictors is for. */
struct parts {
    int32_t count;
    int32_t predictor[MAX_PREDICTORS];
    uint64_t lanes[MAX_PREDICTORS];
};

HIDDEN extern const struct kernel linear_portable;
#if defined(__x86_64__)
HIDDEN extern const struct kernel linear_avx2;
HIDDEN extern const struct kernel linear_avx512;
#endif

/* linear.c: whether a task is within its limits; 0 or an error. */
HIDDEN int64_t linear_check(const struct linear_task *task);

/* linear_tables.c: fills the edges of all tables, and their slots if there are any. */
HIDDEN void linear_fill_tables(struct linear *linear, const uint8_t *curves);

/* linear_parts.c: which predictors the voxels of a panel have. At least one. */
HIDDEN void linear_find_parts(const struct march *m, int32_t panel, struct parts *parts);

/* The interval that holds a position, at `from` or after it in the same table: its edge. */
static inline int32_t linear_bisect(const int32_t *edges, int32_t from, int32_t position) {
    int32_t to = from - from % EDGES + RESIDUALS;
    while (to - from > 1) {
        const int32_t middle = (from + to) / 2;
        if (edges[middle] <= position)
            from = middle;
        else
            to = middle;
    }
    return from;
}

static inline struct parts linear_parts(const struct march *m, int32_t panel) {
    const struct linear *linear = m->work;
    struct parts parts = {1, {linear->choices[0]}, {~(uint64_t)0}};
    if (linear->varies) linear_find_parts(m, panel, &parts);
    return parts;
}

#endif
