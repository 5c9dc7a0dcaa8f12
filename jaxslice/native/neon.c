/* NEON with its dot product: 16 lanes, a quarter of a panel, at once.
 *
 * 16 lanes are four vectors of 32-bit numbers, in their natural order. A number's four bytes are
 * four inputs of one lane: what `sdot` multiplies by the four weights of a cell. It wants signed
 * bytes, so that inputs are taken 128 lower; what that takes off the sums goes back in through the
 * reference (first layer) or the biases (`input_offset`).
 */
#include <arm_neon.h>

#include "states.h"

typedef int32x4_t vector;

enum { QUARTER = 16, QUARTERS = PANEL / QUARTER, OFFSET = 128 };

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define ALL32(x) vdupq_n_s32(x)

struct work {
    int8x16_t context[4 * (MAX_CONTEXT / 4)];
    int8x16_t hidden[2][4 * (MAX_UNITS / 4)];
    vector sums[4 * (3 * MAX_COMPONENTS + 3)];
};

/* `start` is (-8 - mean) * inverse, which is below 2**30 in size. */
struct mixtures {
    vector start[MAX_COMPONENTS][4], inverse[MAX_COMPONENTS][4];
    int16x8_t weights[MAX_COMPONENTS][2];
};

struct features {
    vector reference[4], activity[4], gain[4], shift[4], loglevel[4]; /* the last one less 112 */
};

INLINE vector clip32(vector v, int32_t low, int32_t high) {
    return vmaxq_s32(vminq_s32(v, ALL32(high)), ALL32(low));
}

/* Lanes whose bit is set in a mask of 16: all bits of their byte. */
INLINE uint8x16_t byte_mask(uint32_t bits) {
    static const uint8_t bit_of[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t spread =
        vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
    return vtstq_u8(spread, vld1q_u8(bit_of));
}

/* Symbols of context voxel c, `outside` where there is none. `quarter` counts quarters of panels. */
INLINE uint8x16_t load_context(const struct march *m, int32_t quarter, int32_t c,
                               uint8x16_t outside) {
    const struct place *place = m->places + c;
    const int32_t panel = quarter / QUARTERS;
    const uint64_t live = m->live_now[place->live + panel] & m->ranges[place->range + panel];
    const uint8x16_t v = vld1q_u8(m->now + place->value + (int64_t)QUARTER * quarter);
    return vbslq_u8(byte_mask((uint32_t)(live >> (QUARTER * (quarter % QUARTERS)))), v, outside);
}

INLINE uint8x16_t load_reference(const struct march *m, int32_t quarter) {
    const uint8x16_t f = load_context(m, quarter, m->fallback, vdupq_n_u8(NO_REFERENCE));
    const uint8x16_t a = load_context(m, quarter, 0, load_context(m, quarter, 1, f));
    const uint8x16_t b = load_context(m, quarter, 1, a);
    const uint8x16_t c = load_context(m, quarter, 2, b), d = load_context(m, quarter, 3, a);
    const uint16x8_t low = vmlaq_n_u16(vaddl_u8(vget_low_u8(c), vget_low_u8(d)),
                                       vaddl_u8(vget_low_u8(a), vget_low_u8(b)), 3);
    const uint16x8_t high = vmlaq_n_u16(vaddl_high_u8(c, d), vaddl_high_u8(a, b), 3);
    return vcombine_u8(vshrn_n_u16(low, 3), vshrn_n_u16(high, 3));
}

/* 16 bytes as four vectors of numbers. */
INLINE void as_numbers(uint8x16_t bytes, vector out[4]) {
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
    out[0] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low)));
    out[1] = vreinterpretq_s32_u32(vmovl_high_u16(low));
    out[2] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high)));
    out[3] = vreinterpretq_s32_u32(vmovl_high_u16(high));
}

