/* AVX2: from the contexts of 32 lanes, half a panel, to their mixtures. */
#ifndef JAXSLICE_AVX2_PREDICT_H
#define JAXSLICE_AVX2_PREDICT_H

#include "avx2_pack.h"
#include "avx2_states.h"

struct work {
    struct word_orders orders;
    vector context[MAX_CONTEXT], hidden[2][MAX_UNITS];
    vector sums[4 * 3 * MAX_COMPONENTS];
};

INLINE const struct word_orders *orders_of(const struct march *m) {
    const struct work *work = m->work;
    return &work->orders;
}

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

/* Contexts to `work->context`, with the reference where a voxel is outside: its difference is 0. */
INLINE void load_features(const struct march *m, int32_t half, struct work *work,
                          struct features *f) {
    const vector reference = load_reference(m, half);
    const vector four[4] = {reference, reference, reference, reference};
    vector repeated[4], sizes[4];
    interleave_four(four, repeated);
    UNROLL for (int j = 0; j < 4; j++) {
        f->reference[j] = _mm256_srli_epi32(repeated[j], 24);
        sizes[j] = _mm256_setzero_si256();
    }
    for (int32_t c = 0; c < m->context_count; c += 4) {
        vector v[4], *x = work->context + c;
        UNROLL for (int i = 0; i < 4; i++) v[i] = load_context(m, half, c + i, reference);
        interleave_four(v, x);
        if (c >= m->activity_count) continue;
        const int32_t counted = smaller(m->activity_count - c, 4);
        const vector ones = ALL32((int32_t)(0x01010101u >> (8 * (4 - counted))));
        /* At most 64 times 2 * 255 in 16 bits. */
        UNROLL for (int j = 0; j < 4; j++) {
            const vector size = _mm256_or_si256(_mm256_subs_epu8(x[j], repeated[j]),
                                                _mm256_subs_epu8(repeated[j], x[j]));
            sizes[j] = _mm256_add_epi16(sizes[j], _mm256_maddubs_epi16(size, ones));
        }
    }
    UNROLL for (int j = 0; j < 4; j++) {
        f->activity[j] = _mm256_add_epi32(ALL32(m->activity_offset),
                                          _mm256_madd_epi16(sizes[j], ALL16(1)));
        set_scales(f, j);
    }
}

/* Adds the products of an output for four vectors of lanes. Returns where the next output is. */
INLINE const int32_t *add_products(const int32_t *cells, const vector *x, vector sums[4]) {
    const struct cell_pair *pair = (const void *)(cells + 1), *end = pair + *cells;
    for (; pair < end; pair++) {
        const vector *a = (const vector *)((const char *)x + pair->from[0]);
        const vector *b = (const vector *)((const char *)x + pair->from[1]);
        const vector weights_a = ALL32(pair->weights[0]), weights_b = ALL32(pair->weights[1]);
        UNROLL for (int j = 0; j < 4; j++) {
            const vector both = _mm256_add_epi16(_mm256_maddubs_epi16(a[j], weights_a),
                                                 _mm256_maddubs_epi16(b[j], weights_b));
            sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(both, ALL16(1)));
        }
    }
    return (const int32_t *)end;
}

/* clip(sum >> 6, 0, 255) of four outputs, as a lane's four bytes. Packing saturates. */
INLINE void activate(vector sums[4][4], vector *hidden) {
    const vector together = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    UNROLL for (int j = 0; j < 4; j++) {
        const vector a = _mm256_packs_epi32(_mm256_srai_epi32(sums[0][j], 6),
                                            _mm256_srai_epi32(sums[1][j], 6));
        const vector b = _mm256_packs_epi32(_mm256_srai_epi32(sums[2][j], 6),
                                            _mm256_srai_epi32(sums[3][j], 6));
        hidden[j] = _mm256_shuffle_epi8(_mm256_packus_epi16(a, b), together);
    }
}

