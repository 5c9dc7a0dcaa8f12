/* AVX-512: the cumulative distribution of mixtures. */
#ifndef JAXSLICE_AVX512_CURVE_H
#define JAXSLICE_AVX512_CURVE_H

#include "avx512_predict.h"

/* The mixture below an edge, times 2**24: `distance` holds (edge - mean) * inverse of every
 * component.
 *
 * Distances take 16 bits: beyond 1038 the tail is 0, and from 1023 to 1038 it is that of 1023. With
 * r = 65535 - drop, S - 2**15 is 32767 - tail or tail - 32768, plus 1 or 0: it fits 16 bits, and
 * pairs of components are weighted at once. */
INLINE vector mass_below(const vector *distance, const vector *weights, const int pairs) {
    const vector in_pairs = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    vector sum = ALL32(256 * 32768 + 256);
    UNROLL for (int p = 0; p < pairs; p++) {
        const vector packed = _mm512_packs_epi32(_mm512_srai_epi32(distance[2 * p], 10),
                                                 _mm512_srai_epi32(distance[2 * p + 1], 10));
        const vector q = _mm512_shuffle_epi8(packed, in_pairs);
        const vector sign = _mm512_srai_epi16(q, 15), size = _mm512_abs_epi16(q);
        const __mmask32 near = _mm512_cmple_epu16_mask(size, ALL16(1038));
        const vector u = _mm512_min_epu16(size, ALL16(1023));
        const vector slope = _mm512_add_epi16(_mm512_mullo_epi16(u, ALL16(20)), ALL16(26214));
        vector r = _mm512_mulhi_epu16(slope, _mm512_slli_epi16(u, 6));
        r = _mm512_xor_si512(r, ALL16(-1));
        r = _mm512_mulhi_epu16(r, r);
        r = _mm512_mulhi_epu16(r, r);
        r = _mm512_mulhi_epu16(r, r);
        const vector tail = _mm512_maskz_srli_epi16(near, r, 1);
        const vector s = _mm512_ternarylogic_epi32(tail, ALL16(0x7fff), sign, 0x96); /* xor */
        sum = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sum, s, weights[p]), sign, weights[p]);
    }
    return sum;
}

/* C of an edge; `widths` is 64 for every symbol below it. */
INLINE vector cumulative(const vector *distance, const vector *weights, vector widths,
                         const int pairs) {
    const vector sum = mass_below(distance, weights, pairs);
    return _mm512_add_epi32(_mm512_sub_epi32(sum, _mm512_srai_epi32(sum, 10)), widths);
}

#endif
