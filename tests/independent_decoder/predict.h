/* Prediction of one voxel (sections 4, 10 and 11). */
#ifndef PREDICT_H
#define PREDICT_H

#include "codec.h"
#include "message.h"

/* The symbols of the context of a voxel. */
typedef struct {
    int32_t value[MOST_CONTEXT];
    bool outside[MOST_CONTEXT];
} Neighbours;

/* The model of a voxel whose slice has n levels. */
void predict_network(const Codec *codec, const Network *network, const Neighbours *v, uint32_t n,
                     Model *model);
/* The model of the residual's index, and the whole part of the prediction. */
int32_t predict_linear(const Codec *codec, const Predictor *predictor, const Neighbours *v,
                       uint32_t n, Model *model);

#endif
