/* Level tables (section 3, and section 10 for 16 bits). */
#ifndef LEVELS_H
#define LEVELS_H

#include "util.h"

/* A run of levels: its first symbol, and its first p. */
typedef struct {
    uint32_t symbol, p;
} Run;

/* The level of symbol k of a run is start + step * (p + k - symbol). */
typedef struct {
    uint32_t start, step, count;
    uint32_t run_count;
    Run *runs;
} Levels;

/* One entry for each coded slice. Entries may share their runs. */
Levels *levels_read(Bytes *body, uint32_t slices, uint32_t voxel_bytes);
uint32_t level_of(const Levels *levels, uint32_t symbol);

#endif
