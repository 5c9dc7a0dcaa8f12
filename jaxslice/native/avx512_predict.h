/* AVX-512 with VNNI: from the contexts of a panel's 64 lanes to their mixtures.
 *
 * 64 lanes are four vectors of 32-bit numbers. Interleaving bytes works within 128 bits, so that
 * vector j of the four holds lane 16 b + 4 j + i at place 4 b + i; `transpose4` goes between this
 * order and the natural one. A number's four bytes are four inputs of one lane: what `vpdpbusd`
 * multiplies by the four weights of a cell.
 */
#ifndef JAXSLICE_AVX512_PREDICT_H
#define JAXSLICE_AVX512_PREDICT_H

#include <immintrin.h>

#include "plan.h"

typedef __m512i vector;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define ALL32(x) _mm512_set1_epi32(x)
#define ALL16(x) _mm512_set1_epi16(x)

struct work {
    vector context[4 * (MAX_CONTEXT / 4)];
    vector hidden[2][4 * (MAX_UNITS / 4)];
    vector sums[4 * 3 * MAX_COMPONENTS];
};

/* Mixtures of 64 lanes. `start` is (edge - mean) * inverse of the first edge, -8, which is below 2**30 in size. Weights are
 * in pairs of 16 bits; an odd number of components has one more of weight 0. */
struct mixtures {
    vector start[MAX_COMPONENTS][4], inverse[MAX_COMPONENTS][4], weights[MAX_COMPONENTS / 2][4];
};

/* What the first layer and the mixtures need of the contexts, beside the differences. */
struct features {
    vector reference[4], activity[4], gain[4], shift[4], extras[4];
};

/* sums + the products of four unsigned by four signed bytes. Written out because some compilers
 * copy the sums to and fro around the intrinsic. */
INLINE vector dot_bytes(vector sums, vector inputs, vector weights) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(inputs), "v"(weights));
    return sums;
}

INLINE vector clip32(vector v, int32_t low, int32_t high) {
    return _mm512_max_epi32(_mm512_min_epi32(v, ALL32(high)), ALL32(low));
}

