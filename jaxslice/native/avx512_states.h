/* AVX-512: the states of 16 lanes, and the words of the message that they take and give. */
#ifndef JAXSLICE_AVX512_STATES_H
#define JAXSLICE_AVX512_STATES_H

#include "avx512_predict.h"

typedef __mmask16 mask;

/* 16 lanes' states after a symbol is taken off: freq * (state >> 24) + offset, filled up. */
INLINE void pop(struct march *m, int32_t lane, mask live, vector freq, vector offset) {
    const vector high = _mm512_load_si512(m->high + lane), low = _mm512_load_si512(m->low + lane);
    const vector x = _mm512_or_si512(_mm512_slli_epi32(high, 8), _mm512_srli_epi32(low, 24));
    const vector top = _mm512_mullo_epi32(freq, _mm512_srli_epi32(high, 24));
    const vector even = _mm512_mul_epu32(freq, x);
    const vector odd = _mm512_mul_epu32(_mm512_srli_epi64(freq, 32), _mm512_srli_epi64(x, 32));
    vector new_low = _mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64(odd, 32));
    vector new_high = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd);
    new_high = _mm512_add_epi32(new_high, top);
    new_low = _mm512_add_epi32(new_low, offset);
    const mask carry = _mm512_cmplt_epu32_mask(new_low, offset);
    new_high = _mm512_mask_add_epi32(new_high, carry, new_high, ALL32(1));
    const mask small = _mm512_mask_testn_epi32_mask(live, new_high, new_high) &
                       _mm512_cmpge_epi32_mask(new_low, _mm512_setzero_si512());
    const int32_t wanted = __builtin_popcount(small);
    if (wanted > m->words_left) {
        m->failed = 1;
        return;
    }
    const mask loaded = (mask)((1u << wanted) - 1);
    const vector words =
        _mm512_maskz_expand_epi32(small, _mm512_maskz_loadu_epi32(loaded, m->next_word));
    m->next_word += wanted;
    m->words_left -= wanted;
    new_high = _mm512_mask_mov_epi32(new_high, small, new_low);
    new_low = _mm512_mask_mov_epi32(new_low, small, words);
    _mm512_store_si512(m->high + lane, _mm512_mask_mov_epi32(high, live, new_high));
    _mm512_store_si512(m->low + lane, _mm512_mask_mov_epi32(low, live, new_low));
}

/* floor(state / freq) of 16 lanes, or one more or less: states are below freq * 2**39, where
 * the error of a float64 quotient is far below 1. */
INLINE void divide(vector high, vector low, vector freq, vector *quotient_high,
                   vector *quotient_low) {
    const vector first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const vector second =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    const vector even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const vector odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    const __m512d s0 = _mm512_cvtepu64_pd(_mm512_permutex2var_epi32(low, first, high));
    const __m512d s1 = _mm512_cvtepu64_pd(_mm512_permutex2var_epi32(low, second, high));
    const __m512d f0 = _mm512_cvtepu32_pd(_mm512_castsi512_si256(freq));
    const __m512d f1 = _mm512_cvtepu32_pd(_mm512_extracti64x4_epi64(freq, 1));
    const vector q0 = _mm512_cvttpd_epu64(_mm512_div_pd(s0, f0));
    const vector q1 = _mm512_cvttpd_epu64(_mm512_div_pd(s1, f1));
    *quotient_low = _mm512_permutex2var_epi32(q0, even, q1);
    *quotient_high = _mm512_permutex2var_epi32(q0, odd, q1);
}

/* 16 lanes' states after a symbol is put on: (state / freq) * 2**24 + state % freq + start. A word
 * is moved to the message where the state's upper half is at least `full_from`. */
INLINE void push_below(struct march *m, int32_t lane, mask live, vector freq, vector start,
                       vector full_from) {
    const vector zero = _mm512_setzero_si512(), one = ALL32(1);
    const vector old_high = _mm512_load_si512(m->high + lane);
    const vector old_low = _mm512_load_si512(m->low + lane);
    const mask full = _mm512_mask_cmpge_epu32_mask(live, old_high, full_from);
    const int32_t count = __builtin_popcount(full);
    if (count > m->words_left) {
        m->failed = 1;
        return;
    }
    m->words_left -= count;
    m->last_word -= count;
    _mm512_mask_storeu_epi32(m->last_word, (mask)((1u << count) - 1),
                             _mm512_maskz_compress_epi32(full, old_low));
    const vector low = _mm512_mask_mov_epi32(old_low, full, old_high);
    const vector high = _mm512_maskz_mov_epi32((mask)~full, old_high);
    vector q_high, q_low;
    divide(high, low, freq, &q_high, &q_low);
    /* Within -freq .. 2 freq, so that its lower word says all. */
    vector rest = _mm512_sub_epi32(low, _mm512_mullo_epi32(q_low, freq));
    const mask less = _mm512_cmplt_epi32_mask(rest, zero);
    const mask more = _mm512_cmpge_epi32_mask(rest, freq);
    rest = _mm512_mask_add_epi32(rest, less, rest, freq);
    rest = _mm512_mask_sub_epi32(rest, more, rest, freq);
    const mask borrow = less & _mm512_testn_epi32_mask(q_low, q_low);
    q_high = _mm512_mask_sub_epi32(q_high, borrow, q_high, one);
    q_low = _mm512_mask_sub_epi32(q_low, less, q_low, one);
    q_low = _mm512_mask_add_epi32(q_low, more, q_low, one);
    const mask carry = more & _mm512_testn_epi32_mask(q_low, q_low);
    q_high = _mm512_mask_add_epi32(q_high, carry, q_high, one);
    /* rest + start is below 2**24: no carry. */
    const vector new_low =
        _mm512_add_epi32(_mm512_slli_epi32(q_low, 24), _mm512_add_epi32(rest, start));
    const vector new_high =
        _mm512_or_si512(_mm512_slli_epi32(q_high, 24), _mm512_srli_epi32(q_low, 8));
    _mm512_store_si512(m->low + lane, _mm512_mask_mov_epi32(old_low, live, new_low));
    _mm512_store_si512(m->high + lane, _mm512_mask_mov_epi32(old_high, live, new_high));
}

INLINE void push(struct march *m, int32_t lane, mask live, vector freq, vector start) {
    push_below(m, lane, live, freq, start, _mm512_slli_epi32(freq, 7));
}

#endif
