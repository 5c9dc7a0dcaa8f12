/* AVX-512 with VNNI: intervals, and states of a panel's lanes. See avx512_predict.h. */
#include "avx512_curve.h"
#include "avx512_states.h"

/* 64 levels of each lane's slice, in the order of the mixtures' vectors. */
INLINE void load_limits(const struct march *m, int32_t panel, vector limits[4]) {
    load_levels(m, panel, limits);
    UNROLL for (int j = 0; j < 4; j++) limits[j] = _mm512_slli_epi32(limits[j], 6);
}

/* Finds the symbols whose intervals hold the positions, by bisection; both edges of an interval
 * have been evaluated on the way. Two vectors together, to hide the latency of one's chain. */
INLINE void find_two(const struct mixtures *mix, int first, const vector *positions,
                     const vector *limits, const int count, vector *symbol, vector *start,
                     vector *end) {
    enum { TOGETHER = 2 };
    const int pairs = (count + 1) / 2;
    vector here[TOGETHER][MAX_COMPONENTS], step[TOGETHER][MAX_COMPONENTS];
    vector weights[TOGETHER][MAX_COMPONENTS / 2], low[TOGETHER];
    UNROLL for (int j = 0; j < TOGETHER; j++) {
        UNROLL for (int k = 0; k < 2 * pairs; k++) {
            here[j][k] = mix->start[k][first + j];
            step[j][k] = _mm512_slli_epi32(mix->inverse[k][first + j], 11);
        }
        UNROLL for (int p = 0; p < pairs; p++) weights[j][p] = mix->weights[p][first + j];
        low[j] = start[first + j] = _mm512_setzero_si512();
        end[first + j] = ALL32(TOTAL);
    }
    vector half = ALL32(128 * MINIMUM_WIDTH);
    for (int round = 0; round < 8; round++) {
        UNROLL for (int j = 0; j < TOGETHER; j++) {
            vector there[MAX_COMPONENTS];
            UNROLL for (int k = 0; k < 2 * pairs; k++)
                there[k] = _mm512_add_epi32(here[j][k], step[j][k]);
            const vector edge = _mm512_add_epi32(low[j], half);
            const vector c = cumulative(there, weights[j], edge, pairs);
            const mask inside = _mm512_cmplt_epi32_mask(edge, limits[first + j]);
            const mask reached =
                _mm512_mask_cmple_epi32_mask(inside, c, positions[first + j]);
            const mask above = (mask)(inside & ~reached);
            end[first + j] = _mm512_mask_mov_epi32(end[first + j], above, c);
            start[first + j] = _mm512_mask_mov_epi32(start[first + j], reached, c);
            low[j] = _mm512_mask_mov_epi32(low[j], reached, edge);
            UNROLL for (int k = 0; k < 2 * pairs; k++) {
                here[j][k] = _mm512_mask_mov_epi32(here[j][k], reached, there[k]);
                step[j][k] = _mm512_srai_epi32(step[j][k], 1);
            }
        }
        half = _mm512_srli_epi32(half, 1);
    }
    UNROLL for (int j = 0; j < TOGETHER; j++) symbol[first + j] = _mm512_srli_epi32(low[j], 6);
}

INLINE void decode_panel(struct march *m, int32_t panel, const int count) {
    struct mixtures mix;
    predict(m, panel, count, &mix);
    vector natural[4], position[4], limits[4], symbol[4], start[4], end[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const vector low = _mm512_load_si512(m->low + PANEL * panel + 16 * j);
        natural[j] = position[j] = _mm512_and_si512(low, ALL32(TOTAL - 1));
    }
    transpose4(position);
    load_limits(m, panel, limits);
    find_two(&mix, 0, position, limits, count, symbol, start, end);
    find_two(&mix, 2, position, limits, count, symbol, start, end);
    _mm512_storeu_si512(m->now + PANEL * panel,
                        _mm512_packus_epi16(_mm512_packs_epi32(symbol[0], symbol[1]),
                                            _mm512_packs_epi32(symbol[2], symbol[3])));
    UNROLL for (int j = 0; j < 4; j++) end[j] = _mm512_sub_epi32(end[j], start[j]);
    transpose4(start);
    transpose4(end);
    const uint64_t live = live_lanes(m, panel);
    UNROLL for (int j = 0; j < 4; j++)
        pop(m, PANEL * panel + 16 * j, (mask)(live >> (16 * j)), end[j],
            _mm512_sub_epi32(natural[j], start[j]));
}

/* start and freq of the symbols of vector j. */
INLINE void interval_of(const struct mixtures *mix, int j, vector symbol, vector limit,
                        const int count, vector *start, vector *freq) {
    const int pairs = (count + 1) / 2;
    vector lower[MAX_COMPONENTS], upper[MAX_COMPONENTS], weights[MAX_COMPONENTS / 2];
    UNROLL for (int k = 0; k < 2 * pairs; k++) {
        const vector width = _mm512_slli_epi32(mix->inverse[k][j], 4);
        lower[k] = _mm512_add_epi32(mix->start[k][j], _mm512_mullo_epi32(symbol, width));
        upper[k] = _mm512_add_epi32(lower[k], width);
    }
    UNROLL for (int p = 0; p < pairs; p++) weights[p] = mix->weights[p][j];
    const vector below = _mm512_slli_epi32(symbol, 6);
    const vector next = _mm512_add_epi32(below, ALL32(MINIMUM_WIDTH));
    const vector c = cumulative(lower, weights, below, pairs);
    const vector d = cumulative(upper, weights, next, pairs);
    *start = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(symbol, symbol), c);
    const mask last = _mm512_cmpge_epi32_mask(next, limit);
    *freq = _mm512_sub_epi32(_mm512_mask_mov_epi32(d, last, ALL32(TOTAL)), *start);
}

INLINE void encode_panel(struct march *m, int32_t panel, const int count) {
    struct mixtures mix;
    predict(m, panel, count, &mix);
    const vector zero = _mm512_setzero_si512();
    const vector bytes = _mm512_loadu_si512(m->now + PANEL * panel);
    const vector zeros[4] = {bytes, zero, zero, zero};
    vector symbol[4], limits[4], start[4], freq[4];
    interleave(zeros, symbol);
    load_limits(m, panel, limits);
    UNROLL for (int j = 0; j < 4; j++)
        interval_of(&mix, j, symbol[j], limits[j], count, start + j, freq + j);
    transpose4(start);
    transpose4(freq);
    const uint64_t live = live_lanes(m, panel);
    UNROLL for (int j = 3; j >= 0; j--)
        push(m, PANEL * panel + 16 * j, (mask)(live >> (16 * j)), freq[j], start[j]);
}

#include "by_components.h"

static void decode(struct march *m, int32_t panel) {
    if (m->wide)
        avx512_wide_decode(m, panel);
    else
        decoders[m->components - 1](m, panel);
}

static void encode(struct march *m, int32_t panel) {
    if (m->wide)
        avx512_wide_encode(m, panel);
    else
        encoders[m->components - 1](m, panel);
}

const struct kernel march_avx512 = {4, 3, sizeof(struct work), NULL, decode, encode};
