#include "codec.h"

#include <string.h>

static void parse_identity(Codec *codec, const Json *configuration)
{
    const Json *text = json_need(configuration, "identity", JSON_STRING);
    if (text->length != 16)
        damaged("the identity has not 16 digits");
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = text->text[i] ? strchr(digits, text->text[i]) : NULL;
        if (!at)
            damaged("the identity is not lower-case hexadecimal");
        codec->identity[i / 2] = (uint8_t)(codec->identity[i / 2] << 4 | (at - digits));
    }
}

/* Section 1: distinct, causal, at most 16 in size, those with dz = 0 first. */
static void parse_context(Codec *codec, const Json *architecture)
{
    const Json *list = json_need(architecture, "context", JSON_LIST);
    if (list->count < 4 || list->count > MOST_CONTEXT)
        damaged("the context has less than 4 or more than 256 voxels");
    codec->context_count = (int)list->count;
    for (int i = 0; i < codec->context_count; i++) {
        const Json *item = list->items + i;
        if (item->kind != JSON_LIST || item->count != 3)
            damaged("an offset of the context is not three numbers");
        Offset *offset = codec->context + i;
        offset->dz = (int)json_integer(item->items, -16, 16, "dz");
        offset->dy = (int)json_integer(item->items + 1, -16, 16, "dy");
        offset->dx = (int)json_integer(item->items + 2, -16, 16, "dx");
        if (offset->dz > 0 || (offset->dz == 0 && offset->dx + codec->shear * offset->dy >= 0))
            damaged("the context is not causal");
        if (i > 0 && offset->dz == 0 && offset[-1].dz != 0)
            damaged("the context has not the voxels with dz = 0 first");
        for (int j = 0; j < i; j++) {
            const Offset *other = codec->context + j;
            if (other->dz == offset->dz && other->dy == offset->dy && other->dx == offset->dx)
                damaged("the context repeats an offset");
        }
    }
}

static void parse_common(Codec *codec, const Json *architecture)
{
    codec->shear = 2;
    if (codec->version >= 3)
        codec->shear = (int)json_number(architecture, "shear", 2, 8);
    parse_context(codec, architecture);
    codec->fallback = (int)json_number(architecture, "fallback", 0, codec->context_count - 1);
}

static void parse_network_architecture(Codec *codec, const Json *architecture)
{
    int most = codec->context_count < 16 ? codec->context_count : 16;
    codec->activity_count = (int)json_number(architecture, "activity_count", 1, most);
    codec->components = (int)json_number(architecture, "components", 1, MOST_COMPONENTS);
    codec->activity_offset = 16;
    if (codec->version >= 3)
        codec->activity_offset =
            (int)json_number(architecture, "activity_offset", 16, 4096 - 255 * codec->activity_count);
    const Json *hidden = json_need(architecture, "hidden", JSON_LIST);
    if (hidden->count < 1 || hidden->count > 4)
        damaged("there are not 1 to 4 hidden layers");
    Network *network = &codec->network;
    network->layers = (int)hidden->count + 1;
    network->widths[0] = codec->context_count + 2;
    for (int i = 0; i < (int)hidden->count; i++)
        network->widths[i + 1] = (int)json_integer(hidden->items + i, 1, 256, "hidden");
    network->widths[network->layers] = 3 * codec->components;
}

static Bytes checked(Bytes packed)
{
    if (packed.left < 4)
        damaged("the network is too short");
    packed.left -= 4;
    if (crc32c(packed.at, packed.left) != little32(packed.at + packed.left))
        damaged("the network has another CRC32C");
    return packed;
}

static Predictor parse_predictor(const Codec *codec, Bytes *packed)
{
    Predictor p = {0};
    p.exponent = (int)read_u8(packed);
    p.first_scale = (int)read_u8(packed);
    uint32_t offset = read_u32(packed);
    if (p.exponent < 4 || p.exponent > 7 || p.first_scale > 91 || offset < 1 || offset > 1u << 20)
        damaged("a predictor has a number that is not allowed");
    p.offset = (int32_t)offset;
    for (int i = 0; i < codec->context_count; i++) {
        p.weights[i] = (int8_t)read_u8(packed);
        if (p.weights[i] < -127)
            damaged("a predictor has the weight -128");
    }
    for (int i = 0; i < codec->context_count; i++) {
        p.sizes[i] = (int)read_u8(packed);
        if (p.sizes[i] > 127)
            damaged("a predictor has a size weight above 127");
    }
    for (int i = 0; i < codec->scales; i++) {
        Curve *curve = p.curves + i;
        for (int j = 0; j < 2; j++)
            curve->m[j] = (int8_t)read_u8(packed);
        for (int j = 0; j < 2; j++)
            if ((curve->q[j] = (int)read_u8(packed)) > 160)
                damaged("a curve has a q above 160");
        curve->weight = (int)read_u8(packed);
    }
    return p;
}

