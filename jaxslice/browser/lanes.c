/* The network's kernel for WebAssembly: what native/portable.c does for one lane, for the 64 of a
 * panel at once, in loops that the compiler makes vectors of. 8-bit voxels; others go lane by lane.
 * `march_scalar` is the kernel of portable.c, whose place this one takes. */
#include <wasm_simd128.h>

#include "../native/linear_lanes.h"
#include "../native/states.h"

enum { PAIRS = MAX_CONTEXT / 2, VECTORS = PANEL / 4, TOGETHER = 8 };

extern const struct kernel march_scalar;

typedef int32_t lanes_t[PANEL];

/* Kept outside the stack, which is small; each worker has memory of its own. */
static struct {
    lanes_t inputs[PAIRS]; /* two, 16 bits each; the lower half is the first */
    lanes_t sums[MAX_UNITS];
    lanes_t mean[MAX_COMPONENTS], inverse[MAX_COMPONENTS], weight[MAX_COMPONENTS];
    lanes_t reference, activity, levels, start, end, symbol;
    float gain[PANEL];
} w;

static int32_t float_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(int32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int32_t pair_of(int32_t first, int32_t second) {
    return (first & 0xffff) | (int32_t)((uint32_t)second << 16);
}

static void load_features(const struct march *m, int32_t panel) {
    uint8_t reference[PANEL], v[PANEL], second[PANEL];
    load_reference(m, panel, reference);
    for (int32_t i = 0; i < PANEL; i++) {
        w.reference[i] = reference[i];
        w.activity[i] = m->activity_offset;
        w.levels[i] = m->limited ? m->limits_now[PANEL * panel + i] + 1 : 256;
    }
    for (int32_t c = 0; c < m->context_count; c += 2) {
        const int has_second = c + 1 < m->context_count;
        context_or(m, panel, c, reference, v);
        context_or(m, panel, has_second ? c + 1 : c, reference, second);
        const int32_t near[2] = {c < m->activity_count ? 255 : 0,
                                 c + 1 < m->activity_count ? 255 : 0};
        for (int32_t i = 0; i < PANEL; i++) {
            const int32_t a = v[i] - reference[i], b = has_second ? second[i] - reference[i] : 0;
            w.inputs[c / 2][i] = pair_of(a, b);
            w.activity[i] += ((a < 0 ? -a : a) & near[0]) + ((b < 0 ? -b : b) & near[1]);
        }
    }
    for (int32_t i = 0; i < PANEL; i++) {
        w.activity[i] = smaller(w.activity[i], ACTIVITY_HIGH);
        w.gain[i] = float_of(((270 << 23) - float_bits((float)w.activity[i])) & ~((1 << 18) - 1));
    }
}

/* One output's sums over the inputs of a layer. */
static void sum_inputs(const int8_t *row, int32_t inputs, int32_t *sums) {
    for (int32_t first = 0; first < VECTORS; first += TOGETHER) {
        v128_t sum[TOGETHER];
        for (int32_t k = 0; k < TOGETHER; k++) sum[k] = wasm_i32x4_const_splat(0);
        for (int32_t j = 0; j < inputs; j += 2) {
            const v128_t pair = wasm_i32x4_splat(pair_of(row[j], j + 1 < inputs ? row[j + 1] : 0));
            const v128_t *in = (const v128_t *)w.inputs[j / 2] + first;
            for (int32_t k = 0; k < TOGETHER; k++)
                sum[k] = wasm_i32x4_add(sum[k], wasm_i32x4_dot_i16x8(in[k], pair));
        }
        for (int32_t k = 0; k < TOGETHER; k++) wasm_v128_store(sums + 4 * (first + k), sum[k]);
    }
}

static void run_network(const struct march *m) {
    for (int32_t l = 0; l < m->layers; l++) {
        const struct layer *layer = m->layer + l;
        for (int32_t j = 0; l > 0 && j < layer->inputs; j += 2) {
            const int32_t *first = w.sums[j], *second = w.sums[smaller(j + 1, layer->inputs - 1)];
            for (int32_t i = 0; i < PANEL; i++)
                w.inputs[j / 2][i] =
                    pair_of(clip(first[i] >> 6, 0, 255), clip(second[i] >> 6, 0, 255));
        }
        for (int32_t o = 0; o < layer->outputs; o++) {
            const int8_t *row = layer->weights + (int64_t)o * layer->columns;
            int32_t *sums = w.sums[o];
            sum_inputs(row, layer->inputs, sums);
            for (int32_t i = 0; l == 0 && i < PANEL; i++) {
                /* 17 bits by the gain's 6: exact */
                const float product = (float)clip(sums[i], -SUM_HIGH, SUM_HIGH) * w.gain[i];
                const int32_t level = (float_bits((float)w.activity[i]) >> 19) - 16 * 127;
                sums[i] = (int32_t)__builtin_floorf(product * (1.0f / 64)) +
                          row[layer->inputs] * (w.reference[i] - 128) +
                          row[layer->inputs + 1] * (level - 112);
            }
            for (int32_t i = 0; i < PANEL; i++) sums[i] += layer->biases[o];
        }
    }
}

/* 16 * 2**(q / 16), with q from a sum of the last layer: a float with the bits of q. */
static int32_t power_of(int32_t sum) {
    const int32_t q = clip((sum >> 7) + 64, 0, 127);
    return (int32_t)float_of((q << 19) + (131 << 23));
}

static void mix(const struct march *m) {
    const int32_t count = m->components;
    lanes_t shares = {0}, rest;
    for (int32_t k = 0; k < count; k++)
        for (int32_t i = 0; i < PANEL; i++) {
            const int32_t moved = clip(w.sums[k][i] >> 4, -32767, 32767) * w.activity[i] >> 8;
            const int32_t sharpness = power_of(w.sums[count + k][i]) * (int32_t)w.gain[i];
            w.mean[k][i] = clip(16 * w.reference[i] + moved, MEAN_LOW, MEAN_HIGH);
            w.inverse[k][i] = clip(sharpness >> 5, 1, INVERSE_HIGH);
            w.weight[k][i] = power_of(w.sums[2 * count + k][i]);
            shares[i] += w.weight[k][i];
        }
    for (int32_t i = 0; i < PANEL; i++) rest[i] = 256;
    for (int32_t k = 0; k < count; k++)
        for (int32_t i = 0; i < PANEL; i++) {
            /* Below 2**20 by below 2**15: the rounded quotient reaches no further integer. */
            const float quotient = (float)(256 * w.weight[k][i]) / (float)shares[i];
            w.weight[k][i] = k < count - 1 ? (int32_t)quotient : rest[i];
            rest[i] -= w.weight[k][i];
        }
}

/* C(i) for each lane, at an index above 0. */
static void edges_at(const struct march *m, const int32_t *index, int32_t *edge) {
    lanes_t sum = {0};
    for (int32_t k = 0; k < m->components; k++)
        for (int32_t i = 0; i < PANEL; i++) {
            const int32_t q = (16 * index[i] - 8 - w.mean[k][i]) * w.inverse[k][i] >> 10;
            const int32_t u = smaller(q < 0 ? -q : q, 2047);
            uint32_t p = (uint32_t)larger(65535 - (((26214 + 20 * u) * u) >> 10), 0);
            p = (p * p) >> 16;
            p = (p * p) >> 16;
            p = (p * p) >> 16;
            const int32_t tail = (int32_t)(p >> 1);
            sum[i] += w.weight[k][i] * (q < 0 ? tail : 65536 - tail);
        }
    for (int32_t i = 0; i < PANEL; i++) {
        const int32_t inside = sum[i] - (sum[i] >> LOSS_SHIFT) + MINIMUM_WIDTH * index[i];
        edge[i] = index[i] < w.levels[i] ? inside : TOTAL;
    }
}

static void decode_lanes(struct march *m, int32_t panel) {
    if (m->wide) {
        march_scalar.decode(m, panel);
        return;
    }
    const uint32_t *low = m->low + PANEL * panel;
    const uint64_t live = live_lanes(m, panel);
    lanes_t index, edge;
    load_features(m, panel);
    run_network(m);
    mix(m);
    memset(w.symbol, 0, sizeof w.symbol);
    memset(w.start, 0, sizeof w.start);
    for (int32_t i = 0; i < PANEL; i++) w.end[i] = TOTAL;
    for (int32_t step = 128; step > 0; step /= 2) {
        for (int32_t i = 0; i < PANEL; i++) index[i] = w.symbol[i] + step;
        edges_at(m, index, edge);
        for (int32_t i = 0; i < PANEL; i++) {
            const int below = edge[i] <= (int32_t)(low[i] & (TOTAL - 1));
            w.symbol[i] = below ? index[i] : w.symbol[i];
            w.start[i] = below ? edge[i] : w.start[i];
            w.end[i] = below ? w.end[i] : edge[i];
        }
    }
    for (int32_t i = 0; i < PANEL; i++) {
        if (!(live >> i & 1)) continue;
        m->now[PANEL * panel + i] = (uint8_t)w.symbol[i];
        pop_lane(m, PANEL * panel + i, (uint32_t)w.start[i], (uint32_t)(w.end[i] - w.start[i]), 0);
    }
}

const struct kernel march_portable = {0, 4, 0, NULL, decode_lanes, NULL};
