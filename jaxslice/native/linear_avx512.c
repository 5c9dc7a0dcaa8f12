/* A linear predictor for AVX-512 with VNNI. The order of lanes is that of avx512_predict.h until
 * the tables are chosen, and then the natural one. */
#include "avx512_states.h"
#include "linear_plan.h"

/* What 64 lanes' voxels are predicted to be, less the centre, and the tables they are coded with. */
struct prediction {
    vector table[4], whole[4];
};

/* What the context says of 64 lanes, by one predictor. */
struct sums {
    vector place[4], activity[4];
};

/* Predicts all lanes with each of `count` predictors, which look at the context together. Where a
 * voxel is outside the reference stands in: its difference is 0. */
INLINE void add_context(const struct march *m, int32_t panel,
                        const struct predictor *const *predictors, const int count,
                        struct sums *sums) {
    const vector reference = load_reference(m, panel);
    const vector four[4] = {reference, reference, reference, reference};
    vector repeated[4];
    interleave(four, repeated);
    UNROLL for (int p = 0; p < count; p++)
        UNROLL for (int j = 0; j < 4; j++) {
            sums[p].place[j] = _mm512_madd_epi16(_mm512_srli_epi32(repeated[j], 24),
                                                 ALL32(predictors[p]->reference_weight & 0xffff));
            sums[p].activity[j] = ALL32(predictors[p]->offset);
        }
    for (int32_t c = 0; c < m->context_count; c += 4) {
        vector v[4], x[4];
        UNROLL for (int i = 0; i < 4; i++) v[i] = load_context(m, panel, c + i, reference);
        interleave(v, x);
        UNROLL for (int j = 0; j < 4; j++) {
            const vector size = _mm512_or_si512(_mm512_subs_epu8(x[j], repeated[j]),
                                                _mm512_subs_epu8(repeated[j], x[j]));
            UNROLL for (int p = 0; p < count; p++) {
                sums[p].place[j] = dot_bytes(sums[p].place[j], x[j],
                                             ALL32(predictors[p]->weight_cells[c / 4]));
                sums[p].activity[j] = dot_bytes(sums[p].activity[j], size,
                                                ALL32(predictors[p]->activity_cells[c / 4]));
            }
        }
    }
}

/* From sums to predictions. */
INLINE void set_prediction(const struct linear *linear, const struct predictor *predictor,
                           const struct sums *sums, const vector levels[4],
                           struct prediction *to) {
    const __m128i down = _mm_cvtsi32_si128(predictor->exponent - linear->phase_bits);
    const __m128i bits = _mm_cvtsi32_si128(linear->phase_bits);
    const vector zero = _mm512_setzero_si512(), lowest = ALL32(4 * 127 + predictor->first);
    UNROLL for (int j = 0; j < 4; j++) {
        const vector most = _mm512_sub_epi32(_mm512_sll_epi32(levels[j], bits), ALL32(1));
        const vector place = _mm512_sra_epi32(sums->place[j], down);
        const vector kept = _mm512_max_epi32(_mm512_min_epi32(place, most), zero);
        const vector float_bits = _mm512_castps_si512(_mm512_cvtepi32_ps(sums->activity[j]));
        const vector scale = _mm512_sub_epi32(_mm512_srli_epi32(float_bits, 21), lowest);
        const vector within = clip32(scale, 0, linear->scales - 1);
        const vector phase = _mm512_and_si512(kept, ALL32(linear->phases - 1));
        to->table[j] = _mm512_add_epi32(_mm512_add_epi32(_mm512_sll_epi32(within, bits), phase),
                                        ALL32(predictor->first_table));
        to->whole[j] = _mm512_srl_epi32(kept, bits);
    }
    transpose4(to->table);
    transpose4(to->whole);
}

enum { MOST_TOGETHER = 2 }; /* predictors */

/* Predicts the lanes of parts `first` .. `first + count - 1`. */
INLINE void predict_parts(const struct march *m, int32_t panel, const struct parts *parts,
                          int32_t first, const int count, struct prediction *to) {
    const struct linear *linear = m->work;
    const struct predictor *predictors[MOST_TOGETHER];
    struct sums sums[MOST_TOGETHER];
    vector levels[4];
    UNROLL for (int p = 0; p < count; p++)
        predictors[p] = linear->predictor + parts->predictor[first + p];
    add_context(m, panel, predictors, count, sums);
    load_levels(m, panel, levels);
    UNROLL for (int p = 0; p < count; p++) {
        struct prediction other;
        set_prediction(linear, predictors[p], sums + p, levels, &other);
        UNROLL for (int j = 0; j < 4; j++) {
            const mask lanes = (mask)(parts->lanes[first + p] >> (16 * j));
            to->table[j] = _mm512_mask_mov_epi32(to->table[j], lanes, other.table[j]);
            to->whole[j] = _mm512_mask_mov_epi32(to->whole[j], lanes, other.whole[j]);
        }
    }
}

/* Where slices differ in their predictor, lanes of several may be in a panel. */
static __attribute__((noinline)) void predict_linear(const struct march *m, int32_t panel,
                                                     struct prediction *to) {
    const struct parts parts = linear_parts(m, panel);
    UNROLL for (int j = 0; j < 4; j++)
        to->table[j] = to->whole[j] = _mm512_setzero_si512();
    int32_t first = 0;
    for (; first + MOST_TOGETHER <= parts.count; first += MOST_TOGETHER)
        predict_parts(m, panel, &parts, first, MOST_TOGETHER, to);
    if (first < parts.count) predict_parts(m, panel, &parts, first, 1, to);
}

INLINE vector lookup(const void *table, vector index) {
    return _mm512_i32gather_epi32(index, table, 4);
}

