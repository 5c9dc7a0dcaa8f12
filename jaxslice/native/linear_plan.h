/* Inside the native engine for linear predictors: what the kernels of the instruction sets share.
 */
#ifndef JAXSLICE_LINEAR_PLAN_H
#define JAXSLICE_LINEAR_PLAN_H

#include "linear.h"
#include "plan.h"

enum {
    MAX_SCALES = 64,
    MAX_PHASES = 4,
    MAX_EXPONENT = 7,
    MAX_OFFSET = 1 << 20,
    MAX_FIRST = 91,        /* four tables an octave, of activities below 2**23 */
    CURVE_BYTES = 5,
    HIGHEST_SHARPNESS = 160,
    RESIDUALS = 256,
    EDGES = RESIDUALS + 1,
    CENTRE = 128,          /* the residual's index where a symbol is as predicted */
    SLOT_BITS = 11,        /* a position's upper bits, which say where to look for its interval */
    SLOTS = 1 << SLOT_BITS,
    SLOT_SHIFT = PRECISION - SLOT_BITS,
    START_BITS = 24,       /* of a slot's word; the upper 8 are a residual's index */
};

/* A task's numbers as the kernels want them; `m->work` points to it. Table `scale * phases + phase`
 * has the edges C(0) .. C(256) and, for each slot, the residual that holds the slot's first
 * position and the start of its interval. */
struct linear {
    int32_t phases, phase_bits, scales, exponent, first, offset;
    int32_t reference_weight; /* 2**exponent less the sum of the weights */
    int32_t weights[MAX_CONTEXT], activity_weights[MAX_CONTEXT]; /* 0 beyond the context */
    int32_t weight_cells[MAX_CONTEXT / 4], activity_cells[MAX_CONTEXT / 4]; /* four bytes each */
    int32_t *edges;           /* [table][EDGES] */
    uint32_t *slots;          /* [table][SLOTS] */
};

HIDDEN extern const struct kernel linear_portable;
#if defined(__x86_64__)
HIDDEN extern const struct kernel linear_avx2;
HIDDEN extern const struct kernel linear_avx512;
#endif

/* linear_tables.c: fills the edges and slots of all tables. */
HIDDEN void linear_fill_tables(struct linear *linear, const uint8_t *curves);

#endif
