/* The march in plain C, one lane after the other: FORMAT.md, sections 3 to 6, and nothing else.
 *
 * It is slow, and is what the kernels written by hand are tested against.
 */
#include "states.h"

struct mixture {
    int32_t mean[MAX_COMPONENTS], inverse[MAX_COMPONENTS], weight[MAX_COMPONENTS];
};

struct features {
    int32_t difference[MAX_CONTEXT];
    int32_t reference, activity, loglevel;
    int32_t gain_32; /* 32 * (2 - r), rounded down, but 64 if r = 0: the gain's 6 bits */
    int32_t shift;   /* gain = gain_32 * 2**(6 - shift) */
};

/* Shifts to the right by floor, whatever the compiler makes of negative numbers. */
static int32_t floor_shift(int32_t value, int32_t bits) {
    return value < 0 ? ~(~value >> bits) : value >> bits;
}

/* Symbol of a context voxel, or -1 if it is outside. */
static int32_t context_at(const struct march *m, int32_t lane, int32_t c) {
    const struct place *place = m->places + c;
    const int32_t panel = lane / PANEL;
    const uint64_t live = m->live_now[place->live + panel] & m->ranges[place->range + panel];
    return live >> (lane % PANEL) & 1 ? m->now[place->value + lane] : -1;
}

static int32_t reference_of(const struct march *m, const int32_t *v) {
    const int32_t f = v[m->fallback] < 0 ? NO_REFERENCE : v[m->fallback];
    const int32_t a = v[0] >= 0 ? v[0] : v[1] >= 0 ? v[1] : f;
    const int32_t b = v[1] >= 0 ? v[1] : a;
    const int32_t c = v[2] >= 0 ? v[2] : b;
    const int32_t d = v[3] >= 0 ? v[3] : a;
    return (3 * a + 3 * b + c + d) >> 3;
}

static void features_of(const struct march *m, int32_t lane, struct features *f) {
    int32_t v[MAX_CONTEXT];
    for (int32_t c = 0; c < m->context_count; c++) v[c] = context_at(m, lane, c);
    f->reference = reference_of(m, v);
    f->activity = m->activity_offset;
    for (int32_t c = 0; c < m->context_count; c++) {
        const int32_t difference = v[c] < 0 ? 0 : v[c] - f->reference;
        f->difference[c] = difference;
        if (c < m->activity_count) f->activity += difference < 0 ? -difference : difference;
    }
    int32_t e = 4; /* activity is 16 to 4096 */
    while (f->activity >> (e + 1)) e++;
    f->loglevel = 16 * e + ((f->activity - (1 << e)) * 16 >> e);
    f->gain_32 = (3 * (1 << e) - f->activity) * 32 >> e;
    f->shift = e - 4;
}

/* All layers; the last one's sums are [3 * components]. */
static void network_of(const struct march *m, const struct features *f, int32_t *sums) {
    int32_t inputs[MAX_UNITS];
    for (int32_t i = 0; i < m->layers; i++) {
        const struct layer *layer = m->layer + i;
        for (int32_t j = 0; i > 0 && j < layer->inputs; j++)
            inputs[j] = clip(floor_shift(sums[j], 6), 0, 255);
        const int32_t *in = i ? inputs : f->difference;
        for (int32_t o = 0; o < layer->outputs; o++) {
            const int8_t *row = layer->weights + (int64_t)o * layer->columns;
            int32_t sum = 0;
            for (int32_t j = 0; j < layer->inputs; j++) sum += row[j] * in[j];
            if (i == 0) {
                /* 17 bits by the gain's 6 */
                sum = floor_shift(clip(sum, -SUM_HIGH, SUM_HIGH) * f->gain_32, f->shift);
                sum += row[layer->inputs] * (f->reference - 128);
                sum += row[layer->inputs + 1] * (f->loglevel - 112);
            }
            sums[o] = sum + layer->biases[o];
        }
    }
}

/* 16 * 2**(q / 16), with q from a sum of the last layer. */
static int32_t power(int32_t sum) {
    const int32_t q = clip(floor_shift(sum, 7) + 64, 0, 127);
    return (16 + (q & 15)) << (q >> 4);
}

