/* The configuration of the codec: architecture, network or predictors (sections 1, 7, 11). */
#ifndef CODEC_H
#define CODEC_H

#include "json.h"

enum { MOST_CONTEXT = 256, MOST_LAYERS = 5, MOST_COMPONENTS = 8, MOST_SCALES = 64 };

typedef struct {
    int dz, dy, dx;
} Offset;

typedef struct {
    int layers;
    int widths[MOST_LAYERS + 1];
    int16_t *weights[MOST_LAYERS]; /* row by row */
    int32_t *biases[MOST_LAYERS];
} Network;

typedef struct {
    int m[2];  /* means, relative */
    int q[2];
    int weight;
} Curve;

typedef struct {
    int exponent, first_scale;
    int32_t offset;
    int weights[MOST_CONTEXT], sizes[MOST_CONTEXT];
    Curve curves[MOST_SCALES];
} Predictor;

typedef struct {
    int version;
    uint8_t identity[8];
    bool sealed, own_networks, linear;
    uint32_t voxel_bytes;
    uint32_t chunk[3];
    int context_count, activity_count, fallback, components, shear, activity_offset;
    Offset context[MOST_CONTEXT];
    int scales, phases, predictor_count;
    Network network;
    Predictor *predictors;
    int64_t pitch; /* section 2 */
} Codec;

/* Parses the object {"name": "jaxslice", ...} for chunks of codec->chunk and codec->voxel_bytes. */
void codec_parse(Codec *codec, const Json *object);

/* A network with the widths of another one and all numbers 0. */
Network network_zero(const Network *like);
void network_give(Network *network);
void network_parse_plain(Network *network, Bytes packed);
/* Section 7: base and difference; the result is checked as section 1 says. */
Network network_difference(const Network *base, Bytes difference, int bias_unit);

#endif