/* Four vectors of 16 bytes to four in which a lane's four bytes lie together, 128 lower. */
INLINE void interleave(const uint8x16_t v[4], int8x16_t out[4]) {
    const uint8x16_t high_bit = vdupq_n_u8(OFFSET);
    uint8x16_t s[4];
    UNROLL for (int i = 0; i < 4; i++) s[i] = veorq_u8(v[i], high_bit);
    const uint16x8_t x0 = vreinterpretq_u16_u8(vzip1q_u8(s[0], s[1]));
    const uint16x8_t x1 = vreinterpretq_u16_u8(vzip2q_u8(s[0], s[1]));
    const uint16x8_t y0 = vreinterpretq_u16_u8(vzip1q_u8(s[2], s[3]));
    const uint16x8_t y1 = vreinterpretq_u16_u8(vzip2q_u8(s[2], s[3]));
    out[0] = vreinterpretq_s8_u16(vzip1q_u16(x0, y0));
    out[1] = vreinterpretq_s8_u16(vzip2q_u16(x0, y0));
    out[2] = vreinterpretq_s8_u16(vzip1q_u16(x1, y1));
    out[3] = vreinterpretq_s8_u16(vzip2q_u16(x1, y1));
}

/* Gain and loglevel are read off the bits of a float32: see avx512_predict.h. */
INLINE void set_scales(struct features *f, int j) {
    const uint32x4_t bits = vreinterpretq_u32_f32(vcvtq_f32_s32(f->activity[j]));
    const uint32x4_t fraction = vandq_u32(bits, vdupq_n_u32(0x7fffff));
    const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(fraction, vdupq_n_u32(0x3ffff)), 18);
    f->gain[j] = vsubq_s32(ALL32(64), vreinterpretq_s32_u32(rounded));
    f->shift[j] = vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(bits, 23)), ALL32(127 + 4));
    f->loglevel[j] =
        vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(bits, 19)), ALL32(127 * 16 + 112));
}

/* Contexts to `work->context`, with the reference where a voxel is outside: its difference is 0. */
INLINE void load_features(const struct march *m, int32_t quarter, struct work *work,
                          struct features *f) {
    const uint8x16_t reference = load_reference(m, quarter);
    uint16x8_t low = vdupq_n_u16((uint16_t)m->activity_offset), high = low;
    as_numbers(reference, f->reference);
    for (int32_t c = 0; c < m->context_count; c += 4) {
        uint8x16_t v[4];
        UNROLL for (int i = 0; i < 4; i++) {
            v[i] = load_context(m, quarter, c + i, reference);
            if (c + i >= m->activity_count) continue;
            const uint8x16_t size = vabdq_u8(v[i], reference);
            low = vaddw_u8(low, vget_low_u8(size));
            high = vaddw_high_u8(high, size);
        }
        interleave(v, work->context + c);
    }
    f->activity[0] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low)));
    f->activity[1] = vreinterpretq_s32_u32(vmovl_high_u16(low));
    f->activity[2] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high)));
    f->activity[3] = vreinterpretq_s32_u32(vmovl_high_u16(high));
    UNROLL for (int j = 0; j < 4; j++) set_scales(f, j);
}

/* Adds the products of a tile's four outputs for four vectors of lanes. */
INLINE void add_products(const int32_t *cells, const int8x16_t *x, int32_t groups,
                         vector sums[4][4]) {
    for (int32_t g = 0; g < groups; g++, cells += 4, x += 4) {
        const int8x16_t w = vreinterpretq_s8_s32(vld1q_s32(cells));
        UNROLL for (int j = 0; j < 4; j++) {
            sums[0][j] = vdotq_laneq_s32(sums[0][j], x[j], w, 0);
            sums[1][j] = vdotq_laneq_s32(sums[1][j], x[j], w, 1);
            sums[2][j] = vdotq_laneq_s32(sums[2][j], x[j], w, 2);
            sums[3][j] = vdotq_laneq_s32(sums[3][j], x[j], w, 3);
        }
    }
}

