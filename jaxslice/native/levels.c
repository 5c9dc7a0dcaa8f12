/* Counting the levels of voxels, and replacing them. */
#include "levels.h"

#include <string.h>

enum { LEVELS = 256, TABLES = 8 };

int64_t levels_count(const uint8_t *voxels, int64_t slices, int64_t slice_voxels,
                     int64_t *counts) {
    if (!voxels || !counts) return MARCH_NULL;
    if (slices < 0 || slice_voxels < 0) return MARCH_BAD_SHAPE;
    for (int64_t z = 0; z < slices; z++, counts += LEVELS, voxels += slice_voxels) {
        /* Neighbours are often alike, and adding to one count twice waits for the first addition:
         * each of eight voxels in a row has counts of its own. */
        int64_t apart[TABLES][LEVELS] = {0};
        int64_t i = 0;
        for (; i + TABLES <= slice_voxels; i += TABLES) {
            uint64_t eight;
            memcpy(&eight, voxels + i, sizeof eight);
            for (int32_t k = 0; k < TABLES; k++) apart[k][eight >> (8 * k) & 0xff]++;
        }
        for (; i < slice_voxels; i++) apart[0][voxels[i]]++;
        for (int32_t level = 0; level < LEVELS; level++) {
            counts[level] = 0;
            for (int32_t k = 0; k < TABLES; k++) counts[level] += apart[k][level];
        }
    }
    return MARCH_OK;
}

int64_t levels_look_up(const uint8_t *voxels, int64_t slices, int64_t slice_voxels,
                       const uint8_t *tables, uint8_t *found) {
    if (!voxels || !tables || !found) return MARCH_NULL;
    if (slices < 0 || slice_voxels < 0) return MARCH_BAD_SHAPE;
    for (int64_t z = 0; z < slices; z++, tables += LEVELS) {
        int64_t i = z * slice_voxels;
        const int64_t end = i + slice_voxels;
        for (; i + TABLES <= end; i += TABLES) {
            uint64_t eight, others = 0;
            memcpy(&eight, voxels + i, sizeof eight);
            for (int32_t k = 0; k < TABLES; k++)
                others |= (uint64_t)tables[eight >> (8 * k) & 0xff] << (8 * k);
            memcpy(found + i, &others, sizeof others);
        }
        for (; i < end; i++) found[i] = tables[voxels[i]];
    }
    return MARCH_OK;
}
