/* The coded slices of a block: order (section 2), level tables, choices and message. */
#include "block.h"
#include "levels.h"
#include "predict.h"

typedef struct {
    const Codec *codec;
    const Network *network;
    const uint8_t *choices; /* section 11, NULL if there are none */
    Levels *levels;
    uint32_t extent[3];
    uint16_t *symbols;
    Message message;
} Slices;

static void gather(const Slices *slices, int64_t z, int64_t y, int64_t x, Neighbours *v)
{
    const uint32_t *extent = slices->extent;
    for (int c = 0; c < slices->codec->context_count; c++) {
        Offset o = slices->codec->context[c];
        int64_t cz = z + o.dz, cy = y + o.dy, cx = x + o.dx;
        v->outside[c] = cz < 0 || cy < 0 || cx < 0 || cy >= extent[1] || cx >= extent[2];
        v->value[c] = v->outside[c] ? 0 : slices->symbols[(cz * extent[1] + cy) * extent[2] + cx];
    }
}

/* Section 11: the message holds the index of the residual. */
static uint32_t linear_symbol(Slices *slices, int64_t z, size_t lane, const Neighbours *v)
{
    const Codec *codec = slices->codec;
    Model model;
    uint32_t n = slices->levels[z].count;
    const Predictor *predictor = codec->predictors + (slices->choices ? slices->choices[z] : 0);
    int32_t whole = predict_linear(codec, predictor, v, n, &model);
    int32_t i = (int32_t)message_symbol(&slices->message, lane, &model);
    uint32_t symbol = (uint32_t)(whole + i - 128 + 256) % 256;
    if (symbol >= n)
        damaged("a symbol is not a level of its slice");
    return symbol;
}

static void decode_voxel(Slices *slices, int64_t z, int64_t y, int64_t x)
{
    Neighbours v;
    gather(slices, z, y, x, &v);
    uint32_t symbol;
    if (slices->codec->linear) {
        symbol = linear_symbol(slices, z, (size_t)y, &v);
    } else {
        Model model;
        predict_network(slices->codec, slices->network, &v, slices->levels[z].count, &model);
        symbol = message_symbol(&slices->message, (size_t)y, &model);
    }
    slices->symbols[(z * slices->extent[1] + y) * slices->extent[2] + x] = (uint16_t)symbol;
}

static void decode_all(Slices *slices)
{
    const uint32_t *extent = slices->extent;
    int64_t pitch = slices->codec->pitch, shear = slices->codec->shear;
    int64_t times = (extent[0] - (int64_t)1) * pitch + extent[2] + shear * (extent[1] - (int64_t)1);
    for (int64_t time = 0; time < times; time++)
        for (int64_t y = 0; y < extent[1] && shear * y <= time; y++) {
            int64_t z = (time - shear * y) / pitch, x = (time - shear * y) % pitch;
            if (z < extent[0] && x < extent[2])
                decode_voxel(slices, z, y, x);
        }
}

static void read_choices(Slices *slices, Bytes *body)
{
    int count = slices->codec->predictor_count;
    if (!slices->codec->linear || count == 1)
        return;
    slices->choices = read_bytes(body, slices->extent[0]).at;
    for (uint32_t z = 0; z < slices->extent[0]; z++)
        if (slices->choices[z] >= count)
            damaged("a slice has an unknown predictor");
}

static void put_levels(const Slices *slices, uint8_t *out)
{
    size_t voxels = (size_t)slices->extent[1] * slices->extent[2];
    uint32_t bytes = slices->codec->voxel_bytes;
    for (uint32_t z = 0; z < slices->extent[0]; z++)
        for (size_t i = z * voxels; i < (z + 1) * voxels; i++) {
            uint32_t level = level_of(slices->levels + z, slices->symbols[i]);
            out[i * bytes] = (uint8_t)level;
            if (bytes == 2)
                out[i * bytes + 1] = (uint8_t)(level >> 8);
        }
}

static void give_levels(Slices *slices)
{
    for (uint32_t z = slices->extent[0]; z-- > 0;)
        if (z == 0 || slices->levels[z].runs != slices->levels[z - 1].runs)
            give(slices->levels[z].runs);
    give(slices->levels);
}

void voxels_decode(const Codec *codec, const Network *network, Bytes body, const uint32_t extent[3],
                   uint8_t *out)
{
    Slices slices = {.codec = codec, .network = network};
    uint64_t voxels = 1;
    for (int i = 0; i < 3; i++)
        voxels *= slices.extent[i] = extent[i];
    slices.levels = levels_read(&body, extent[0], codec->voxel_bytes);
    read_choices(&slices, &body);
    message_open(&slices.message, body, extent[1], voxels * codec->voxel_bytes / 4 + 1);
    slices.symbols = take((size_t)voxels, sizeof *slices.symbols);
    decode_all(&slices);
    message_close(&slices.message);
    put_levels(&slices, out);
    give(slices.symbols);
    give_levels(&slices);
}