/* clip(sum >> 6, 0, 255) of four outputs, 128 lower, as a lane's four bytes. */
INLINE void activate(vector sums[4][4], int8x16_t *hidden) {
    static const uint8_t order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    const uint8x16_t together = vld1q_u8(order), high_bit = vdupq_n_u8(OFFSET);
    UNROLL for (int j = 0; j < 4; j++) {
        const uint16x8_t a =
            vcombine_u16(vqshrun_n_s32(sums[0][j], 6), vqshrun_n_s32(sums[1][j], 6));
        const uint16x8_t b =
            vcombine_u16(vqshrun_n_s32(sums[2][j], 6), vqshrun_n_s32(sums[3][j], 6));
        const uint8x16_t bytes = vcombine_u8(vqmovn_u16(a), vqmovn_u16(b));
        hidden[j] = vreinterpretq_s8_u8(veorq_u8(vqtbl1q_u8(bytes, together), high_bit));
    }
}

/* W (v - reference) = W (v - 128) - (reference - 128) * (sum of the row). */
INLINE void first_layer(const struct march *m, struct work *work, const struct features *f) {
    const struct layer *layer = m->layer;
    vector from_middle[4];
    UNROLL for (int j = 0; j < 4; j++) from_middle[j] = vsubq_s32(f->reference[j], ALL32(OFFSET));
    for (int32_t t = 0; t < layer->tiles; t++) {
        vector sums[4][4];
        UNROLL for (int o = 0; o < 4; o++) {
            const int32_t minus = (int16_t)layer->minus_row_sum[4 * t + o];
            UNROLL for (int j = 0; j < 4; j++) sums[o][j] = vmulq_n_s32(from_middle[j], minus);
        }
        add_products(layer->cells + (int64_t)t * layer->groups * 4, work->context, layer->groups,
                     sums);
        UNROLL for (int o = 0; o < 4; o++) {
            const int32_t extras = layer->extras[4 * t + o];
            UNROLL for (int j = 0; j < 4; j++) {
                const vector s =
                    vmulq_s32(clip32(sums[o][j], -SUM_HIGH, SUM_HIGH), f->gain[j]);
                vector more = ALL32(layer->biases[4 * t + o]);
                more = vmlaq_n_s32(more, from_middle[j], (int16_t)extras);
                more = vmlaq_n_s32(more, f->loglevel[j], extras >> 16);
                sums[o][j] = vaddq_s32(vshlq_s32(s, vnegq_s32(f->shift[j])), more);
            }
        }
        activate(sums, work->hidden[0] + 4 * t);
    }
}

INLINE void layer_tile(const struct layer *layer, int32_t t, const int8x16_t *x,
                       vector sums[4][4]) {
    UNROLL for (int o = 0; o < 4; o++)
        UNROLL for (int j = 0; j < 4; j++) sums[o][j] = ALL32(layer->biases[4 * t + o]);
    add_products(layer->cells + (int64_t)t * layer->groups * 4, x, layer->groups, sums);
}

INLINE void further_layers(const struct march *m, struct work *work) {
    int from = 0;
    vector sums[4][4];
    for (int32_t i = 1; i < m->layers - 1; i++, from ^= 1)
        for (int32_t t = 0; t < m->layer[i].tiles; t++) {
            layer_tile(m->layer + i, t, work->hidden[from], sums);
            activate(sums, work->hidden[from ^ 1] + 4 * t);
        }
    const struct layer *last = m->layer + m->layers - 1;
    for (int32_t t = 0; t < last->tiles; t++) {
        layer_tile(last, t, work->hidden[from], sums);
        memcpy(work->sums + 16 * t, sums, sizeof sums);
    }
}

/* 16 * 2**(q / 16), with q from a sum of the last layer. */
INLINE vector power(vector sum) {
    const vector q = clip32(vaddq_s32(vshrq_n_s32(sum, 7), ALL32(64)), 0, 127);
    const vector mantissa = vorrq_s32(vandq_s32(q, ALL32(15)), ALL32(16));
    return vshlq_s32(mantissa, vshrq_n_s32(q, 4));
}