/* W (v - reference) = W v - reference * (sum of the row), so that inputs are unsigned. */
INLINE void first_layer(const struct march *m, struct work *work, const struct features *f) {
    const struct layer *layer = m->layer;
    const int32_t *cells = layer->cells;
    for (int32_t t = 0; t < layer->tiles; t++) {
        vector sums[4][4];
        for (int o = 0; o < 4; o++) {
            const vector minus = ALL32(layer->minus_row_sum[4 * t + o]);
            const vector bias = ALL32(layer->biases[4 * t + o]);
            const vector extras = ALL32(layer->extras[4 * t + o]);
            vector sum[4];
            UNROLL for (int j = 0; j < 4; j++) sum[j] = _mm256_madd_epi16(f->reference[j], minus);
            cells = add_products(cells, work->context, sum);
            UNROLL for (int j = 0; j < 4; j++) {
                const vector s =
                    _mm256_mullo_epi32(clip32(sum[j], -SUM_HIGH, SUM_HIGH), f->gain[j]);
                const vector more = _mm256_madd_epi16(f->extras[j], extras);
                sums[o][j] = _mm256_add_epi32(_mm256_srav_epi32(s, f->shift[j]),
                                              _mm256_add_epi32(more, bias));
            }
        }
        activate(sums, work->hidden[0] + 4 * t);
    }
}

/* A further layer's output; returns where the next one is. */
INLINE const int32_t *output_of(const int32_t *cells, int32_t bias, const vector *x,
                                vector sums[4]) {
    vector sum[4];
    UNROLL for (int j = 0; j < 4; j++) sum[j] = ALL32(bias);
    cells = add_products(cells, x, sum);
    UNROLL for (int j = 0; j < 4; j++) sums[j] = sum[j];
    return cells;
}

INLINE void further_layers(const struct march *m, struct work *work) {
    int from = 0;
    for (int32_t i = 1; i < m->layers - 1; i++, from ^= 1) {
        const struct layer *layer = m->layer + i;
        const int32_t *cells = layer->cells;
        for (int32_t t = 0; t < layer->tiles; t++) {
            vector sums[4][4];
            for (int o = 0; o < 4; o++)
                cells = output_of(cells, layer->biases[4 * t + o], work->hidden[from], sums[o]);
            activate(sums, work->hidden[from ^ 1] + 4 * t);
        }
    }
    const struct layer *last = m->layer + m->layers - 1;
    const int32_t *cells = last->cells;
    for (int32_t o = 0; o < last->outputs; o++)
        cells = output_of(cells, last->biases[o], work->hidden[from], work->sums + 4 * o);
}

/* 16 * 2**(q / 16), with q from a sum of the last layer. */
INLINE vector power(vector sum) {
    const vector q = clip32(_mm256_add_epi32(_mm256_srai_epi32(sum, 7), ALL32(64)), 0, 127);
    const vector mantissa = _mm256_or_si256(_mm256_and_si256(q, ALL32(15)), ALL32(16));
    return _mm256_sllv_epi32(mantissa, _mm256_srli_epi32(q, 4));
}

/* See avx512_predict.h. */
INLINE void set_mixtures(const struct work *work, const struct features *f, int j, const int count,
                         const int edge, const int mean_high, struct mixtures *mix) {
    const vector zero = _mm256_setzero_si256(), *sums = work->sums + j;
    const vector gain = _mm256_srlv_epi32(_mm256_slli_epi32(f->gain[j], 6), f->shift[j]);
    const vector reference = _mm256_slli_epi32(f->reference[j], 4);
    vector weight[MAX_COMPONENTS + 1], shares = zero, rest = ALL32(256);
    UNROLL for (int k = 0; k < count; k++) {
        const vector m = clip32(_mm256_srai_epi32(sums[4 * k], 4), -32767, 32767);
        const vector moved = _mm256_srai_epi32(_mm256_mullo_epi32(m, f->activity[j]), 8);
        const vector mean = clip32(_mm256_add_epi32(reference, moved), MEAN_LOW, mean_high);
        const vector sharp = _mm256_mullo_epi32(power(sums[4 * (count + k)]), gain);
        const vector inverse = clip32(_mm256_srli_epi32(sharp, 5), 1, INVERSE_HIGH);
        mix->inverse[k][j] = inverse;
        mix->start[k][j] = _mm256_mullo_epi32(_mm256_sub_epi32(ALL32(edge), mean), inverse);
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
    UNROLL for (int j = 0; j < 4; j++) set_mixtures(m->work, &f, j, count, -8, MEAN_HIGH, mix);
}

#endif
