/* The tables of a linear predictor: edges by FORMAT.md's intervals, and slots to find them by. */
#include "linear_plan.h"

/* Shifts to the right by floor, whatever the compiler makes of negative numbers. */
static int32_t floor_shift(int32_t value, int32_t bits) {
    return value < 0 ? ~(~value >> bits) : value >> bits;
}

/* One component's cumulative distribution, times 2**16. */
static int32_t component_cumulative(int32_t distance) {
    const int32_t size = distance < 0 ? -distance : distance, u = smaller(size, 2047);
    uint32_t p = (uint32_t)larger(65535 - (((26214 + 20 * u) * u) >> 10), 0);
    for (int32_t i = 0; i < 3; i++) p = (p * p) >> 16;
    const int32_t tail = (int32_t)(p >> 1);
    return distance < 0 ? tail : 65536 - tail;
}

static int32_t inverse_of(uint8_t sharpness) {
    return (16 + (sharpness & 15)) * (8 << (sharpness >> 4));
}

static void fill_edges(int32_t *edges, const uint8_t *curve, int32_t phase, int32_t phases) {
    const int32_t centre = 16 * CENTRE + (16 * phase + 8) / phases;
    const int32_t mean[2] = {centre + (int8_t)curve[0], centre + (int8_t)curve[1]};
    const int32_t inverse[2] = {inverse_of(curve[2]), inverse_of(curve[3])};
    const int32_t weight[2] = {curve[4], 256 - curve[4]};
    edges[0] = 0;
    edges[RESIDUALS] = TOTAL;
    for (int32_t i = 1; i < RESIDUALS; i++) {
        int32_t sum = 0;
        for (int32_t k = 0; k < 2; k++) {
            const int32_t distance = (16 * i - 8 - mean[k]) * inverse[k];
            sum += weight[k] * component_cumulative(floor_shift(distance, 10));
        }
        edges[i] = sum - (sum >> 10) + MINIMUM_WIDTH * i;
    }
}

static void fill_slots(uint32_t *slots, const int32_t *edges) {
    int32_t i = 0;
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        while (edges[i + 1] <= slot << SLOT_SHIFT) i++;
        slots[slot] = (uint32_t)i << START_BITS | (uint32_t)edges[i];
    }
}

void linear_fill_tables(struct linear *linear, const uint8_t *curves) {
    const int32_t rows = linear->predictors * linear->scales;
    for (int32_t scale = 0; scale < rows; scale++)
        for (int32_t phase = 0; phase < linear->phases; phase++) {
            const int64_t table = scale * linear->phases + phase;
            int32_t *edges = linear->edges + table * EDGES;
            fill_edges(edges, curves + CURVE_BYTES * scale, phase, linear->phases);
            if (linear->slots) fill_slots(linear->slots + table * SLOTS, edges);
        }
}
