/* A linear predictor's kernel in plain C: loops over a panel's lanes for the compiler to make
 * vectors of. Each instruction set that has no kernel written by hand compiles it once. */
#ifndef JAXSLICE_LINEAR_LANES_H
#define JAXSLICE_LINEAR_LANES_H

#include "linear_plan.h"
#include "states.h"

/* What a panel's voxels are predicted to be, and the table that each is coded with. */
struct prediction {
    int32_t table[PANEL], whole[PANEL];
};

typedef uint8_t lanes16 __attribute__((vector_size(16)));
typedef uint64_t mask16 __attribute__((vector_size(16)));

/* Makes a number of 8 bits that number in each byte; a lane's bit of it. */
#define EACH_BYTE 0x0101010101010101u
#define LANE_BITS ((lanes16){1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128})

/* Symbols of context voxel c, `other` where it is outside. */
static void context_or(const struct march *m, int32_t panel, int32_t c, const uint8_t *other,
                       uint8_t *out) {
    const struct place *place = m->places + c;
    const uint64_t live = m->live_now[place->live + panel] & m->ranges[place->range + panel];
    const uint8_t *values = m->now + place->value + PANEL * panel;
    if (~live == 0) {
        memcpy(out, values, PANEL);
        return;
    }
    for (int32_t i = 0; i < PANEL; i += 16) {
        const mask16 lanes = {EACH_BYTE * (live >> i & 0xff), EACH_BYTE * (live >> (i + 8) & 0xff)};
        lanes16 inside, outside, mask = (lanes16)(((lanes16)lanes & LANE_BITS) != 0);
        memcpy(&inside, values + i, sizeof inside);
        memcpy(&outside, other + i, sizeof outside);
        inside = (inside & mask) | (outside & ~mask);
        memcpy(out + i, &inside, sizeof inside);
    }
}

static void load_reference(const struct march *m, int32_t panel, uint8_t *reference) {
    uint8_t none[PANEL], f[PANEL], first[PANEL], a[PANEL], b[PANEL], c[PANEL], d[PANEL];
    memset(none, NO_REFERENCE, sizeof none);
    context_or(m, panel, m->fallback, none, f);
    context_or(m, panel, 1, f, first);
    context_or(m, panel, 0, first, a);
    context_or(m, panel, 1, a, b);
    context_or(m, panel, 2, b, c);
    context_or(m, panel, 3, a, d);
    for (int32_t i = 0; i < PANEL; i++)
        reference[i] = (uint8_t)((3 * a[i] + 3 * b[i] + c[i] + d[i]) >> 3);
}

/* The place of an activity among the scales: its exponent and two more bits. */
static int32_t scale_of(const struct linear *linear, const struct predictor *predictor,
                        int32_t activity) {
    const float value = (float)activity; /* below 2**24: exact */
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return clip((bits >> 21) - 4 * 127 - predictor->first, 0, linear->scales - 1);
}

/* Predicts with one predictor the lanes that it is for. */
static void predict_part(const struct march *m, int32_t panel, const struct predictor *predictor,
                         uint64_t lanes, struct prediction *to) {
    const struct linear *linear = m->work;
    uint8_t reference[PANEL], v[PANEL];
    int32_t sums[PANEL], activity[PANEL];
    load_reference(m, panel, reference);
    for (int32_t i = 0; i < PANEL; i++) {
        sums[i] = 0;
        activity[i] = predictor->offset;
    }
    for (int32_t c = 0; c < m->context_count; c++) {
        const int32_t weight = predictor->weights[c], size = predictor->activity_weights[c];
        context_or(m, panel, c, reference, v);
        for (int32_t i = 0; i < PANEL; i++) {
            const int32_t difference = v[i] - reference[i];
            sums[i] += weight * difference;
            activity[i] += size * (difference < 0 ? -difference : difference);
        }
    }
    /* Adding 2**24, of which 2**exponent is a factor, keeps the shifted number positive. */
    const int32_t down = predictor->exponent - linear->phase_bits, high = 1 << 24;
    for (int32_t i = 0; i < PANEL; i++) {
        if (~lanes >> i & 1) continue;
        const int32_t most =
            m->limited ? m->limits_now[PANEL * panel + i] + 1 : RESIDUALS;
        const int32_t sum = (reference[i] << predictor->exponent) + sums[i];
        const int32_t place = ((sum + high) >> down) - (high >> down);
        const int32_t kept = clip(place, 0, (most << linear->phase_bits) - 1);
        to->whole[i] = kept >> linear->phase_bits;
        to->table[i] = predictor->first_table +
                       scale_of(linear, predictor, activity[i]) * linear->phases +
                       (kept & (linear->phases - 1));
    }
}

static void predict(const struct march *m, int32_t panel, struct prediction *to) {
    const struct linear *linear = m->work;
    const struct parts parts = linear_parts(m, panel);
    for (int32_t i = 0; i < parts.count; i++)
        predict_part(m, panel, linear->predictor + parts.predictor[i], parts.lanes[i], to);
}

static void decode_lane(struct march *m, int32_t lane, int32_t table, int32_t whole) {
    const struct linear *linear = m->work;
    uint64_t state = state_of(m, lane);
    const int32_t position = (int32_t)(state & (TOTAL - 1));
    const int32_t *edges = linear->edges + (int64_t)table * EDGES;
    int32_t i = (int32_t)(linear->slots[(int64_t)table * SLOTS + (position >> SLOT_SHIFT)] >>
                          START_BITS);
    while (edges[i + 1] <= position) i++;
    m->now[lane] = (uint8_t)(whole + i - CENTRE);
    const uint64_t freq = (uint64_t)(edges[i + 1] - edges[i]);
    state = freq * (state >> PRECISION) + (uint64_t)(position - edges[i]);
    if (state >> 31 == 0) {
        if (m->words_left == 0) {
            m->failed = 1;
            return;
        }
        state = state << 32 | *m->next_word++;
        m->words_left--;
    }
    set_state(m, lane, state);
}

static void encode_lane(struct march *m, int32_t lane, int32_t table, int32_t whole) {
    const struct linear *linear = m->work;
    const int32_t *edges = linear->edges + (int64_t)table * EDGES;
    const uint8_t i = (uint8_t)(m->now[lane] - whole + CENTRE);
    const uint64_t freq = (uint64_t)(edges[i + 1] - edges[i]);
    uint64_t state = state_of(m, lane);
    if (state >= freq << 39) {
        if (m->words_left == 0) {
            m->failed = 1;
            return;
        }
        *--m->last_word = (uint32_t)state;
        m->words_left--;
        state >>= 32;
    }
    const uint64_t quotient = state / freq;
    set_state(m, lane,
              (quotient << PRECISION) + (state - quotient * freq) + (uint64_t)edges[i]);
}

static void decode_panel(struct march *m, int32_t panel) {
    struct prediction prediction;
    predict(m, panel, &prediction);
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 0; i < PANEL; i++)
        if (live >> i & 1)
            decode_lane(m, panel * PANEL + i, prediction.table[i], prediction.whole[i]);
}

static void encode_panel(struct march *m, int32_t panel) {
    struct prediction prediction;
    predict(m, panel, &prediction);
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = PANEL - 1; i >= 0; i--)
        if (live >> i & 1)
            encode_lane(m, panel * PANEL + i, prediction.table[i], prediction.whole[i]);
}

#endif