/* Section 11. */
static void parse_linear(Codec *codec, const Json *architecture, Bytes packed)
{
    if (codec->own_networks)
        damaged("linear predictors with own networks");
    if (codec->voxel_bytes != 1)
        damaged("linear predictors of 16 bits");
    codec->scales = (int)json_number(architecture, "scales", 1, MOST_SCALES);
    codec->phases = (int)json_number(architecture, "phases", 1, 4);
    if (codec->phases == 3)
        damaged("there are 3 phases");
    codec->predictor_count = (int)json_number(architecture, "predictors", 1, 16);
    packed = checked(packed);
    codec->predictors = take((size_t)codec->predictor_count, sizeof *codec->predictors);
    for (int i = 0; i < codec->predictor_count; i++)
        codec->predictors[i] = parse_predictor(codec, &packed);
    if (packed.left)
        damaged("there is more after the predictors");
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Section 2, with the limit of section 9. */
static void find_pitch(Codec *codec)
{
    int64_t gap = 0, ahead = 0;
    bool any = false;
    for (int i = 0; i < codec->context_count; i++) {
        Offset o = codec->context[i];
        int64_t size = o.dx < 0 ? -o.dx : o.dx;
        gap = size > gap ? size : gap;
        if (o.dz < 0) {
            int64_t value = floor_divide(o.dx + codec->shear * o.dy, -o.dz);
            ahead = !any || value > ahead ? value : ahead;
            any = true;
        }
    }
    int64_t wide = codec->chunk[2] + gap;
    codec->pitch = wide > ahead + 1 ? wide : ahead + 1;
    int64_t times = (codec->chunk[0] - (int64_t)1) * codec->pitch + codec->chunk[2] +
                    codec->shear * (codec->chunk[1] - (int64_t)1);
    if (times > INT32_MAX)
        damaged("a chunk has too many times");
}

static void check_limits(const Codec *codec)
{
    uint64_t voxels = 1;
    for (int i = 0; i < 3; i++)
        voxels *= codec->chunk[i];
    if (voxels > (codec->version >= 4 ? (uint64_t)1 << 28 : (uint64_t)INT32_MAX))
        damaged("a chunk has too many voxels");
}

/* Section 1, `kind` and `voxel_bits`; before version 4 they are not looked at. */
static void parse_kind(Codec *codec, const Json *architecture)
{
    uint32_t bits = 8;
    if (codec->version >= 4) {
        const Json *kind = json_need(architecture, "kind", JSON_STRING);
        codec->linear = json_is(kind, "linear");
        if (!codec->linear && !json_is(kind, "network"))
            damaged("the kind of the architecture is unknown");
        if (json_member(architecture, "voxel_bits"))
            bits = (uint32_t)json_number(architecture, "voxel_bits", 8, 16);
    }
    if (bits != 8 * codec->voxel_bytes)
        damaged("the architecture is not of the data type");
}

void codec_parse(Codec *codec, const Json *object)
{
    if (!json_is(json_need(object, "name", JSON_STRING), "jaxslice"))
        damaged("the codec is not jaxslice");
    const Json *configuration = json_need(object, "configuration", JSON_OBJECT);
    codec->version = (int)json_number(configuration, "format_version", 1, 4);
    codec->own_networks = codec->version == 2;
    if (codec->version >= 3)
        codec->own_networks = json_bool(configuration, "own_networks");
    if (codec->version >= 4) {
        parse_identity(codec, configuration);
        codec->sealed = json_bool(configuration, "sealed");
    }
    const Json *architecture = json_need(configuration, "architecture", JSON_OBJECT);
    parse_kind(codec, architecture);
    parse_common(codec, architecture);
    check_limits(codec);
    find_pitch(codec);
    const Json *text = json_need(configuration, "network", JSON_STRING);
    Bytes packed = base64_decode(text->text, text->length);
    if (codec->linear) {
        parse_linear(codec, architecture, packed);
        return;
    }
    parse_network_architecture(codec, architecture);
    Network zero = network_zero(&codec->network);
    packed = checked(packed);
    if (codec->version >= 3) {
        codec->network = network_difference(&zero, packed, 256);
        network_give(&zero);
    } else {
        codec->network = zero;
        network_parse_plain(&codec->network, packed);
    }
}