/* Elements `index` and `index + 1`: two are one of 64 bits, which costs as much as one of 32. */
INLINE void lookup_two(const int32_t *table, vector index, vector *first, vector *second) {
    const vector firsts = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                            30);
    const vector a = _mm512_i32gather_epi64(_mm512_castsi512_si256(index), table, 4);
    const vector b = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(index, 1), table, 4);
    *first = _mm512_permutex2var_epi32(a, firsts, b);
    *second = _mm512_permutex2var_epi32(a, _mm512_or_si512(firsts, ALL32(1)), b);
}

/* The first of a table's edges: 257 * table. */
INLINE vector first_edge(vector table) {
    return _mm512_add_epi32(_mm512_slli_epi32(table, 8), table);
}

/* The intervals that the positions of 64 lanes are in, and where each is in all tables' edges. */
struct found {
    vector place[4], low[4], high[4];
};

/* Of the lanes in `beyond`: by bisection of their tables, one lane after the other. */
static __attribute__((noinline)) void find_rest(const int32_t *edges, mask beyond, vector position,
                                                vector *place, vector *low, vector *high) {
    int32_t positions[16], places[16], lows[16], highs[16];
    _mm512_storeu_si512(positions, position);
    _mm512_storeu_si512(places, *place);
    _mm512_storeu_si512(lows, *low);
    _mm512_storeu_si512(highs, *high);
    for (uint32_t left = beyond; left; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        places[lane] = linear_bisect(edges, places[lane], positions[lane]);
        lows[lane] = edges[places[lane]];
        highs[lane] = edges[places[lane] + 1];
    }
    *place = _mm512_loadu_si512(places);
    *low = _mm512_loadu_si512(lows);
    *high = _mm512_loadu_si512(highs);
}

/* Finds the intervals that hold the positions. A slot says where to begin; most lanes are there or
 * one further. All four vectors go together, so that they wait for memory at the same time. */
INLINE void find(const struct linear *linear, const vector table[4], const vector position[4],
                 struct found *f) {
    mask beyond[4];
    UNROLL for (int j = 0; j < 4; j++) {
        const vector slot = _mm512_add_epi32(_mm512_slli_epi32(table[j], SLOT_BITS),
                                             _mm512_srli_epi32(position[j], SLOT_SHIFT));
        f->place[j] = lookup(linear->slots, slot);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        f->low[j] = _mm512_and_si512(f->place[j], ALL32((1 << START_BITS) - 1));
        f->place[j] = _mm512_add_epi32(first_edge(table[j]),
                                       _mm512_srli_epi32(f->place[j], START_BITS));
        f->high[j] = lookup(linear->edges + 1, f->place[j]);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        beyond[j] = _mm512_cmple_epi32_mask(f->high[j], position[j]);
        f->low[j] = _mm512_mask_mov_epi32(f->low[j], beyond[j], f->high[j]);
        f->place[j] = _mm512_mask_add_epi32(f->place[j], beyond[j], f->place[j], ALL32(1));
        f->high[j] = _mm512_mask_i32gather_epi32(f->high[j], beyond[j], f->place[j],
                                                 linear->edges + 1, 4);
    }
    UNROLL for (int j = 0; j < 4; j++)
        beyond[j] = _mm512_cmple_epi32_mask(f->high[j], position[j]);
    UNROLL for (int j = 0; j < 4; j++)
        if (beyond[j])
            find_rest(linear->edges, beyond[j], position[j], f->place + j, f->low + j,
                      f->high + j);
}

static void decode_panel(struct march *m, int32_t panel) {
    const struct linear *linear = m->work;
    struct prediction prediction;
    struct found found;
    vector position[4];
    predict_linear(m, panel, &prediction);
    const uint64_t live = live_lanes(m, panel);
    const uint32_t *low = m->low + PANEL * panel;
    UNROLL for (int j = 0; j < 4; j++)
        position[j] = _mm512_and_si512(_mm512_load_si512(low + 16 * j), ALL32(TOTAL - 1));
    find(linear, prediction.table, position, &found);
    UNROLL for (int j = 0; j < 4; j++) {
        const vector residual = _mm512_sub_epi32(found.place[j], first_edge(prediction.table[j]));
        const vector symbol =
            _mm512_add_epi32(_mm512_add_epi32(prediction.whole[j], residual), ALL32(-CENTRE));
        _mm_storeu_si128((__m128i *)(m->now + PANEL * panel + 16 * j),
                         _mm512_cvtepi32_epi8(symbol));
        pop(m, PANEL * panel + 16 * j, (mask)(live >> (16 * j)),
            _mm512_sub_epi32(found.high[j], found.low[j]),
            _mm512_sub_epi32(position[j], found.low[j]));
    }
}

static void encode_panel(struct march *m, int32_t panel) {
    const struct linear *linear = m->work;
    struct prediction prediction;
    predict_linear(m, panel, &prediction);
    const uint64_t live = live_lanes(m, panel);
    UNROLL for (int j = 3; j >= 0; j--) {
        const int32_t lane = PANEL * panel + 16 * j;
        const vector symbol =
            _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(m->now + lane)));
        const vector apart = _mm512_sub_epi32(symbol, prediction.whole[j]);
        const vector residual =
            _mm512_and_si512(_mm512_add_epi32(apart, ALL32(CENTRE)), ALL32(RESIDUALS - 1));
        const vector edge = _mm512_add_epi32(first_edge(prediction.table[j]), residual);
        vector start, end;
        lookup_two(linear->edges, edge, &start, &end);
        push(m, lane, (mask)(live >> (16 * j)), _mm512_sub_epi32(end, start), start);
    }
}

const struct kernel linear_avx512 = {0, 4, 0, NULL, decode_panel, encode_panel};
