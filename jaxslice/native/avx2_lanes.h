/* AVX2: the context voxels of 32 lanes, half a panel.
 *
 * 32 lanes are four vectors of 32-bit numbers, in the order that interleaving bytes within 128 bits
 * gives: vector j holds lane 16 b + 4 j + i at place 4 b + i. A number's two halves are two inputs
 * of one lane for `vpmaddwd`, or its four bytes four inputs for `vpmaddubsw`.
 */
#ifndef JAXSLICE_AVX2_LANES_H
#define JAXSLICE_AVX2_LANES_H

#include <immintrin.h>

#include "plan.h"

typedef __m256i vector;

enum { HALF = PANEL / 2 };

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define ALL32(x) _mm256_set1_epi32(x)
#define ALL16(x) _mm256_set1_epi16(x)

INLINE vector clip32(vector v, int32_t low, int32_t high) {
    return _mm256_max_epi32(_mm256_min_epi32(v, ALL32(high)), ALL32(low));
}

/* Lanes whose bit is set in a mask of 32: all bits of their byte. */
INLINE vector byte_mask(uint32_t bits) {
    const vector byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const vector bit_of = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const vector spread = _mm256_shuffle_epi8(ALL32((int32_t)bits), byte_of);
    return _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of), bit_of);
}

/* Symbols of context voxel c, `outside` where there is none. `half` counts halves of panels. */
INLINE vector load_context(const struct march *m, int32_t half, int32_t c, vector outside) {
    const struct place *place = m->places + c;
    const int32_t panel = half / 2;
    const uint64_t live = m->live_now[place->live + panel] & m->ranges[place->range + panel];
    const vector v =
        _mm256_loadu_si256((const vector *)(m->now + place->value + (int64_t)HALF * half));
    return _mm256_blendv_epi8(outside, v, byte_mask((uint32_t)(live >> (HALF * (half % 2)))));
}

INLINE vector load_reference(const struct march *m, int32_t half) {
    const vector f = load_context(m, half, m->fallback, _mm256_set1_epi8((char)NO_REFERENCE));
    const vector a = load_context(m, half, 0, load_context(m, half, 1, f));
    const vector b = load_context(m, half, 1, a);
    const vector c = load_context(m, half, 2, b), d = load_context(m, half, 3, a);
    const vector three = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1);
    const vector low =
        _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, b), three),
                         _mm256_maddubs_epi16(_mm256_unpacklo_epi8(c, d), one));
    const vector high =
        _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, b), three),
                         _mm256_maddubs_epi16(_mm256_unpackhi_epi8(c, d), one));
    return _mm256_packus_epi16(_mm256_srli_epi16(low, 3), _mm256_srli_epi16(high, 3));
}

/* Two vectors of 32 bytes to four in which a lane's two bytes are the halves of a number. */
INLINE void interleave(vector a, vector b, vector out[4]) {
    const vector zero = _mm256_setzero_si256();
    const vector low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
    out[0] = _mm256_unpacklo_epi8(low, zero);
    out[1] = _mm256_unpackhi_epi8(low, zero);
    out[2] = _mm256_unpacklo_epi8(high, zero);
    out[3] = _mm256_unpackhi_epi8(high, zero);
}

/* Four vectors of 32 bytes to four in which a lane's four bytes lie together, in the same order. */
INLINE void interleave_four(const vector v[4], vector out[4]) {
    const vector x0 = _mm256_unpacklo_epi8(v[0], v[1]), x1 = _mm256_unpackhi_epi8(v[0], v[1]);
    const vector y0 = _mm256_unpacklo_epi8(v[2], v[3]), y1 = _mm256_unpackhi_epi8(v[2], v[3]);
    out[0] = _mm256_unpacklo_epi16(x0, y0);
    out[1] = _mm256_unpackhi_epi16(x0, y0);
    out[2] = _mm256_unpacklo_epi16(x1, y1);
    out[3] = _mm256_unpackhi_epi16(x1, y1);
}

/* From the interleaved order of four vectors to the natural one, and back. */
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

/* Levels of each lane's slice, in the interleaved order. */
INLINE void load_levels(const struct march *m, int32_t half, vector levels[4]) {
    UNROLL for (int j = 0; j < 4; j++) levels[j] = ALL32(256);
    if (!m->limited) return;
    const uint8_t *less_1 = m->limits_now + HALF * half;
    UNROLL for (int j = 0; j < 4; j++) {
        const vector n = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(less_1 + 8 * j)));
        levels[j] = _mm256_add_epi32(n, ALL32(1));
    }
    from_natural(levels);
}

#endif
