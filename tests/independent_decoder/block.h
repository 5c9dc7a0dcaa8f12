/* A payload (section 3). */
#ifndef BLOCK_H
#define BLOCK_H

#include "codec.h"

/* Decodes a payload to codec->chunk voxels, little-endian, in z, y, x order. The caller
   gives the memory back. */
uint8_t *block_decode(const Codec *codec, const uint32_t index[3], Bytes payload);

/* Decodes the coded slices of a body in mode coded (voxels.c). */
void voxels_decode(const Codec *codec, const Network *network, Bytes body, const uint32_t extent[3],
                   uint8_t *out);

#endif
