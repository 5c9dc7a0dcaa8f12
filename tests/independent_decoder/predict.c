#include "predict.h"

#include <stdlib.h>

/* What the first layer sees of the context. */
typedef struct {
    int32_t reference, difference[MOST_CONTEXT];
    int32_t activity;
    int s;      /* shift of section 10, 0 otherwise */
    int bits;   /* binary digits of n - 1 */
    int beyond;
} Inputs;

/* The reference of section 4; `middle` stands for a fallback that is outside. */
static int32_t reference_of(const Codec *codec, const Neighbours *v, int32_t middle)
{
    int32_t f = v->outside[codec->fallback] ? middle : v->value[codec->fallback];
    int32_t a = !v->outside[0] ? v->value[0] : !v->outside[1] ? v->value[1] : f;
    int32_t b = v->outside[1] ? a : v->value[1];
    int32_t c = v->outside[2] ? b : v->value[2];
    int32_t d = v->outside[3] ? a : v->value[3];
    return (3 * a + 3 * b + c + d) >> 3;
}

static void narrow_inputs(const Codec *codec, const Neighbours *v, Inputs *in)
{
    in->s = in->bits = in->beyond = 0;
    in->reference = reference_of(codec, v, 128);
    in->activity = codec->activity_offset;
    for (int c = 0; c < codec->context_count; c++) {
        in->difference[c] = v->outside[c] ? 0 : v->value[c] - in->reference;
        if (c < codec->activity_count)
            in->activity += abs(in->difference[c]);
    }
}

/* Section 10, "Reference and shift". */
static void wide_inputs(const Codec *codec, const Neighbours *v, uint32_t n, Inputs *in)
{
    in->bits = 0;
    while ((n - 1) >> in->bits)
        in->bits++;
    in->beyond = in->bits > 8 ? in->bits - 8 : 0;
    int32_t r0 = reference_of(codec, v, (int32_t)(n >> 1)), t = 0;
    for (int c = 0; c < codec->activity_count; c++)
        t += v->outside[c] ? 0 : abs(v->value[c] - r0);
    in->s = 0;
    while (in->s < 8 && t >> in->s >= 256)
        in->s++;
    in->reference = (r0 >> in->s) * (1 << in->s);
    int32_t half = (1 << in->s) >> 1;
    for (int c = 0; c < codec->context_count; c++)
        in->difference[c] = v->outside[c] ? 0
            : (int32_t)clip((v->value[c] - in->reference + half) >> in->s, -128, 127);
    int32_t more = in->s == 0 ? codec->activity_offset
                              : ((t >> in->s) * codec->activity_offset) >> 8;
    in->activity = (int32_t)clip((t >> in->s) + more, 16, 4096);
}

static int exponent_of(int32_t activity)
{
    int e = 0;
    while (activity >> (e + 1))
        e++;
    return e;
}

/* 64 times the gain of section 4. */
static int64_t gain_of(int32_t activity, int e)
{
    if (activity == 1 << e)
        return (int64_t)1 << (22 - e);
    int64_t digits = (32 * (((int64_t)3 << e) - activity)) >> e;
    return digits << (16 - e);
}

static void run_network(const Network *network, const Inputs *in, int64_t gain, int32_t loglevel,
                        int64_t *sums)
{
    int inputs = network->widths[0], context = inputs - 2;
    for (int i = 0; i < network->widths[1]; i++) {
        const int16_t *w = network->weights[0] + i * inputs;
        int64_t s = 0;
        for (int c = 0; c < context; c++)
            s += w[c] * in->difference[c];
        s = clip(s, -((1 << 17) - 1), (1 << 17) - 1);
        sums[i] = ((s * gain) >> 12) + w[context] * ((in->reference >> in->beyond) - 128) +
                  w[context + 1] * (loglevel + 16 * (in->s - in->beyond) - 112) +
                  network->biases[0][i];
    }
    for (int layer = 1; layer < network->layers; layer++) {
        int32_t h[256];
        int width = network->widths[layer];
        for (int j = 0; j < width; j++)
            h[j] = (int32_t)clip(sums[j] >> 6, 0, 255);
        for (int i = 0; i < network->widths[layer + 1]; i++) {
            const int16_t *w = network->weights[layer] + i * width;
            sums[i] = network->biases[layer][i];
            for (int j = 0; j < width; j++)
                sums[i] += w[j] * h[j];
        }
    }
}

