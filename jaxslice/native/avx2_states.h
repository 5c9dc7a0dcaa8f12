/* AVX2: the states of 8 lanes, and the words of the message that they take and give.
 *
 * A state has 63 bits, kept as a high and a low word in two arrays. See the entropy coder in
 * FORMAT.md.
 */
#ifndef JAXSLICE_AVX2_STATES_H
#define JAXSLICE_AVX2_STATES_H

#include "avx2_lanes.h"

/* Where the words of 8 lanes go. */
struct word_orders {
    uint8_t spread[256][8]; /* for each mask of 8 lanes: how many set bits each has below it */
    uint8_t gather[256][8]; /* ... and its set bits, at the upper end */
};

static void fill_orders(struct word_orders *orders) {
    for (int bits = 0; bits < 256; bits++) {
        int place = 8 - __builtin_popcount((unsigned)bits);
        for (int lane = 0; lane < 8; lane++) {
            orders->spread[bits][lane] =
                (uint8_t)__builtin_popcount((unsigned)(bits & ((1 << lane) - 1)));
            if (bits >> lane & 1) orders->gather[bits][place++] = (uint8_t)lane;
        }
    }
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
INLINE void pop(struct march *m, const struct word_orders *orders, int32_t lane, vector live,
                vector freq, vector offset) {
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
        _mm256_permutevar8x32_epi32(take_words(m, wanted), load_order(orders->spread[bits]));
    new_high = _mm256_blendv_epi8(new_high, new_low, is_short);
    new_low = _mm256_blendv_epi8(new_low, words, is_short);
    store8(m->high + lane, _mm256_blendv_epi8(high, new_high, live));
    store8(m->low + lane, _mm256_blendv_epi8(low, new_low, live));
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
INLINE void put_words(struct march *m, const struct word_orders *orders, vector words,
                      uint32_t bits, int32_t count) {
    const vector gathered = _mm256_permutevar8x32_epi32(words, load_order(orders->gather[bits]));
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

/* 8 lanes' states after a symbol is put on: (state / freq) * 2**24 + state % freq + start. A word
 * is moved to the message where the state's upper half is at least `full_from`. */
INLINE void push_below(struct march *m, const struct word_orders *orders, int32_t lane,
                       vector live, vector freq, vector start, vector full_from) {
    const vector zero = _mm256_setzero_si256();
    const vector old_high = load8(m->high + lane), old_low = load8(m->low + lane);
    const vector full = _mm256_and_si256(
        live, _mm256_cmpeq_epi32(_mm256_max_epu32(old_high, full_from), old_high));
    const uint32_t bits = bits_of(full);
    const int32_t count = __builtin_popcount(bits);
    if (count > m->words_left) {
        m->failed = 1;
        return;
    }
    put_words(m, orders, old_low, bits, count);
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

INLINE void push(struct march *m, const struct word_orders *orders, int32_t lane, vector live,
                 vector freq, vector start) {
    push_below(m, orders, lane, live, freq, start, _mm256_slli_epi32(freq, 7));
}

#endif