/* See avx512_predict.h. */
INLINE void set_mixtures(const struct work *work, const struct features *f, int j, const int count,
                         struct mixtures *mix, vector weight[MAX_COMPONENTS]) {
    const vector *sums = work->sums + j;
    const vector gain = vshlq_s32(vshlq_n_s32(f->gain[j], 6), vnegq_s32(f->shift[j]));
    const vector reference = vshlq_n_s32(f->reference[j], 4);
    vector shares = ALL32(0), rest = ALL32(256);
    UNROLL for (int k = 0; k < count; k++) {
        const vector m = clip32(vshrq_n_s32(sums[4 * k], 4), -32767, 32767);
        const vector moved = vshrq_n_s32(vmulq_s32(m, f->activity[j]), 8);
        const vector mean = clip32(vaddq_s32(reference, moved), MEAN_LOW, MEAN_HIGH);
        const vector sharp = vmulq_s32(power(sums[4 * (count + k)]), gain);
        const vector inverse = clip32(vshrq_n_s32(sharp, 5), 1, INVERSE_HIGH);
        mix->inverse[k][j] = inverse;
        mix->start[k][j] = vmulq_s32(vsubq_s32(ALL32(-8), mean), inverse);
        weight[k] = power(sums[4 * (2 * count + k)]);
        shares = vaddq_s32(shares, weight[k]);
    }
    const float32x4_t divisor = vcvtq_f32_s32(shares);
    UNROLL for (int k = 0; k < count - 1; k++) {
        const float32x4_t share = vcvtq_f32_s32(vshlq_n_s32(weight[k], 8));
        weight[k] = vcvtq_s32_f32(vdivq_f32(share, divisor));
        rest = vsubq_s32(rest, weight[k]);
    }
    weight[count - 1] = rest;
}

/* The network of any number of components: compiled once. */
static __attribute__((noinline)) void evaluate(const struct march *m, int32_t quarter,
                                               struct features *f) {
    load_features(m, quarter, m->work, f);
    first_layer(m, m->work, f);
    further_layers(m, m->work);
}

INLINE void predict(const struct march *m, int32_t quarter, const int count,
                    struct mixtures *mix) {
    struct features f;
    evaluate(m, quarter, &f);
    UNROLL for (int j = 0; j < 4; j += 2) {
        vector a[MAX_COMPONENTS], b[MAX_COMPONENTS];
        set_mixtures(m->work, &f, j, count, mix, a);
        set_mixtures(m->work, &f, j + 1, count, mix, b);
        UNROLL for (int k = 0; k < count; k++)
            mix->weights[k][j / 2] = vcombine_s16(vmovn_s32(a[k]), vmovn_s32(b[k]));
    }
}

/* The upper halves of products. */
INLINE uint16x8_t multiply_high(uint16x8_t a, uint16x8_t b) {
    const uint32x4_t low = vmull_u16(vget_low_u16(a), vget_low_u16(b));
    const uint32x4_t high = vmull_high_u16(a, b);
    return vuzp2q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
}

/* C of an edge of 8 lanes; see avx512.c. `distance` has two vectors for each component. */
INLINE void cumulative(vector distance[][2], const int16x8_t *weights, const vector widths[2],
                       const int count, vector out[2]) {
    vector sum[2] = {ALL32(256 * 32768 + 256), ALL32(256 * 32768 + 256)};
    UNROLL for (int k = 0; k < count; k++) {
        const int16x8_t q =
            vcombine_s16(vqshrn_n_s32(distance[k][0], 10), vqshrn_n_s32(distance[k][1], 10));
        const int16x8_t sign = vshrq_n_s16(q, 15);
        const uint16x8_t size = vreinterpretq_u16_s16(vabsq_s16(q));
        const uint16x8_t near = vcleq_u16(size, vdupq_n_u16(1038));
        const uint16x8_t u = vminq_u16(size, vdupq_n_u16(1023));
        const uint16x8_t slope = vmlaq_n_u16(vdupq_n_u16(26214), u, 20);
        uint16x8_t r = vmvnq_u16(multiply_high(slope, vshlq_n_u16(u, 6)));
        r = multiply_high(r, r);
        r = multiply_high(r, r);
        r = multiply_high(r, r);
        const int16x8_t tail = vreinterpretq_s16_u16(vandq_u16(near, vshrq_n_u16(r, 1)));
        const int16x8_t s = veorq_s16(veorq_s16(tail, vdupq_n_s16(0x7fff)), sign);
        const int16x8_t signed_weight = vandq_s16(weights[k], sign);
        sum[0] = vmlal_s16(sum[0], vget_low_s16(s), vget_low_s16(weights[k]));
        sum[1] = vmlal_high_s16(sum[1], s, weights[k]);
        sum[0] = vsubw_s16(sum[0], vget_low_s16(signed_weight));
        sum[1] = vsubw_high_s16(sum[1], signed_weight);
    }
    UNROLL for (int i = 0; i < 2; i++)
        out[i] = vaddq_s32(vsubq_s32(sum[i], vshrq_n_s32(sum[i], 10)), widths[i]);
}

