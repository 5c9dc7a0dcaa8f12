/* AVX2: from the contexts of 32 lanes, half a panel, to their mixtures. */
#ifndef JAXSLICE_AVX2_PREDICT_H
#define JAXSLICE_AVX2_PREDICT_H

#include "avx2_states.h"

struct work {
    struct word_orders orders;
    vector context[4 * (MAX_CONTEXT / 2)];
    vector hidden[2][4 * (MAX_UNITS / 2)];
    vector sums[4 * 3 * MAX_COMPONENTS];
};

/* As in avx512_predict.h, for 32 lanes. */
struct mixtures {
    vector start[MAX_COMPONENTS][4], inverse[MAX_COMPONENTS][4], weights[MAX_COMPONENTS / 2][4];
};

struct features {
    vector reference[4], activity[4], gain[4], shift[4], extras[4];
};

/* See avx512_predict.h. */
INLINE void set_scales(struct features *f, int j) {
    const vector bits = _mm256_castps_si256(_mm256_cvtepi32_ps(f->activity[j]));
    const vector fraction = _mm256_and_si256(bits, ALL32(0x7fffff));
    const vector rounded = _mm256_srli_epi32(_mm256_add_epi32(fraction, ALL32(0x3ffff)), 18);
    f->gain[j] = _mm256_sub_epi32(ALL32(64), rounded);
    f->shift[j] = _mm256_sub_epi32(_mm256_srli_epi32(bits, 23), ALL32(127 + 4));
    const vector loglevel = _mm256_sub_epi32(_mm256_srli_epi32(bits, 19), ALL32(127 * 16 + 112));
    const vector from_middle = _mm256_sub_epi32(f->reference[j], ALL32(128));
    f->extras[j] = _mm256_blend_epi16(from_middle, _mm256_slli_epi32(loglevel, 16), 0xaa);
}

INLINE void load_features(const struct march *m, int32_t half, struct work *work,
                          struct features *f) {
    const vector reference = load_reference(m, half);
    vector repeated[4];
    interleave(reference, reference, repeated);
    UNROLL for (int j = 0; j < 4; j++) {
        f->reference[j] = _mm256_srli_epi32(repeated[j], 16);
        f->activity[j] = ALL32(m->activity_offset);
    }
    for (int32_t c = 0; c < m->context_count; c += 2) {
        vector *x = work->context + 2 * c;
        const vector first = load_context(m, half, c, reference);
        interleave(first, load_context(m, half, c + 1, reference), x);
        if (c >= m->activity_count) continue;
        const vector ones = ALL32(c + 1 < m->activity_count ? 0x10001 : 1);
        UNROLL for (int j = 0; j < 4; j++) {
            const vector size = _mm256_abs_epi16(_mm256_sub_epi16(x[j], repeated[j]));
            f->activity[j] = _mm256_add_epi32(f->activity[j], _mm256_madd_epi16(size, ones));
        }
    }
    UNROLL for (int j = 0; j < 4; j++) set_scales(f, j);
}

/* Adds the products of a tile's outputs for two of the four vectors of lanes. */
INLINE void add_products(const int32_t *cells, const vector *x, int32_t groups, const int tile,
                         vector sums[][2]) {
    for (int32_t g = 0; g < groups; g++, cells += tile, x += 4) {
        const vector x0 = x[0], x1 = x[1];
        UNROLL for (int o = 0; o < tile; o++) {
            const vector weights = ALL32(cells[o]);
            sums[o][0] = _mm256_add_epi32(sums[o][0], _mm256_madd_epi16(x0, weights));
            sums[o][1] = _mm256_add_epi32(sums[o][1], _mm256_madd_epi16(x1, weights));
        }
    }
}

/* clip(sum >> 6, 0, 255) of two outputs, as the halves of a number. Packing saturates. */
INLINE vector activation(vector a, vector b) {
    const vector together = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    const vector packed = _mm256_packs_epi32(_mm256_srai_epi32(a, 6), _mm256_srai_epi32(b, 6));
    const vector clipped =
        _mm256_max_epi16(_mm256_min_epi16(packed, ALL16(255)), _mm256_setzero_si256());
    return _mm256_shuffle_epi8(clipped, together);
}

/* Four outputs are two groups of the next layer's inputs; j is the first of two vectors. */
INLINE void activate(vector sums[4][2], vector *hidden, int j) {
    UNROLL for (int i = 0; i < 2; i++) {
        hidden[j + i] = activation(sums[0][i], sums[1][i]);
        hidden[4 + j + i] = activation(sums[2][i], sums[3][i]);
    }
}

