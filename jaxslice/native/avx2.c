/* AVX2: intervals, and states of a panel's lanes, half a panel at once. See avx2_predict.h. */
#include "avx2_predict.h"

/* From the mixtures' order of four vectors to the natural one, and back. */
INLINE void to_natural(vector v[4]) {
    const vector a = _mm256_permute2x128_si256(v[0], v[1], 0x20);
    const vector b = _mm256_permute2x128_si256(v[2], v[3], 0x20);
    const vector c = _mm256_permute2x128_si256(v[0], v[1], 0x31);
    v[3] = _mm256_permute2x128_si256(v[2], v[3], 0x31);
    v[0] = a;
    v[1] = b;
    v[2] = c;
}

INLINE void from_natural(vector v[4]) {
    const vector a = _mm256_permute2x128_si256(v[0], v[2], 0x20);
    const vector b = _mm256_permute2x128_si256(v[0], v[2], 0x31);
    const vector c = _mm256_permute2x128_si256(v[1], v[3], 0x20);
    v[3] = _mm256_permute2x128_si256(v[1], v[3], 0x31);
    v[0] = a;
    v[1] = b;
    v[2] = c;
}

/* C of an edge; see avx512.c. */
INLINE vector cumulative(const vector *distance, const vector *weights, vector widths,
                         const int pairs) {
    const vector in_pairs = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    vector sum = ALL32(256 * 32768 + 256);
    UNROLL for (int p = 0; p < pairs; p++) {
        const vector packed = _mm256_packs_epi32(_mm256_srai_epi32(distance[2 * p], 10),
                                                 _mm256_srai_epi32(distance[2 * p + 1], 10));
        const vector q = _mm256_shuffle_epi8(packed, in_pairs);
        const vector sign = _mm256_srai_epi16(q, 15), size = _mm256_abs_epi16(q);
        const vector near = _mm256_cmpeq_epi16(_mm256_min_epu16(size, ALL16(1038)), size);
        const vector u = _mm256_min_epu16(size, ALL16(1023));
        const vector slope = _mm256_add_epi16(_mm256_mullo_epi16(u, ALL16(20)), ALL16(26214));
        vector r = _mm256_mulhi_epu16(slope, _mm256_slli_epi16(u, 6));
        r = _mm256_xor_si256(r, ALL16(-1));
        r = _mm256_mulhi_epu16(r, r);
        r = _mm256_mulhi_epu16(r, r);
        r = _mm256_mulhi_epu16(r, r);
        const vector tail = _mm256_and_si256(near, _mm256_srli_epi16(r, 1));
        const vector s = _mm256_xor_si256(_mm256_xor_si256(tail, ALL16(0x7fff)), sign);
        sum = _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(s, weights[p]),
                                                     _mm256_madd_epi16(sign, weights[p])));
    }
    return _mm256_add_epi32(_mm256_sub_epi32(sum, _mm256_srai_epi32(sum, 10)), widths);
}

/* 64 levels of each lane's slice, in the order of the mixtures' vectors. */
INLINE void load_limits(const struct march *m, int32_t half, vector limits[4]) {
    if (!m->limited) {
        UNROLL for (int j = 0; j < 4; j++) limits[j] = ALL32(256 * MINIMUM_WIDTH);
        return;
    }
    const uint8_t *less_1 = m->limits_now + HALF * half;
    UNROLL for (int j = 0; j < 4; j++) {
        const vector n = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(less_1 + 8 * j)));
        limits[j] = _mm256_slli_epi32(_mm256_add_epi32(n, ALL32(1)), 6);
    }
    from_natural(limits);
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

/* 8 lanes whose bit is set: all bits of their number. */
INLINE vector lane_mask(uint32_t bits) {
    const vector bit_of = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(ALL32((int32_t)bits), bit_of), bit_of);
}

INLINE uint32_t bits_of(vector lanes) {
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(lanes));
}

INLINE vector load_order(const uint8_t order[8]) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)order));
}

INLINE vector load8(const uint32_t *p) { return _mm256_loadu_si256((const vector *)p); }
INLINE void store8(uint32_t *p, vector v) { _mm256_storeu_si256((vector *)p, v); }

/* The next `count` words of the message, in the first places. Reads no further than its end. */
INLINE vector take_words(struct march *m, int32_t count) {
    uint32_t few[8] = {0};
    const uint32_t *words = m->next_word;
    if (m->words_left < 8) {
        for (int32_t i = 0; i < count; i++) few[i] = words[i];
        words = few;
    }
    m->next_word += count;
    m->words_left -= count;
    return load8(words);
}

