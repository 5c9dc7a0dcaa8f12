/* AVX2: the intervals of symbols, and the search for them, half a panel at once.
 *
 * avx2_predict.h has the networks, avx2_curve.h the distributions, avx2_states.h the coder's states,
 * avx2_lanes.h the contexts, avx2_wide.c voxels of 16 bits.
 */
#include "avx2_curve.h"

/* 64 levels of each lane's slice, in the order of the mixtures' vectors. */
INLINE void load_limits(const struct march *m, int32_t half, vector limits[4]) {
    load_levels(m, half, limits);
    UNROLL for (int j = 0; j < 4; j++) limits[j] = _mm256_slli_epi32(limits[j], 6);
}

/* See avx512.c. */
INLINE void find_two(const struct mixtures *mix, int first, const vector *positions,
                     const vector *limits, const int count, vector *symbol, vector *start,
                     vector *end) {
    enum { TOGETHER = 2 };
    const int pairs = (count + 1) / 2;
    vector here[TOGETHER][MAX_COMPONENTS], step[TOGETHER][MAX_COMPONENTS];
    vector low[TOGETHER];
    UNROLL for (int j = 0; j < TOGETHER; j++) {
        UNROLL for (int k = 0; k < 2 * pairs; k++) {
            here[j][k] = mix->start[k][first + j];
            step[j][k] = _mm256_slli_epi32(mix->inverse[k][first + j], 11);
        }
        low[j] = start[first + j] = _mm256_setzero_si256();
        end[first + j] = ALL32(TOTAL);
    }
    vector half = ALL32(128 * MINIMUM_WIDTH);
    for (int round = 0; round < 8; round++) {
        UNROLL for (int j = 0; j < TOGETHER; j++) {
            vector there[MAX_COMPONENTS], weights[MAX_COMPONENTS / 2];
            UNROLL for (int k = 0; k < 2 * pairs; k++)
                there[k] = _mm256_add_epi32(here[j][k], step[j][k]);
            UNROLL for (int p = 0; p < pairs; p++) weights[p] = mix->weights[p][first + j];
            const vector edge = _mm256_add_epi32(low[j], half);
            const vector c = cumulative(there, weights, edge, pairs);
            const vector beyond = _mm256_cmpgt_epi32(c, positions[first + j]);
            const vector inside = _mm256_cmpgt_epi32(limits[first + j], edge);
            const vector reached = _mm256_andnot_si256(beyond, inside);
            const vector above = _mm256_and_si256(beyond, inside);
            end[first + j] = _mm256_blendv_epi8(end[first + j], c, above);
            start[first + j] = _mm256_blendv_epi8(start[first + j], c, reached);
            low[j] = _mm256_blendv_epi8(low[j], edge, reached);
            UNROLL for (int k = 0; k < 2 * pairs; k++) {
                here[j][k] = _mm256_blendv_epi8(here[j][k], there[k], reached);
                step[j][k] = _mm256_srai_epi32(step[j][k], 1);
            }
        }
        half = _mm256_srli_epi32(half, 1);
    }
    UNROLL for (int j = 0; j < TOGETHER; j++) symbol[first + j] = _mm256_srli_epi32(low[j], 6);
}

INLINE void decode_half(struct march *m, int32_t half, uint32_t live, const int count) {
    struct mixtures mix;
    predict(m, half, count, &mix);
    vector natural[4], position[4], limits[4], symbol[4], start[4], end[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const vector low = load8(m->low + HALF * half + 8 * j);
        natural[j] = position[j] = _mm256_and_si256(low, ALL32(TOTAL - 1));
    }
    from_natural(position);
    load_limits(m, half, limits);
    find_two(&mix, 0, position, limits, count, symbol, start, end);
    find_two(&mix, 2, position, limits, count, symbol, start, end);
    const vector bytes = _mm256_packus_epi16(_mm256_packs_epi32(symbol[0], symbol[1]),
                                             _mm256_packs_epi32(symbol[2], symbol[3]));
    _mm256_storeu_si256((vector *)(m->now + HALF * half), bytes);
    UNROLL for (int j = 0; j < 4; j++) end[j] = _mm256_sub_epi32(end[j], start[j]);
    to_natural(start);
    to_natural(end);
    UNROLL for (int j = 0; j < 4; j++)
        pop(m, orders_of(m), HALF * half + 8 * j, lane_mask(live >> (8 * j)), end[j],
            _mm256_sub_epi32(natural[j], start[j]));
}

/* start and freq of the symbols of vector j. */
INLINE void interval_of(const struct mixtures *mix, int j, vector symbol, vector limit,
                        const int count, vector *start, vector *freq) {
    const int pairs = (count + 1) / 2;
    vector lower[MAX_COMPONENTS], upper[MAX_COMPONENTS], weights[MAX_COMPONENTS / 2];
    UNROLL for (int k = 0; k < 2 * pairs; k++) {
        const vector width = _mm256_slli_epi32(mix->inverse[k][j], 4);
        lower[k] = _mm256_add_epi32(mix->start[k][j], _mm256_mullo_epi32(symbol, width));
        upper[k] = _mm256_add_epi32(lower[k], width);
    }
    UNROLL for (int p = 0; p < pairs; p++) weights[p] = mix->weights[p][j];
    const vector below = _mm256_slli_epi32(symbol, 6);
    const vector next = _mm256_add_epi32(below, ALL32(MINIMUM_WIDTH));
    const vector c = cumulative(lower, weights, below, pairs);
    const vector d = cumulative(upper, weights, next, pairs);
    const vector first = _mm256_cmpeq_epi32(symbol, _mm256_setzero_si256());
    *start = _mm256_andnot_si256(first, c);
    const vector inside = _mm256_cmpgt_epi32(limit, next);
    *freq = _mm256_sub_epi32(_mm256_blendv_epi8(ALL32(TOTAL), d, inside), *start);
}

INLINE void encode_half(struct march *m, int32_t half, uint32_t live, const int count) {
    struct mixtures mix;
    predict(m, half, count, &mix);
    const vector bytes = _mm256_loadu_si256((const vector *)(m->now + HALF * half));
    vector symbol[4], limits[4], start[4], freq[4];
    interleave(bytes, _mm256_setzero_si256(), symbol);
    load_limits(m, half, limits);
    UNROLL for (int j = 0; j < 4; j++)
        interval_of(&mix, j, symbol[j], limits[j], count, start + j, freq + j);
    to_natural(start);
    to_natural(freq);
    UNROLL for (int j = 3; j >= 0; j--)
        push(m, orders_of(m), HALF * half + 8 * j, lane_mask(live >> (8 * j)), freq[j], start[j]);
}

static void start_work(void *memory) {
    struct work *work = memory;
    fill_orders(&work->orders);
}

#include "avx2_halves.h"

static void decode(struct march *m, int32_t panel) {
    if (m->wide)
        avx2_wide_decode(m, panel);
    else
        decoders[m->components - 1](m, panel);
}

static void encode(struct march *m, int32_t panel) {
    if (m->wide)
        avx2_wide_encode(m, panel);
    else
        encoders[m->components - 1](m, panel);
}

const struct kernel march_avx2 = {
    INPUTS_OF_CELL, 3, sizeof(struct work), start_work, decode, encode, 0, 0, avx2_pack,
    INTS_OF_GROUP,
};