/* 64 levels of each lane's slice. */
INLINE void load_limits(const struct march *m, int32_t quarter, vector limits[4]) {
    if (!m->limited) {
        UNROLL for (int j = 0; j < 4; j++) limits[j] = ALL32(256 * MINIMUM_WIDTH);
        return;
    }
    as_numbers(vld1q_u8(m->limits_now + QUARTER * quarter), limits);
    UNROLL for (int j = 0; j < 4; j++)
        limits[j] = vshlq_n_s32(vaddq_s32(limits[j], ALL32(1)), 6);
}

/* Finds the symbols of 8 lanes, those of vectors `first` and the next: see avx512.c. */
INLINE void find(const struct mixtures *mix, int first, const vector *positions,
                 const vector *limits, const int count, vector *symbol, vector *start,
                 vector *end) {
    vector here[MAX_COMPONENTS][2], step[MAX_COMPONENTS][2], low[2];
    int16x8_t weights[MAX_COMPONENTS];
    UNROLL for (int k = 0; k < count; k++) {
        weights[k] = mix->weights[k][first / 2];
        UNROLL for (int i = 0; i < 2; i++) {
            here[k][i] = mix->start[k][first + i];
            step[k][i] = vshlq_n_s32(mix->inverse[k][first + i], 11);
        }
    }
    UNROLL for (int i = 0; i < 2; i++) {
        low[i] = start[first + i] = ALL32(0);
        end[first + i] = ALL32(TOTAL);
    }
    for (int32_t half = 128 * MINIMUM_WIDTH; half >= MINIMUM_WIDTH; half /= 2) {
        vector there[MAX_COMPONENTS][2], edge[2], c[2];
        UNROLL for (int i = 0; i < 2; i++) edge[i] = vaddq_s32(low[i], ALL32(half));
        UNROLL for (int k = 0; k < count; k++)
            UNROLL for (int i = 0; i < 2; i++) there[k][i] = vaddq_s32(here[k][i], step[k][i]);
        cumulative(there, weights, edge, count, c);
        UNROLL for (int i = 0; i < 2; i++) {
            const uint32x4_t beyond = vcgtq_s32(c[i], positions[first + i]);
            const uint32x4_t inside = vcgtq_s32(limits[first + i], edge[i]);
            const uint32x4_t reached = vbicq_u32(inside, beyond);
            end[first + i] = vbslq_s32(vandq_u32(beyond, inside), c[i], end[first + i]);
            start[first + i] = vbslq_s32(reached, c[i], start[first + i]);
            low[i] = vbslq_s32(reached, edge[i], low[i]);
            UNROLL for (int k = 0; k < count; k++) {
                here[k][i] = vbslq_s32(reached, there[k][i], here[k][i]);
                step[k][i] = vshrq_n_s32(step[k][i], 1);
            }
        }
    }
    UNROLL for (int i = 0; i < 2; i++) symbol[first + i] = vshrq_n_s32(low[i], 6);
}

