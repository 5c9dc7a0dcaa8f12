/* How often each level occurs in each slice: what level tables are chosen by. */
#ifndef JAXSLICE_LEVELS_H
#define JAXSLICE_LEVELS_H

#include "march.h"

/* Counts the 256 levels of each slice: `counts` is [slices][256], `voxels` [slices][slice_voxels].
 * Returns 0 or an error. */
MARCH_API int64_t levels_count(const uint8_t *voxels, int64_t slices, int64_t slice_voxels,
                               int64_t *counts);

#endif