/* 8 lanes' states after a symbol is taken off: freq * (state >> 24) + offset, filled up. */
INLINE void pop(struct march *m, int32_t lane, vector live, vector freq, vector offset) {
    const struct work *work = m->work;
    const vector high = load8(m->high + lane), low = load8(m->low + lane);
    const vector x = _mm256_or_si256(_mm256_slli_epi32(high, 8), _mm256_srli_epi32(low, 24));
    const vector top = _mm256_mullo_epi32(freq, _mm256_srli_epi32(high, 24));
    const vector even = _mm256_mul_epu32(freq, x);
    const vector odd = _mm256_mul_epu32(_mm256_srli_epi64(freq, 32), _mm256_srli_epi64(x, 32));
    const vector product = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    vector new_high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    vector new_low = _mm256_add_epi32(product, offset);
    /* offset is below 2**24: a carry leaves the sum below it, unsigned. */
    const vector kept = _mm256_cmpeq_epi32(_mm256_max_epu32(new_low, offset), new_low);
    new_high = _mm256_add_epi32(_mm256_add_epi32(new_high, top), _mm256_add_epi32(kept, ALL32(1)));
    const vector zero = _mm256_setzero_si256();
    const vector is_short = _mm256_andnot_si256(
        _mm256_srai_epi32(new_low, 31), _mm256_and_si256(live, _mm256_cmpeq_epi32(new_high, zero)));
    const uint32_t bits = bits_of(is_short);
    const int32_t wanted = __builtin_popcount(bits);
    if (wanted > m->words_left) {
        m->failed = 1;
        return;
    }
    const vector words =
        _mm256_permutevar8x32_epi32(take_words(m, wanted), load_order(work->spread[bits]));
    new_high = _mm256_blendv_epi8(new_high, new_low, is_short);
    new_low = _mm256_blendv_epi8(new_low, words, is_short);
    store8(m->high + lane, _mm256_blendv_epi8(high, new_high, live));
    store8(m->low + lane, _mm256_blendv_epi8(low, new_low, live));
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
        pop(m, HALF * half + 8 * j, lane_mask(live >> (8 * j)), end[j],
            _mm256_sub_epi32(natural[j], start[j]));
}

/* floor(state / freq) of 4 lanes, or one more or less, as 64-bit integers: see avx512.c. Adding
 * 2**52 leaves a float64's integer in its lower bits. */
INLINE vector divide(vector high, vector low, __m128i freq, const int upper) {
    const __m256d power = _mm256_set1_pd(4503599627370496.0);
    const __m128i high4 = upper ? _mm256_extracti128_si256(high, 1) : _mm256_castsi256_si128(high);
    const __m128i low4 = upper ? _mm256_extracti128_si256(low, 1) : _mm256_castsi256_si128(low);
    const vector bits =
        _mm256_or_si256(_mm256_cvtepu32_epi64(low4), _mm256_castpd_si256(power));
    const __m256d small = _mm256_sub_pd(_mm256_castsi256_pd(bits), power);
    const __m256d large = _mm256_mul_pd(_mm256_cvtepi32_pd(high4), _mm256_set1_pd(4294967296.0));
    const __m256d q = _mm256_div_pd(_mm256_add_pd(large, small), _mm256_cvtepi32_pd(freq));
    return _mm256_xor_si256(_mm256_castpd_si256(_mm256_add_pd(q, power)),
                            _mm256_castpd_si256(power));
}

/* Puts the words of the lanes whose bit is set in front of those put down before. */
INLINE void put_words(struct march *m, vector words, uint32_t bits, int32_t count) {
    const struct work *work = m->work;
    const vector gathered = _mm256_permutevar8x32_epi32(words, load_order(work->gather[bits]));
    if (m->words_left >= 8) {
        store8(m->last_word - 8, gathered);
    } else {
        uint32_t few[8];
        store8(few, gathered);
        memcpy(m->last_word - count, few + 8 - count, (size_t)count * sizeof *few);
    }
    m->last_word -= count;
    m->words_left -= count;
}

