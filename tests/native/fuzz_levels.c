/* A round of the fuzzer with levels, which are counted and looked up; see fuzz.c. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "levels.h"

enum { LEVELS = 256 };

/* Whether looking levels up finds what the tables say, in place too. */
static int looks_up(uint8_t *voxels, int64_t slices, int64_t slice_voxels) {
    const int64_t size = slices * slice_voxels;
    uint8_t *tables = room(slices * LEVELS), *found = room(size);
    for (int64_t i = 0; i < slices * LEVELS; i++) tables[i] = (uint8_t)noise(LEVELS);
    int good = levels_look_up(voxels, slices, slice_voxels, tables, found) == MARCH_OK;
    for (int64_t i = 0; good && i < size; i++)
        good = found[i] == tables[i / slice_voxels * LEVELS + voxels[i]];
    good &= levels_look_up(voxels, slices, slice_voxels, tables, voxels) == MARCH_OK;
    good &= !memcmp(voxels, found, (size_t)size);
    good &= levels_look_up(voxels, slices, slice_voxels, NULL, found) == MARCH_NULL;
    good &= levels_look_up(voxels, -1, slice_voxels, tables, found) == MARCH_BAD_SHAPE;
    free(tables);
    free(found);
    return good;
}

int levels_round(int32_t set) {
    (void)set; /* counting is the same on all of them */
    const int64_t slices = between(0, 3);
    const int64_t slice_voxels = draw(LARGE_EVERY) ? between(0, 40) : between(0, 5000);
    const int64_t voxels = slices * slice_voxels;
    /* Memory that begins anywhere, since a slice of a block does. */
    const int64_t start = (int64_t)draw(8);
    uint8_t *memory = room(start + voxels), *inside = memory + start;
    int64_t *counts = room(slices * LEVELS * (int64_t)sizeof *counts);
    const uint32_t spread = draw(2) ? LEVELS : 2;
    for (int64_t i = 0; i < voxels; i++) inside[i] = (uint8_t)draw(spread);
    int good = levels_count(inside, slices, slice_voxels, counts) == MARCH_OK;
    for (int64_t z = 0; good && z < slices; z++) {
        int64_t expected[LEVELS] = {0};
        for (int64_t i = 0; i < slice_voxels; i++) expected[inside[z * slice_voxels + i]]++;
        good = !memcmp(expected, counts + z * LEVELS, sizeof expected);
    }
    good &= levels_count(NULL, slices, slice_voxels, counts) == MARCH_NULL;
    good &= levels_count(inside, -1 - (int64_t)draw(3), slice_voxels, counts) == MARCH_BAD_SHAPE;
    good &= levels_count(inside, slices, -1 - (int64_t)draw(3), counts) == MARCH_BAD_SHAPE;
    good = good && looks_up(inside, slices, slice_voxels);
    free(memory);
    free(counts);
    return good ? 1 : -1;
}
