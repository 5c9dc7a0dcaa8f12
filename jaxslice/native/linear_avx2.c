/* A linear predictor for AVX2, half a panel at once. The order of lanes is that of avx2_lanes.h
 * until the tables are chosen, and then the natural one. */
#include "avx2_states.h"
#include "linear_plan.h"

/* What 32 lanes' voxels are predicted to be, less the centre, and the tables they are coded with. */
struct prediction {
    vector table[4], whole[4];
};

/* What the context says of 32 lanes. */
struct sums {
    vector place[4], activity[4];
};

/* The weights of two context voxels, in the halves of each number. */
INLINE vector pair_of(const int32_t *weights) {
    return ALL32((int32_t)((uint32_t)weights[1] << 16 | (uint32_t)(weights[0] & 0xffff)));
}

INLINE vector sizes_of(vector symbols, vector reference) {
    return _mm256_or_si256(_mm256_subs_epu8(symbols, reference),
                           _mm256_subs_epu8(reference, symbols));
}

/* Where a voxel is outside the reference stands in: its difference is 0. */
INLINE void add_context(const struct march *m, int32_t half, const struct predictor *predictor,
                        struct sums *sums) {
    const vector reference = load_reference(m, half);
    interleave(reference, _mm256_setzero_si256(), sums->place);
    UNROLL for (int j = 0; j < 4; j++) {
        sums->place[j] =
            _mm256_madd_epi16(sums->place[j], ALL32(predictor->reference_weight & 0xffff));
        sums->activity[j] = ALL32(predictor->offset);
    }
    for (int32_t c = 0; c < m->context_count; c += 2) {
        const vector a = load_context(m, half, c, reference);
        const vector b = load_context(m, half, c + 1, reference);
        const vector weights = pair_of(predictor->weights + c);
        const vector shares = pair_of(predictor->activity_weights + c);
        vector symbols[4], sizes[4];
        interleave(a, b, symbols);
        interleave(sizes_of(a, reference), sizes_of(b, reference), sizes);
        UNROLL for (int j = 0; j < 4; j++) {
            sums->place[j] =
                _mm256_add_epi32(sums->place[j], _mm256_madd_epi16(symbols[j], weights));
            sums->activity[j] =
                _mm256_add_epi32(sums->activity[j], _mm256_madd_epi16(sizes[j], shares));
        }
    }
}

/* Predicts all lanes with one predictor. */
INLINE void predict_with(const struct march *m, int32_t half, const struct predictor *predictor,
                         struct prediction *to) {
    const struct linear *linear = m->work;
    struct sums sums;
    vector levels[4];
    add_context(m, half, predictor, &sums);
    load_levels(m, half, levels);
    const __m128i down = _mm_cvtsi32_si128(predictor->exponent - linear->phase_bits);
    const __m128i bits = _mm_cvtsi32_si128(linear->phase_bits);
    const vector lowest = ALL32(4 * 127 + predictor->first);
    UNROLL for (int j = 0; j < 4; j++) {
        const vector most = _mm256_sub_epi32(_mm256_sll_epi32(levels[j], bits), ALL32(1));
        const vector place = _mm256_sra_epi32(sums.place[j], down);
        const vector kept =
            _mm256_max_epi32(_mm256_min_epi32(place, most), _mm256_setzero_si256());
        const vector float_bits = _mm256_castps_si256(_mm256_cvtepi32_ps(sums.activity[j]));
        const vector scale = _mm256_sub_epi32(_mm256_srli_epi32(float_bits, 21), lowest);
        const vector within = clip32(scale, 0, linear->scales - 1);
        const vector phase = _mm256_and_si256(kept, ALL32(linear->phases - 1));
        to->table[j] = _mm256_add_epi32(_mm256_add_epi32(_mm256_sll_epi32(within, bits), phase),
                                        ALL32(predictor->first_table));
        to->whole[j] = _mm256_srl_epi32(kept, bits);
    }
    to_natural(to->table);
    to_natural(to->whole);
}

/* Where slices differ in their predictor, lanes of several may be in a panel. */
INLINE void predict_linear(const struct march *m, int32_t half, const struct parts *parts,
                           struct prediction *to) {
    const struct linear *linear = m->work;
    predict_with(m, half, linear->predictor + parts->predictor[0], to);
    for (int32_t i = 1; i < parts->count; i++) {
        const uint32_t part = (uint32_t)(parts->lanes[i] >> (HALF * (half % 2)));
        if (!part) continue;
        struct prediction other;
        predict_with(m, half, linear->predictor + parts->predictor[i], &other);
        UNROLL for (int j = 0; j < 4; j++) {
            const vector lanes = lane_mask(part >> (8 * j));
            to->table[j] = _mm256_blendv_epi8(to->table[j], other.table[j], lanes);
            to->whole[j] = _mm256_blendv_epi8(to->whole[j], other.whole[j], lanes);
        }
    }
}

INLINE vector lookup(const void *table, vector index) {
    return _mm256_i32gather_epi32(table, index, 4);
}

/* The first of a table's edges: 257 * table. */
INLINE vector first_edge(vector table) {
    return _mm256_add_epi32(_mm256_slli_epi32(table, 8), table);
}

