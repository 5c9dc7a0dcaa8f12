/* AVX2: the cumulative distribution of mixtures. */
#ifndef JAXSLICE_AVX2_CURVE_H
#define JAXSLICE_AVX2_CURVE_H

#include "avx2_predict.h"

/* The mixture below an edge, times 2**24; see avx512_curve.h. */
INLINE vector mass_below(const vector *distance, const vector *weights, const int pairs) {
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
    return sum;
}

/* C of an edge; `widths` is 64 for every symbol below it. */
INLINE vector cumulative(const vector *distance, const vector *weights, vector widths,
                         const int pairs) {
    const vector sum = mass_below(distance, weights, pairs);
    return _mm256_add_epi32(_mm256_sub_epi32(sum, _mm256_srai_epi32(sum, 10)), widths);
}

#endif
