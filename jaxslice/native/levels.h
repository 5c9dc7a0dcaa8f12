/* Level tables: how often each level occurs in each slice, and what stands for it. */
#ifndef JAXSLICE_LEVELS_H
#define JAXSLICE_LEVELS_H

#include "march.h"

/* Counts the 256 levels of each slice: `counts` is [slices][256], `voxels` [slices][slice_voxels].
 * Returns 0 or an error. */
MARCH_API int64_t levels_count(const uint8_t *voxels, int64_t slices, int64_t slice_voxels,
                               int64_t *counts);

/* Replaces each voxel by the element of its slice's table that it is the index of: `tables` is
 * [slices][256], `found` is like `voxels` and may be the same. Returns 0 or an error. */
MARCH_API int64_t levels_look_up(const uint8_t *voxels, int64_t slices, int64_t slice_voxels,
                                 const uint8_t *tables, uint8_t *found);

#endif