INLINE void decode_quarter(struct march *m, int32_t quarter, uint32_t live, const int count) {
    struct mixtures mix;
    predict(m, quarter, count, &mix);
    const int32_t lane = QUARTER * quarter;
    vector position[4], limits[4], symbol[4], start[4], end[4];
    UNROLL for (int j = 0; j < 4; j++)
        position[j] = vandq_s32(vreinterpretq_s32_u32(vld1q_u32(m->low + lane + 4 * j)),
                                ALL32(TOTAL - 1));
    load_limits(m, quarter, limits);
    find(&mix, 0, position, limits, count, symbol, start, end);
    find(&mix, 2, position, limits, count, symbol, start, end);
    const int16x8_t low = vcombine_s16(vmovn_s32(symbol[0]), vmovn_s32(symbol[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(symbol[2]), vmovn_s32(symbol[3]));
    vst1q_u8(m->now + lane, vcombine_u8(vqmovun_s16(low), vqmovun_s16(high)));
    uint32_t starts[QUARTER], ends[QUARTER];
    memcpy(starts, start, sizeof starts);
    memcpy(ends, end, sizeof ends);
    for (int32_t i = 0; i < QUARTER; i++)
        if (live >> i & 1) pop_lane(m, lane + i, starts[i], ends[i] - starts[i], 0);
}

/* start and freq of the symbols of vectors j and j + 1. */
INLINE void interval_of(const struct mixtures *mix, int j, const vector *symbol,
                        const vector *limit, const int count, vector *start, vector *freq) {
    vector lower[MAX_COMPONENTS][2], upper[MAX_COMPONENTS][2], below[2], next[2], c[2], d[2];
    int16x8_t weights[MAX_COMPONENTS];
    UNROLL for (int i = 0; i < 2; i++) {
        UNROLL for (int k = 0; k < count; k++) {
            const vector width = vshlq_n_s32(mix->inverse[k][j + i], 4);
            lower[k][i] = vmlaq_s32(mix->start[k][j + i], symbol[j + i], width);
            upper[k][i] = vaddq_s32(lower[k][i], width);
        }
        below[i] = vshlq_n_s32(symbol[j + i], 6);
        next[i] = vaddq_s32(below[i], ALL32(MINIMUM_WIDTH));
    }
    UNROLL for (int k = 0; k < count; k++) weights[k] = mix->weights[k][j / 2];
    cumulative(lower, weights, below, count, c);
    cumulative(upper, weights, next, count, d);
    UNROLL for (int i = 0; i < 2; i++) {
        const uint32x4_t later = vtstq_s32(symbol[j + i], symbol[j + i]);
        start[j + i] = vreinterpretq_s32_u32(vandq_u32(vreinterpretq_u32_s32(c[i]), later));
        const uint32x4_t inside = vcgtq_s32(limit[j + i], next[i]);
        freq[j + i] = vsubq_s32(vbslq_s32(inside, d[i], ALL32(TOTAL)), start[j + i]);
    }
}

INLINE void encode_quarter(struct march *m, int32_t quarter, uint32_t live, const int count) {
    struct mixtures mix;
    predict(m, quarter, count, &mix);
    const int32_t lane = QUARTER * quarter;
    vector symbol[4], limits[4], start[4], freq[4];
    as_numbers(vld1q_u8(m->now + lane), symbol);
    load_limits(m, quarter, limits);
    interval_of(&mix, 0, symbol, limits, count, start, freq);
    interval_of(&mix, 2, symbol, limits, count, start, freq);
    uint32_t starts[QUARTER], freqs[QUARTER];
    memcpy(starts, start, sizeof starts);
    memcpy(freqs, freq, sizeof freqs);
    for (int32_t i = QUARTER - 1; i >= 0; i--)
        if (live >> i & 1) push_lane(m, lane + i, starts[i], freqs[i], 0, 0);
}

INLINE void decode_panel(struct march *m, int32_t panel, const int count) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 0; i < QUARTERS; i++) {
        const uint32_t lanes = live >> (QUARTER * i) & 0xffff;
        if (lanes) decode_quarter(m, QUARTERS * panel + i, lanes, count);
    }
}

INLINE void encode_panel(struct march *m, int32_t panel, const int count) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = QUARTERS - 1; i >= 0; i--) {
        const uint32_t lanes = live >> (QUARTER * i) & 0xffff;
        if (lanes) encode_quarter(m, QUARTERS * panel + i, lanes, count);
    }
}

#include "by_components.h"

static void decode(struct march *m, int32_t panel) { decoders[m->components - 1](m, panel); }
static void encode(struct march *m, int32_t panel) { encoders[m->components - 1](m, panel); }

const struct kernel march_neon = {4, 4, sizeof(struct work), NULL, decode, encode, OFFSET};
