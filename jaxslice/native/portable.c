/* The march in plain C, one lane after the other: what FORMAT.md says, and nothing else.
 *
 * It is slow, and is what the kernels written by hand are tested against.
 */
#include "states.h"

/* Of 16-bit voxels, means are relative to the reference, and in units of 2**bin_shift symbols. */
struct mixture {
    int32_t mean[MAX_COMPONENTS], inverse[MAX_COMPONENTS], weight[MAX_COMPONENTS];
    int32_t reference, bin_shift, low_bits;
    int32_t loss, width_bits; /* see bins.py */
};

struct features {
    int32_t difference[MAX_CONTEXT];
    int32_t reference, activity;
    int32_t extras[2];
    int32_t gain_32; /* 32 * (2 - r), rounded down, but 64 if r = 0: the gain's 6 bits */
    int32_t shift;   /* gain = gain_32 * 2**(6 - shift) */
    int32_t bin_shift;
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
    if (!(live >> (lane % PANEL) & 1)) return -1;
    const uint8_t *row = m->now + place->value;
    return m->wide ? ((const uint16_t *)row)[lane] : row[lane];
}

static int32_t levels_of(const struct march *m, int32_t lane) {
    if (!m->limited) return m->wide ? m->level_counts[0] : 256;
    return (m->wide ? ((const uint16_t *)m->limits_now)[lane] : m->limits_now[lane]) + 1;
}

/* Bits of a number of at least 0. */
static int32_t bit_length(int32_t value) {
    int32_t bits = 0;
    while (value >> bits) bits++;
    return bits;
}

static int32_t reference_of(const struct march *m, const int32_t *v, int32_t middle) {
    const int32_t f = v[m->fallback] < 0 ? middle : v[m->fallback];
    const int32_t a = v[0] >= 0 ? v[0] : v[1] >= 0 ? v[1] : f;
    const int32_t b = v[1] >= 0 ? v[1] : a;
    const int32_t c = v[2] >= 0 ? v[2] : b;
    const int32_t d = v[3] >= 0 ? v[3] : a;
    return (3 * a + 3 * b + c + d) >> 3;
}

/* The reference as a multiple of 2**bin_shift, and differences to it that fit 8 bits. */
static void shift_differences(const struct march *m, const int32_t *v, struct features *f) {
    const int32_t s = f->bin_shift, half = 1 << s >> 1;
    f->reference = f->reference >> s << s;
    for (int32_t c = 0; c < m->context_count; c++)
        if (v[c] >= 0)
            f->difference[c] = clip(floor_shift(v[c] - f->reference + half, s), -128, 127);
}