static void predict(const struct march *m, int32_t lane, struct mixture *mixture) {
    struct features f;
    int32_t sums[MAX_UNITS];
    const int32_t count = m->components;
    features_of(m, lane, &f);
    network_of(m, &f, sums);
    int32_t shares = 0, rest = 256;
    for (int32_t k = 0; k < count; k++) {
        const int32_t moved = clip(floor_shift(sums[k], 4), -32767, 32767) * f.activity;
        mixture->mean[k] = clip(16 * f.reference + floor_shift(moved, 8), MEAN_LOW, MEAN_HIGH);
        const int32_t sharpness = power(sums[count + k]) * ((f.gain_32 << 6) >> f.shift);
        mixture->inverse[k] = clip(sharpness >> 5, 1, INVERSE_HIGH);
        shares += power(sums[2 * count + k]);
    }
    for (int32_t k = 0; k < count - 1; k++) {
        mixture->weight[k] = 256 * power(sums[2 * count + k]) / shares;
        rest -= mixture->weight[k];
    }
    mixture->weight[count - 1] = rest;
}

/* One component's cumulative distribution, times 2**16. */
static int32_t component_cumulative(int32_t distance) {
    const int32_t size = distance < 0 ? -distance : distance, u = smaller(size, 2047);
    uint32_t p = (uint32_t)larger(65535 - (((26214 + 20 * u) * u) >> 10), 0);
    for (int32_t i = 0; i < 3; i++) p = (p * p) >> 16;
    const int32_t tail = (int32_t)(p >> 1);
    return distance < 0 ? tail : 65536 - tail;
}

/* C(i) of `levels` levels. A distance is below 2**30: |16 i - 8 - mean| < 2**13 by 2**17. */
static uint32_t cumulative(const struct march *m, const struct mixture *mixture, int32_t i,
                           int32_t levels) {
    if (i == 0) return 0;
    if (i >= levels) return TOTAL;
    int32_t sum = 0;
    for (int32_t k = 0; k < m->components; k++) {
        const int32_t distance = (16 * i - 8 - mixture->mean[k]) * mixture->inverse[k];
        sum += mixture->weight[k] * component_cumulative(floor_shift(distance, 10));
    }
    return (uint32_t)(sum - (sum >> 10) + MINIMUM_WIDTH * i);
}

static int32_t levels_of(const struct march *m, int32_t lane) {
    return m->limited ? m->limits_now[lane] + 1 : 256;
}

static void decode_lane(struct march *m, int32_t lane) {
    struct mixture mixture;
    predict(m, lane, &mixture);
    const uint32_t position = m->low[lane] & (TOTAL - 1);
    int32_t low = 0, high = levels_of(m, lane);
    const int32_t levels = high;
    while (high - low > 1) {
        const int32_t middle = (low + high) / 2;
        if (cumulative(m, &mixture, middle, levels) <= position)
            low = middle;
        else
            high = middle;
    }
    const uint32_t start = cumulative(m, &mixture, low, levels);
    const uint32_t end = cumulative(m, &mixture, low + 1, levels);
    m->now[lane] = (uint8_t)low;
    pop_lane(m, lane, start, end - start);
}

static void encode_lane(struct march *m, int32_t lane) {
    struct mixture mixture;
    predict(m, lane, &mixture);
    const int32_t symbol = m->now[lane], levels = levels_of(m, lane);
    const uint32_t start = cumulative(m, &mixture, symbol, levels);
    const uint32_t freq = cumulative(m, &mixture, symbol + 1, levels) - start;
    push_lane(m, lane, start, freq);
}

static void decode_panel(struct march *m, int32_t panel) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 0; i < PANEL; i++)
        if (live >> i & 1) decode_lane(m, panel * PANEL + i);
}

static void encode_panel(struct march *m, int32_t panel) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = PANEL - 1; i >= 0; i--)
        if (live >> i & 1) encode_lane(m, panel * PANEL + i);
}

const struct kernel march_portable = {0, 4, 0, NULL, decode_panel, encode_panel};