/* 4 x 4 blocks of 128 bits. */
INLINE void transpose4(vector v[4]) {
    const vector a = _mm512_shuffle_i32x4(v[0], v[1], 0x44);
    const vector b = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
    const vector c = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
    const vector d = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    v[1] = _mm512_shuffle_i32x4(a, c, 0xdd);
    v[2] = _mm512_shuffle_i32x4(b, d, 0x88);
    v[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
}

/* Symbols of context voxel c, `outside` where there is none. */
INLINE vector load_context(const struct march *m, int32_t panel, int32_t c, vector outside) {
    const struct place *place = m->places + c;
    const uint64_t live = m->live_now[place->live + panel] & m->ranges[place->range + panel];
    return _mm512_mask_loadu_epi8(outside, live, m->now + place->value + PANEL * panel);
}

INLINE vector load_reference(const struct march *m, int32_t panel) {
    const vector f = load_context(m, panel, m->fallback, _mm512_set1_epi8((char)NO_REFERENCE));
    const vector a = load_context(m, panel, 0, load_context(m, panel, 1, f));
    const vector b = load_context(m, panel, 1, a);
    const vector c = load_context(m, panel, 2, b), d = load_context(m, panel, 3, a);
    const vector three = _mm512_set1_epi8(3), one = _mm512_set1_epi8(1);
    const vector low =
        _mm512_add_epi16(_mm512_maddubs_epi16(_mm512_unpacklo_epi8(a, b), three),
                         _mm512_maddubs_epi16(_mm512_unpacklo_epi8(c, d), one));
    const vector high =
        _mm512_add_epi16(_mm512_maddubs_epi16(_mm512_unpackhi_epi8(a, b), three),
                         _mm512_maddubs_epi16(_mm512_unpackhi_epi8(c, d), one));
    return _mm512_packus_epi16(_mm512_srli_epi16(low, 3), _mm512_srli_epi16(high, 3));
}

/* Four vectors of 64 bytes to four in which a lane's four bytes lie together. */
INLINE void interleave(const vector v[4], vector out[4]) {
    const vector x0 = _mm512_unpacklo_epi8(v[0], v[1]), x1 = _mm512_unpackhi_epi8(v[0], v[1]);
    const vector y0 = _mm512_unpacklo_epi8(v[2], v[3]), y1 = _mm512_unpackhi_epi8(v[2], v[3]);
    out[0] = _mm512_unpacklo_epi16(x0, y0);
    out[1] = _mm512_unpackhi_epi16(x0, y0);
    out[2] = _mm512_unpacklo_epi16(x1, y1);
    out[3] = _mm512_unpackhi_epi16(x1, y1);
}

/* Gain and loglevel are read off the bits of a float32, which holds an activity exactly:
 * 64 - ceil(32 r) is the gain's 6 bits, its exponent the shift. */
INLINE void set_scales(struct features *f, int j) {
    const vector bits = _mm512_castps_si512(_mm512_cvtepi32_ps(f->activity[j]));
    const vector fraction = _mm512_and_si512(bits, ALL32(0x7fffff));
    const vector rounded = _mm512_srli_epi32(_mm512_add_epi32(fraction, ALL32(0x3ffff)), 18);
    f->gain[j] = _mm512_sub_epi32(ALL32(64), rounded);
    f->shift[j] = _mm512_sub_epi32(_mm512_srli_epi32(bits, 23), ALL32(127 + 4));
    const vector loglevel = _mm512_sub_epi32(_mm512_srli_epi32(bits, 19), ALL32(127 * 16 + 112));
    const vector from_middle = _mm512_sub_epi32(f->reference[j], ALL32(128));
    f->extras[j] = _mm512_or_si512(_mm512_and_si512(from_middle, ALL32(0xffff)),
                                   _mm512_slli_epi32(loglevel, 16));
}

/* Contexts to `work->context`, with the reference where a voxel is outside: its difference is 0. */
INLINE void load_features(const struct march *m, int32_t panel, struct work *work,
                          struct features *f) {
    const vector reference = load_reference(m, panel);
    const vector four[4] = {reference, reference, reference, reference};
    vector repeated[4];
    interleave(four, repeated);
    UNROLL for (int j = 0; j < 4; j++) {
        f->reference[j] = _mm512_srli_epi32(repeated[j], 24);
        f->activity[j] = ALL32(m->activity_offset);
    }
    for (int32_t c = 0; c < m->context_count; c += 4) {
        vector v[4], *x = work->context + c;
        UNROLL for (int i = 0; i < 4; i++) v[i] = load_context(m, panel, c + i, reference);
        interleave(v, x);
        if (c >= m->activity_count) continue;
        const int32_t counted = smaller(m->activity_count - c, 4);
        const vector ones = ALL32((int32_t)(0x01010101u >> (8 * (4 - counted))));
        UNROLL for (int j = 0; j < 4; j++) {
            const vector size = _mm512_or_si512(_mm512_subs_epu8(x[j], repeated[j]),
                                                _mm512_subs_epu8(repeated[j], x[j]));
            f->activity[j] = dot_bytes(f->activity[j], size, ones);
        }
    }
    UNROLL for (int j = 0; j < 4; j++) set_scales(f, j);
}

/* Adds a tile's products: four vectors of lanes for each of its outputs. */
INLINE void add_products(const int32_t *cells, const vector *x, int32_t groups, const int tile,
                         vector sums[][4]) {
    for (int32_t g = 0; g < groups; g++, cells += tile, x += 4) {
        const vector x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
        UNROLL for (int o = 0; o < tile; o++) {
            const vector weights = ALL32(cells[o]);
            sums[o][0] = dot_bytes(sums[o][0], x0, weights);
            sums[o][1] = dot_bytes(sums[o][1], x1, weights);
            sums[o][2] = dot_bytes(sums[o][2], x2, weights);
            sums[o][3] = dot_bytes(sums[o][3], x3, weights);
        }
    }
}

/* clip(sum >> 6, 0, 255) of four outputs, as a lane's four bytes. Packing saturates. */
INLINE void activate(vector sums[4][4], vector *hidden) {
    const vector together = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    UNROLL for (int j = 0; j < 4; j++) {
        const vector a = _mm512_packs_epi32(_mm512_srai_epi32(sums[0][j], 6),
                                            _mm512_srai_epi32(sums[1][j], 6));
        const vector b = _mm512_packs_epi32(_mm512_srai_epi32(sums[2][j], 6),
                                            _mm512_srai_epi32(sums[3][j], 6));
        hidden[j] = _mm512_shuffle_epi8(_mm512_packus_epi16(a, b), together);
    }
}

/* W (v - reference) = W v - reference * (sum of the row), so that inputs are unsigned. */
INLINE void first_layer(const struct march *m, struct work *work, const struct features *f) {
    const struct layer *layer = m->layer;
    for (int32_t t = 0; t < layer->tiles; t++) {
        vector sums[4][4];
        UNROLL for (int o = 0; o < 4; o++) {
            const vector minus = ALL32(layer->minus_row_sum[4 * t + o]);
            UNROLL for (int j = 0; j < 4; j++)
                sums[o][j] = _mm512_madd_epi16(f->reference[j], minus);
        }
        add_products(layer->cells + (int64_t)t * layer->groups * 4, work->context, layer->groups,
                     4, sums);
        UNROLL for (int o = 0; o < 4; o++) {
            const vector bias = ALL32(layer->biases[4 * t + o]);
            const vector extras = ALL32(layer->extras[4 * t + o]);
            UNROLL for (int j = 0; j < 4; j++) {
                const vector s = _mm512_mullo_epi32(clip32(sums[o][j], -SUM_HIGH, SUM_HIGH),
                                                    f->gain[j]);
                sums[o][j] = _mm512_add_epi32(_mm512_srav_epi32(s, f->shift[j]),
                                              _mm512_dpwssd_epi32(bias, f->extras[j], extras));
            }
        }
        activate(sums, work->hidden[0] + 4 * t);
    }
}

INLINE void layer_tile(const struct layer *layer, int32_t t, const vector *x, const int tile,
                       vector sums[][4]) {
    UNROLL for (int o = 0; o < tile; o++)
        UNROLL for (int j = 0; j < 4; j++) sums[o][j] = ALL32(layer->biases[tile * t + o]);
    add_products(layer->cells + (int64_t)t * layer->groups * tile, x, layer->groups, tile, sums);
}

INLINE void further_layers(const struct march *m, struct work *work) {
    int from = 0;
    for (int32_t i = 1; i < m->layers - 1; i++, from ^= 1)
        for (int32_t t = 0; t < m->layer[i].tiles; t++) {
            vector sums[4][4];
            layer_tile(m->layer + i, t, work->hidden[from], 4, sums);
            activate(sums, work->hidden[from ^ 1] + 4 * t);
        }
    for (int32_t t = 0; t < m->components; t++) {
        vector sums[3][4];
        layer_tile(m->layer + m->layers - 1, t, work->hidden[from], 3, sums);
        UNROLL for (int o = 0; o < 3; o++)
            UNROLL for (int j = 0; j < 4; j++) work->sums[4 * (3 * t + o) + j] = sums[o][j];
    }
}

/* 16 * 2**(q / 16), with q from a sum of the last layer. */
INLINE vector power(vector sum) {
    const vector q = clip32(_mm512_add_epi32(_mm512_srai_epi32(sum, 7), ALL32(64)), 0, 127);
    const vector mantissa = _mm512_or_si512(_mm512_and_si512(q, ALL32(15)), ALL32(16));
    return _mm512_sllv_epi32(mantissa, _mm512_srli_epi32(q, 4));
}

/* The mixtures of the lanes of vector j, for a first edge and a largest mean. Shares are below 2**12 and their sum below 2**15, so that
 * the float32 quotient of 256 shares by the sum is an integer only where the true one is. */
INLINE void set_mixtures(const struct work *work, const struct features *f, int j, const int count,
                         const int edge, const int mean_high, struct mixtures *mix) {
    const vector zero = _mm512_setzero_si512(), *sums = work->sums + j;
    const vector gain = _mm512_srlv_epi32(_mm512_slli_epi32(f->gain[j], 6), f->shift[j]);
    const vector reference = _mm512_slli_epi32(f->reference[j], 4);
    vector weight[MAX_COMPONENTS + 1], shares = zero, rest = ALL32(256);
    UNROLL for (int k = 0; k < count; k++) {
        const vector m = clip32(_mm512_srai_epi32(sums[4 * k], 4), -32767, 32767);
        const vector moved = _mm512_srai_epi32(_mm512_mullo_epi32(m, f->activity[j]), 8);
        const vector mean = clip32(_mm512_add_epi32(reference, moved), MEAN_LOW, mean_high);
        const vector sharp = _mm512_mullo_epi32(power(sums[4 * (count + k)]), gain);
        const vector inverse = clip32(_mm512_srli_epi32(sharp, 5), 1, INVERSE_HIGH);
        mix->inverse[k][j] = inverse;
        mix->start[k][j] = _mm512_mullo_epi32(_mm512_sub_epi32(ALL32(edge), mean), inverse);
        weight[k] = power(sums[4 * (2 * count + k)]);
        shares = _mm512_add_epi32(shares, weight[k]);
    }
    const __m512 divisor = _mm512_cvtepi32_ps(shares);
    UNROLL for (int k = 0; k < count - 1; k++) {
        const __m512 share = _mm512_cvtepi32_ps(_mm512_slli_epi32(weight[k], 8));
        weight[k] = _mm512_cvttps_epi32(_mm512_div_ps(share, divisor));
        rest = _mm512_sub_epi32(rest, weight[k]);
    }
    weight[count - 1] = rest;
    weight[count] = zero;
    UNROLL for (int k = 0; k < count; k += 2)
        mix->weights[k / 2][j] =
            _mm512_or_si512(weight[k], _mm512_slli_epi32(weight[k + 1], 16));
    if (count % 2) mix->inverse[count][j] = mix->start[count][j] = zero;
}

/* The network of any number of components: compiled once. */
static __attribute__((noinline)) void evaluate(const struct march *m, int32_t panel,
                                               struct features *f) {
    load_features(m, panel, m->work, f);
    first_layer(m, m->work, f);
    further_layers(m, m->work);
}

INLINE void predict(const struct march *m, int32_t panel, const int count, struct mixtures *mix) {
    struct features f;
    evaluate(m, panel, &f);
    UNROLL for (int j = 0; j < 4; j++) set_mixtures(m->work, &f, j, count, -8, MEAN_HIGH, mix);
}

/* Levels of each lane's slice, in the order of `interleave`. */
INLINE void load_levels(const struct march *m, int32_t panel, vector levels[4]) {
    UNROLL for (int j = 0; j < 4; j++) levels[j] = ALL32(256);
    if (!m->limited) return;
    const uint8_t *less_1 = m->limits_now + PANEL * panel;
    UNROLL for (int j = 0; j < 4; j++) {
        const vector n = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(less_1 + 16 * j)));
        levels[j] = _mm512_add_epi32(n, ALL32(1));
    }
    transpose4(levels);
}

#endif