static void features_of(const struct march *m, int32_t lane, struct features *f) {
    int32_t v[MAX_CONTEXT];
    const int32_t levels = levels_of(m, lane);
    for (int32_t c = 0; c < m->context_count; c++) v[c] = context_at(m, lane, c);
    f->reference = reference_of(m, v, m->wide ? levels >> 1 : NO_REFERENCE);
    int32_t sum = 0;
    for (int32_t c = 0; c < m->context_count; c++) {
        const int32_t difference = v[c] < 0 ? 0 : v[c] - f->reference;
        f->difference[c] = difference;
        if (c < m->activity_count) sum += difference < 0 ? -difference : difference;
    }
    f->bin_shift = m->wide ? smaller(bit_length(sum >> 8), SHIFT_HIGH) : 0;
    const int32_t near = sum >> f->bin_shift, offset = m->activity_offset;
    f->activity = smaller(near + (f->bin_shift ? near * offset >> 8 : offset), ACTIVITY_HIGH);
    if (m->wide) shift_differences(m, v, f);
    int32_t e = 4; /* activity is 16 to 4096 */
    while (f->activity >> (e + 1)) e++;
    const int32_t beyond = larger(bit_length(levels - 1) - 8, 0);
    f->extras[0] = (f->reference >> (m->wide ? beyond : 0)) - 128;
    f->extras[1] = 16 * e + ((f->activity - (1 << e)) * 16 >> e) - 112;
    if (m->wide) f->extras[1] += 16 * (f->bin_shift - beyond);
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
                sum += row[layer->inputs] * f->extras[0];
                sum += row[layer->inputs + 1] * f->extras[1];
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

/* How the symbols of a lane are divided into bins, and what each gets at least. */
static void set_bins(const struct march *m, int32_t lane, const struct features *f,
                     struct mixture *mixture) {
    const int32_t bits = bit_length(levels_of(m, lane) - 1);
    mixture->reference = f->reference;
    mixture->bin_shift = f->bin_shift;
    mixture->low_bits = clip(f->bin_shift - FINER, 0, bits);
    mixture->loss = smaller(LOSS_SHIFT, PRECISION - bits + mixture->low_bits);
    mixture->width_bits = m->wide ? larger(WIDTH_BITS - bits + mixture->low_bits, 0) : 6;
}

static void predict(const struct march *m, int32_t lane, struct mixture *mixture) {
    struct features f;
    int32_t sums[MAX_UNITS];
    const int32_t count = m->components;
    features_of(m, lane, &f);
    set_bins(m, lane, &f, mixture);
    network_of(m, &f, sums);
    int32_t shares = 0, rest = 256;
    for (int32_t k = 0; k < count; k++) {
        const int32_t moved = clip(floor_shift(sums[k], 4), -32767, 32767) * f.activity;
        const int32_t offset = floor_shift(moved, 8);
        mixture->mean[k] = m->wide ? clip(offset, OFFSET_LOW, OFFSET_HIGH)
                                   : clip(16 * f.reference + offset, MEAN_LOW, MEAN_HIGH);
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

/* The edge below symbol or bin i. */
static int32_t edge_of(const struct march *m, const struct mixture *mixture, int32_t i) {
    if (!m->wide) return 16 * i - 8;
    const int32_t edge = 16 * ((i << mixture->low_bits) - mixture->reference) - 8;
    return clip(floor_shift(edge, mixture->bin_shift), EDGE_LOW, EDGE_HIGH);
}

/* C(i) of `levels` levels or bins. A distance is below 2**30: |16 i - 8 - mean| < 2**13 by 2**17. */
static uint32_t cumulative(const struct march *m, const struct mixture *mixture, int32_t i,
                           int32_t levels) {
    if (i == 0) return 0;
    if (i >= levels) return TOTAL;
    const int32_t edge = edge_of(m, mixture, i);
    int32_t sum = 0;
    for (int32_t k = 0; k < m->components; k++) {
        const int32_t distance = (edge - mixture->mean[k]) * mixture->inverse[k];
        sum += mixture->weight[k] * component_cumulative(floor_shift(distance, 10));
    }
    return (uint32_t)(sum - (sum >> mixture->loss) + (i << mixture->width_bits));
}

static int32_t symbol_of(const struct march *m, int32_t lane) {
    return m->wide ? ((const uint16_t *)m->now)[lane] : m->now[lane];
}

static void set_symbol(struct march *m, int32_t lane, int32_t symbol) {
    if (m->wide)
        ((uint16_t *)m->now)[lane] = (uint16_t)symbol;
    else
        m->now[lane] = (uint8_t)symbol;
}

static void decode_lane(struct march *m, int32_t lane) {
    struct mixture mixture;
    predict(m, lane, &mixture);
    const uint64_t state = state_of(m, lane);
    const int32_t plain = state & ((1 << mixture.low_bits) - 1);
    const uint32_t position = state >> mixture.low_bits & (TOTAL - 1);
    const int32_t most = levels_of(m, lane) - 1, levels = (most >> mixture.low_bits) + 1;
    int32_t low = 0, high = levels;
    while (high - low > 1) {
        const int32_t middle = (low + high) / 2;
        if (cumulative(m, &mixture, middle, levels) <= position)
            low = middle;
        else
            high = middle;
    }
    const uint32_t start = cumulative(m, &mixture, low, levels);
    const uint32_t end = cumulative(m, &mixture, low + 1, levels);
    set_symbol(m, lane, smaller((low << mixture.low_bits) | plain, most));
    pop_lane(m, lane, start, end - start, mixture.low_bits);
}

static void encode_lane(struct march *m, int32_t lane) {
    struct mixture mixture;
    predict(m, lane, &mixture);
    const int32_t symbol = symbol_of(m, lane), bits = mixture.low_bits, bin = symbol >> bits;
    const int32_t levels = ((levels_of(m, lane) - 1) >> bits) + 1;
    const uint32_t start = cumulative(m, &mixture, bin, levels);
    const uint32_t freq = cumulative(m, &mixture, bin + 1, levels) - start;
    push_lane(m, lane, start, freq, symbol & ((1 << bits) - 1), bits);
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