/* Of the lanes in `beyond`: by bisection of their tables, one lane after the other. */
static __attribute__((noinline)) void find_rest(const int32_t *edges, uint32_t beyond,
                                                vector position, vector *place, vector *low,
                                                vector *high) {
    int32_t positions[8], places[8], lows[8], highs[8];
    _mm256_storeu_si256((vector *)positions, position);
    _mm256_storeu_si256((vector *)places, *place);
    _mm256_storeu_si256((vector *)lows, *low);
    _mm256_storeu_si256((vector *)highs, *high);
    for (uint32_t left = beyond; left; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        places[lane] = linear_bisect(edges, places[lane], positions[lane]);
        lows[lane] = edges[places[lane]];
        highs[lane] = edges[places[lane] + 1];
    }
    *place = _mm256_loadu_si256((const vector *)places);
    *low = _mm256_loadu_si256((const vector *)lows);
    *high = _mm256_loadu_si256((const vector *)highs);
}

/* Finds the interval that holds the position of each of 8 lanes, and where it is in all tables'
 * edges. A slot says where to begin; most lanes are there or one further. */
INLINE void find(const struct linear *linear, vector table, vector position, vector *place,
                 vector *low, vector *high) {
    const vector slot = lookup(linear->slots,
                               _mm256_add_epi32(_mm256_slli_epi32(table, SLOT_BITS),
                                                _mm256_srli_epi32(position, SLOT_SHIFT)));
    *low = _mm256_and_si256(slot, ALL32((1 << START_BITS) - 1));
    *place = _mm256_add_epi32(first_edge(table), _mm256_srli_epi32(slot, START_BITS));
    *high = lookup(linear->edges + 1, *place);
    const vector inside = _mm256_cmpgt_epi32(*high, position);
    *low = _mm256_blendv_epi8(*high, *low, inside);
    *place = _mm256_add_epi32(*place, _mm256_add_epi32(inside, ALL32(1)));
    *high = lookup(linear->edges + 1, *place);
    const uint32_t beyond = 0xff & ~bits_of(_mm256_cmpgt_epi32(*high, position));
    if (beyond) find_rest(linear->edges, beyond, position, place, low, high);
}

static void decode_half(struct march *m, int32_t half, const struct parts *parts, uint32_t live) {
    const struct linear *linear = m->work;
    struct prediction prediction;
    vector symbol[4];
    predict_linear(m, half, parts, &prediction);
    UNROLL for (int j = 0; j < 4; j++) {
        const int32_t lane = HALF * half + 8 * j;
        const vector position = _mm256_and_si256(load8(m->low + lane), ALL32(TOTAL - 1));
        vector place, low, high;
        find(linear, prediction.table[j], position, &place, &low, &high);
        const vector residual = _mm256_sub_epi32(place, first_edge(prediction.table[j]));
        const vector apart = _mm256_sub_epi32(residual, ALL32(CENTRE));
        symbol[j] = _mm256_and_si256(_mm256_add_epi32(prediction.whole[j], apart), ALL32(255));
        pop(m, linear->own, lane, lane_mask(live >> (8 * j)), _mm256_sub_epi32(high, low),
            _mm256_sub_epi32(position, low));
    }
    const vector bytes = _mm256_packus_epi16(_mm256_packs_epi32(symbol[0], symbol[1]),
                                             _mm256_packs_epi32(symbol[2], symbol[3]));
    const vector order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((vector *)(m->now + HALF * half),
                        _mm256_permutevar8x32_epi32(bytes, order));
}

static void encode_half(struct march *m, int32_t half, const struct parts *parts, uint32_t live) {
    const struct linear *linear = m->work;
    struct prediction prediction;
    predict_linear(m, half, parts, &prediction);
    UNROLL for (int j = 3; j >= 0; j--) {
        const int32_t lane = HALF * half + 8 * j;
        const vector symbol =
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(m->now + lane)));
        const vector apart = _mm256_sub_epi32(symbol, prediction.whole[j]);
        const vector residual =
            _mm256_and_si256(_mm256_add_epi32(apart, ALL32(CENTRE)), ALL32(RESIDUALS - 1));
        const vector edge = _mm256_add_epi32(first_edge(prediction.table[j]), residual);
        const vector start = lookup(linear->edges, edge), end = lookup(linear->edges + 1, edge);
        push(m, linear->own, lane, lane_mask(live >> (8 * j)), _mm256_sub_epi32(end, start),
             start);
    }
}

static void decode_panel(struct march *m, int32_t panel) {
    const struct parts parts = linear_parts(m, panel);
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 0; i < 2; i++)
        if ((uint32_t)(live >> (HALF * i)))
            decode_half(m, 2 * panel + i, &parts, (uint32_t)(live >> (HALF * i)));
}

static void encode_panel(struct march *m, int32_t panel) {
    const struct parts parts = linear_parts(m, panel);
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 1; i >= 0; i--)
        if ((uint32_t)(live >> (HALF * i)))
            encode_half(m, 2 * panel + i, &parts, (uint32_t)(live >> (HALF * i)));
}

static void start_work(void *memory) { fill_orders(memory); }

const struct kernel linear_avx2 = {0, 4, sizeof(struct word_orders), start_work, decode_panel,
                                   encode_panel};