/* W (v - reference) = W v - reference * (sum of the row), so that inputs are symbols. */
INLINE void first_layer(const struct march *m, struct work *work, const struct features *f) {
    const struct layer *layer = m->layer;
    for (int32_t t = 0; t < layer->tiles; t++)
        UNROLL for (int j = 0; j < 4; j += 2) {
            vector sums[4][2];
            UNROLL for (int o = 0; o < 4; o++) {
                const vector minus = ALL32(layer->minus_row_sum[4 * t + o]);
                UNROLL for (int i = 0; i < 2; i++)
                    sums[o][i] = _mm256_madd_epi16(f->reference[j + i], minus);
            }
            add_products(layer->cells + (int64_t)t * layer->groups * 4, work->context + j,
                         layer->groups, 4, sums);
            UNROLL for (int o = 0; o < 4; o++) {
                const vector bias = ALL32(layer->biases[4 * t + o]);
                const vector extras = ALL32(layer->extras[4 * t + o]);
                UNROLL for (int i = 0; i < 2; i++) {
                    const vector s = _mm256_mullo_epi32(clip32(sums[o][i], -SUM_HIGH, SUM_HIGH),
                                                        f->gain[j + i]);
                    const vector more = _mm256_madd_epi16(f->extras[j + i], extras);
                    sums[o][i] = _mm256_add_epi32(_mm256_srav_epi32(s, f->shift[j + i]),
                                                  _mm256_add_epi32(more, bias));
                }
            }
            activate(sums, work->hidden[0] + 8 * t, j);
        }
}

INLINE void layer_tile(const struct layer *layer, int32_t t, const vector *x, const int tile,
                       vector sums[][2]) {
    UNROLL for (int o = 0; o < tile; o++) sums[o][0] = sums[o][1] = ALL32(layer->biases[tile * t + o]);
    add_products(layer->cells + (int64_t)t * layer->groups * tile, x, layer->groups, tile, sums);
}

INLINE void further_layers(const struct march *m, struct work *work) {
    int from = 0;
    for (int32_t i = 1; i < m->layers - 1; i++, from ^= 1)
        for (int32_t t = 0; t < m->layer[i].tiles; t++)
            for (int j = 0; j < 4; j += 2) {
                vector sums[4][2];
                layer_tile(m->layer + i, t, work->hidden[from] + j, 4, sums);
                activate(sums, work->hidden[from ^ 1] + 8 * t, j);
            }
    for (int32_t t = 0; t < m->components; t++)
        for (int j = 0; j < 4; j += 2) {
            vector sums[3][2];
            layer_tile(m->layer + m->layers - 1, t, work->hidden[from] + j, 3, sums);
            UNROLL for (int o = 0; o < 3; o++)
                UNROLL for (int i = 0; i < 2; i++)
                    work->sums[4 * (3 * t + o) + j + i] = sums[o][i];
        }
}

/* 16 * 2**(q / 16), with q from a sum of the last layer. */
INLINE vector power(vector sum) {
    const vector q = clip32(_mm256_add_epi32(_mm256_srai_epi32(sum, 7), ALL32(64)), 0, 127);
    const vector mantissa = _mm256_or_si256(_mm256_and_si256(q, ALL32(15)), ALL32(16));
    return _mm256_sllv_epi32(mantissa, _mm256_srli_epi32(q, 4));
}

/* See avx512_predict.h. */
INLINE void set_mixtures(const struct work *work, const struct features *f, int j, const int count,
                         struct mixtures *mix) {
    const vector zero = _mm256_setzero_si256(), *sums = work->sums + j;
    const vector gain = _mm256_srlv_epi32(_mm256_slli_epi32(f->gain[j], 6), f->shift[j]);
    const vector reference = _mm256_slli_epi32(f->reference[j], 4);
    vector weight[MAX_COMPONENTS + 1], shares = zero, rest = ALL32(256);
    UNROLL for (int k = 0; k < count; k++) {
        const vector m = clip32(_mm256_srai_epi32(sums[4 * k], 4), -32767, 32767);
        const vector moved = _mm256_srai_epi32(_mm256_mullo_epi32(m, f->activity[j]), 8);
        const vector mean = clip32(_mm256_add_epi32(reference, moved), MEAN_LOW, MEAN_HIGH);
        const vector sharp = _mm256_mullo_epi32(power(sums[4 * (count + k)]), gain);
        const vector inverse = clip32(_mm256_srli_epi32(sharp, 5), 1, INVERSE_HIGH);
        mix->inverse[k][j] = inverse;
        mix->start[k][j] = _mm256_mullo_epi32(_mm256_sub_epi32(ALL32(-8), mean), inverse);
        weight[k] = power(sums[4 * (2 * count + k)]);
        shares = _mm256_add_epi32(shares, weight[k]);
    }
    const __m256 divisor = _mm256_cvtepi32_ps(shares);
    UNROLL for (int k = 0; k < count - 1; k++) {
        const __m256 share = _mm256_cvtepi32_ps(_mm256_slli_epi32(weight[k], 8));
        weight[k] = _mm256_cvttps_epi32(_mm256_div_ps(share, divisor));
        rest = _mm256_sub_epi32(rest, weight[k]);
    }
    weight[count - 1] = rest;
    weight[count] = zero;
    UNROLL for (int k = 0; k < count; k += 2)
        mix->weights[k / 2][j] =
            _mm256_or_si256(weight[k], _mm256_slli_epi32(weight[k + 1], 16));
    if (count % 2) mix->inverse[count][j] = mix->start[count][j] = zero;
}

/* The network of any number of components: compiled once. */
static __attribute__((noinline)) void evaluate(const struct march *m, int32_t half,
                                               struct features *f) {
    load_features(m, half, m->work, f);
    first_layer(m, m->work, f);
    further_layers(m, m->work);
}

INLINE void predict(const struct march *m, int32_t half, const int count, struct mixtures *mix) {
    struct features f;
    evaluate(m, half, &f);
    UNROLL for (int j = 0; j < 4; j++) set_mixtures(m->work, &f, j, count, mix);
}

#endif
