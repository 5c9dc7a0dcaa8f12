/* AVX2: both halves of a panel, and its functions for each number of components. Included after
 * `decode_half` and `encode_half`. */
INLINE void decode_panel(struct march *m, int32_t panel, const int count) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 0; i < 2; i++)
        if ((uint32_t)(live >> (HALF * i)))
            decode_half(m, 2 * panel + i, (uint32_t)(live >> (HALF * i)), count);
}

INLINE void encode_panel(struct march *m, int32_t panel, const int count) {
    const uint64_t live = live_lanes(m, panel);
    for (int32_t i = 1; i >= 0; i--)
        if ((uint32_t)(live >> (HALF * i)))
            encode_half(m, 2 * panel + i, (uint32_t)(live >> (HALF * i)), count);
}

#include "by_components.h"