/* 8 lanes' states after a symbol is put on: (state / freq) * 2**24 + state % freq + start. */
INLINE void push(struct march *m, int32_t lane, vector live, vector freq, vector start) {
    const vector zero = _mm256_setzero_si256();
    const vector old_high = load8(m->high + lane), old_low = load8(m->low + lane);
    const vector fits = _mm256_cmpgt_epi32(freq, _mm256_srli_epi32(old_high, 7));
    const vector full = _mm256_andnot_si256(fits, live);
    const uint32_t bits = bits_of(full);
    const int32_t count = __builtin_popcount(bits);
    if (count > m->words_left) {
        m->failed = 1;
        return;
    }
    put_words(m, old_low, bits, count);
    const vector low = _mm256_blendv_epi8(old_low, old_high, full);
    const vector high = _mm256_andnot_si256(full, old_high);
    const vector q0 = divide(high, low, _mm256_castsi256_si128(freq), 0);
    const vector q1 = divide(high, low, _mm256_extracti128_si256(freq, 1), 1);
    const __m256 a = _mm256_castsi256_ps(q0), b = _mm256_castsi256_ps(q1);
    const vector lows = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    const vector highs = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
    vector q_low = _mm256_permute4x64_epi64(lows, 0xd8);
    vector q_high = _mm256_permute4x64_epi64(highs, 0xd8);
    /* Within -freq .. 2 freq, so that its lower word says all. Masks are -1. */
    vector rest = _mm256_sub_epi32(low, _mm256_mullo_epi32(q_low, freq));
    const vector less = _mm256_cmpgt_epi32(zero, rest);
    const vector enough = _mm256_cmpgt_epi32(freq, rest);
    const vector more = _mm256_xor_si256(enough, ALL32(-1));
    rest = _mm256_add_epi32(rest, _mm256_and_si256(less, freq));
    rest = _mm256_sub_epi32(rest, _mm256_and_si256(more, freq));
    q_high = _mm256_add_epi32(q_high, _mm256_and_si256(less, _mm256_cmpeq_epi32(q_low, zero)));
    q_low = _mm256_sub_epi32(_mm256_add_epi32(q_low, less), more);
    q_high = _mm256_sub_epi32(q_high, _mm256_and_si256(more, _mm256_cmpeq_epi32(q_low, zero)));
    /* rest + start is below 2**24: no carry. */
    const vector new_low =
        _mm256_add_epi32(_mm256_slli_epi32(q_low, 24), _mm256_add_epi32(rest, start));
    const vector new_high =
        _mm256_or_si256(_mm256_slli_epi32(q_high, 24), _mm256_srli_epi32(q_low, 8));
    store8(m->low + lane, _mm256_blendv_epi8(old_low, new_low, live));
    store8(m->high + lane, _mm256_blendv_epi8(old_high, new_high, live));
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
        push(m, HALF * half + 8 * j, lane_mask(live >> (8 * j)), freq[j], start[j]);
}

INLINE void decode_panel(struct march *m, int32_t panel, const int count) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 0; i < 2; i++)
        if ((uint32_t)(live >> (HALF * i)))
            decode_half(m, 2 * panel + i, (uint32_t)(live >> (HALF * i)), count);
}

INLINE void encode_panel(struct march *m, int32_t panel, const int count) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 1; i >= 0; i--)
        if ((uint32_t)(live >> (HALF * i)))
            encode_half(m, 2 * panel + i, (uint32_t)(live >> (HALF * i)), count);
}

static void start_work(void *memory) {
    struct work *work = memory;
    for (int bits = 0; bits < 256; bits++) {
        int place = 8 - __builtin_popcount((unsigned)bits);
        for (int lane = 0; lane < 8; lane++) {
            work->spread[bits][lane] =
                (uint8_t)__builtin_popcount((unsigned)(bits & ((1 << lane) - 1)));
            if (bits >> lane & 1) work->gather[bits][place++] = (uint8_t)lane;
        }
    }
}

/* A function for each number of components, whose loops over them are unrolled. */
#define FOR_EACH_COUNT(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)
#define FUNCTIONS(K)                                                                       \
    static void decode_##K(struct march *m, int32_t panel) { decode_panel(m, panel, K); } \
    static void encode_##K(struct march *m, int32_t panel) { encode_panel(m, panel, K); }
FOR_EACH_COUNT(FUNCTIONS)

typedef void (*panel_function)(struct march *m, int32_t panel);
#define DECODER(K) decode_##K,
#define ENCODER(K) encode_##K,
static const panel_function decoders[] = {FOR_EACH_COUNT(DECODER)};
static const panel_function encoders[] = {FOR_EACH_COUNT(ENCODER)};

static void decode(struct march *m, int32_t panel) { decoders[m->components - 1](m, panel); }
static void encode(struct march *m, int32_t panel) { encoders[m->components - 1](m, panel); }

const struct kernel march_avx2 = {2, 3, sizeof(struct work), start_work, decode, encode};
