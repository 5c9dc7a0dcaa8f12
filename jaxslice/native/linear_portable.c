/* A linear predictor for any core. */
#include "linear_lanes.h"

const struct kernel linear_portable = {0, 4, 0, NULL, decode_panel, encode_panel};
