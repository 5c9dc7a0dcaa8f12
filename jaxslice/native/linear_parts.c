/* Which lanes of a panel are in which slice, and so have which predictor. */
#include "linear_plan.h"

/* Lanes up to `last`, a number that may be outside the panel. */
static uint64_t lanes_to(int64_t last) {
    if (last < 0) return 0;
    return last >= PANEL - 1 ? ~(uint64_t)0 : ((uint64_t)1 << (last + 1)) - 1;
}

static void add(struct parts *parts, int32_t predictor, uint64_t lanes) {
    int32_t i = 0;
    while (i < parts->count && parts->predictor[i] != predictor) i++;
    if (i == parts->count) {
        parts->predictor[i] = predictor;
        parts->lanes[i] = 0;
        parts->count++;
    }
    parts->lanes[i] |= lanes;
}

void linear_find_parts(const struct march *m, int32_t panel, struct parts *parts) {
    const struct linear *linear = m->work;
    const uint64_t live = live_lanes(m, panel);
    /* The distance along its lane of the panel's first one; later lanes are behind it. */
    const int64_t first = m->time - (int64_t)m->shear * PANEL * panel;
    const int64_t last = first - (int64_t)m->shear * (PANEL - 1);
    const int64_t top = first / m->pitch < m->depth - 1 ? first / m->pitch : m->depth - 1;
    parts->count = 0;
    uint64_t before = 0;
    for (int64_t z = first < 0 ? -1 : top; z >= 0 && (z + 1) * m->pitch > last; z--) {
        const int64_t within = first - z * m->pitch;
        const uint64_t reached = within < 0 ? 0 : lanes_to(within / m->shear);
        const uint64_t lanes = reached & ~before & live;
        before = reached;
        if (lanes) add(parts, linear->choices[z], lanes);
    }
}