/* Section 4, "Mixture", with the means of section 10 where `wide`. */
static void make_mixture(const Codec *codec, const Inputs *in, const int64_t *sums, int64_t gain,
                         Model *model)
{
    int count = codec->components;
    int32_t share[MOST_COMPONENTS], all = 0, left = 256;
    for (int k = 0; k < count; k++) {
        int64_t mean = (clip(sums[k] >> 4, -32767, 32767) * in->activity) >> 8;
        model->mean[k] = (int32_t)(model->wide ? clip(mean, -2048, 2047)
                                               : clip(16 * in->reference + mean, -2048, 6143));
        int t = (int)clip((sums[count + k] >> 7) + 64, 0, 127);
        model->inverse[k] = (int32_t)clip((power(t) * (gain >> 6)) >> 5, 1, 1 << 17);
        share[k] = power((int)clip((sums[2 * count + k] >> 7) + 64, 0, 127));
        all += share[k];
    }
    for (int k = 0; k < count - 1; k++) {
        model->weight[k] = 256 * share[k] / all;
        left -= model->weight[k];
    }
    model->weight[count - 1] = left;
}

void predict_network(const Codec *codec, const Network *network, const Neighbours *v, uint32_t n,
                     Model *model)
{
    Inputs in;
    bool wide = codec->voxel_bytes == 2;
    if (wide)
        wide_inputs(codec, v, n, &in);
    else
        narrow_inputs(codec, v, &in);
    int e = exponent_of(in.activity);
    int32_t loglevel = in.activity * 16 / (1 << e) - 16 + 16 * e;
    int64_t gain = gain_of(in.activity, e), sums[256];
    run_network(network, &in, gain, loglevel, sums);
    model->parts = codec->components;
    model->levels = n;
    model->wide = wide;
    model->bits = in.bits;
    model->s = in.s;
    model->r = wide ? (int)clip(in.s - 1, 0, in.bits) : 0;
    model->reference = in.reference;
    make_mixture(codec, &in, sums, gain, model);
}

int32_t predict_linear(const Codec *codec, const Predictor *predictor, const Neighbours *v,
                       uint32_t n, Model *model)
{
    Inputs in;
    narrow_inputs(codec, v, &in);
    int64_t s = (int64_t)in.reference << predictor->exponent;
    int32_t activity = predictor->offset;
    for (int c = 0; c < codec->context_count; c++) {
        s += predictor->weights[c] * in.difference[c];
        activity += predictor->sizes[c] * abs(in.difference[c]);
    }
    int phases = codec->phases;
    int32_t place = (int32_t)clip((phases * s) >> predictor->exponent, 0, phases * (int64_t)n - 1);
    int32_t whole = place / phases, phase = place % phases;
    int e = exponent_of(activity);
    int quarter = (int)(((int64_t)activity * 4) >> e) - 4;
    int scale = (int)clip(4 * e + quarter - predictor->first_scale, 0, codec->scales - 1);
    const Curve *curve = predictor->curves + scale;
    *model = (Model){.parts = 2, .levels = 256};
    for (int j = 0; j < 2; j++) {
        model->mean[j] = 2048 + (16 * phase + 8) / phases + curve->m[j];
        model->inverse[j] = 8 * power(curve->q[j]);
    }
    model->weight[0] = curve->weight;
    model->weight[1] = 256 - curve->weight;
    return whole;
}
