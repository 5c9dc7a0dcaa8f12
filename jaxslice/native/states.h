/* One lane's state, and the words of the message that it takes and gives: see the entropy coder in
 * FORMAT.md. For kernels that handle states one after the other. */
#ifndef JAXSLICE_STATES_H
#define JAXSLICE_STATES_H

#include "plan.h"

static inline uint64_t state_of(const struct march *m, int32_t lane) {
    return (uint64_t)m->high[lane] << 32 | m->low[lane];
}

static inline void set_state(struct march *m, int32_t lane, uint64_t state) {
    m->high[lane] = (uint32_t)(state >> 32);
    m->low[lane] = (uint32_t)state;
}

/* Takes plain bits and then a symbol's interval off a state, and a word of the message if that is
 * needed. */
static inline void pop_lane(struct march *m, int32_t lane, uint32_t start, uint32_t freq,
                            int32_t low_bits) {
    uint64_t state = state_of(m, lane) >> low_bits;
    state = freq * (state >> PRECISION) + (state & (TOTAL - 1)) - start;
    if (state >> 31 == 0) {
        if (m->words_left == 0) {
            m->failed = 1;
            return;
        }
        state = state << 32 | *m->next_word++;
        m->words_left--;
    }
    set_state(m, lane, state);
}

/* Puts a symbol's interval and then plain bits on a state, after a word of the message if there is
 * no room for them. A state below freq * 2**(39 - bits) is below 2**(63 - bits) with the interval,
 * and at least 2**(31 - bits), since moving a word leaves at least freq * 2**(7 - bits). */
static inline void push_lane(struct march *m, int32_t lane, uint32_t start, uint32_t freq,
                             int32_t plain, int32_t low_bits) {
    uint64_t state = state_of(m, lane);
    if (state >= (uint64_t)freq << (39 - low_bits)) {
        if (m->words_left == 0) {
            m->failed = 1;
            return;
        }
        *--m->last_word = (uint32_t)state;
        m->words_left--;
        state >>= 32;
    }
    state = ((state / freq) << PRECISION) + state % freq + start;
    set_state(m, lane, state << low_bits | (uint64_t)plain);
}

#endif
