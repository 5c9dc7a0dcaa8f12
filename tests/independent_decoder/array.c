/* The metadata of one array (sections 1 and 9). */
#include "archive.h"

#include <string.h>

const Json *read_json(const char *folder)
{
    char *path = join(folder, "zarr.json");
    uint8_t *text;
    size_t size;
    if (!read_file(path, 1 << 24, &text, &size))
        damaged("there is no %s", path);
    const Json *json = json_parse(text, size);
    if (json->kind != JSON_OBJECT)
        damaged("%s is no object", path);
    json_number(json, "zarr_format", 3, 3);
    return json;
}

static void parse_three(const Json *object, const char *name, int64_t high, int64_t out[3])
{
    const Json *list = json_need(object, name, JSON_LIST);
    if (list->count != 3)
        damaged("\"%s\" has not three numbers", name);
    for (int i = 0; i < 3; i++)
        out[i] = json_integer(list->items + i, 1, high, name);
}

static void narrow(const int64_t from[3], uint32_t to[3])
{
    for (int i = 0; i < 3; i++)
        to[i] = (uint32_t)from[i];
}

static void parse_data_type(Array *array)
{
    const Json *type = json_need(array->json, "data_type", JSON_STRING);
    array->codec.voxel_bytes = json_is(type, "uint16") ? 2 : 1;
    if (!json_is(type, "uint8") && !json_is(type, "uint16"))
        damaged("the data type is neither uint8 nor uint16");
    json_number(array->json, "fill_value", 0, 0);
}

static void parse_grid(const Array *array, int64_t chunk[3], int64_t most)
{
    const Json *grid = json_need(array->json, "chunk_grid", JSON_OBJECT);
    if (!json_is(json_member(grid, "name"), "regular"))
        damaged("the chunk grid is not regular");
    parse_three(json_need(grid, "configuration", JSON_OBJECT), "chunk_shape", most, chunk);
    const Json *keys = json_need(array->json, "chunk_key_encoding", JSON_OBJECT);
    const Json *configuration = json_member(keys, "configuration");
    const Json *separator = json_member(configuration, "separator");
    if (configuration && configuration->kind != JSON_OBJECT)
        damaged("the configuration of the chunk keys is no object");
    if (!json_is(json_member(keys, "name"), "default") || (separator && !json_is(separator, "/")))
        damaged("the chunk keys are not encoded with the default and /");
}

static const Json *only_codec(const Json *object, const char *name)
{
    const Json *codecs = json_need(object, name, JSON_LIST);
    if (codecs->count != 1)
        damaged("there is not one codec");
    return codecs->items;
}

/* Section 1, "Shards". A shard may have 2**16 blocks of 2**16 voxels along an axis. */
static const Json *parse_sharding(Array *array, const Json *sharding)
{
    const Json *configuration = json_need(sharding, "configuration", JSON_OBJECT);
    const Json *index = json_need(configuration, "index_codecs", JSON_LIST);
    const Json *location = json_member(configuration, "index_location");
    if (index->count != 2 || !json_is(json_member(index->items, "name"), "bytes") ||
        !json_is(json_member(index->items + 1, "name"), "crc32c") ||
        !json_is(json_member(json_member(index->items, "configuration"), "endian"), "little"))
        damaged("the index of shards is coded otherwise");
    if (location && !json_is(location, "end"))
        damaged("the index of shards is not at their end");
    int64_t shard[3], block[3];
    uint64_t blocks = 1;
    parse_grid(array, shard, (int64_t)1 << 32);
    parse_three(configuration, "chunk_shape", 1 << 16, block);
    narrow(block, array->codec.chunk);
    for (int i = 0; i < 3; i++) {
        if (shard[i] % block[i] != 0)
            damaged("a shard is no multiple of a block");
        if (shard[i] / block[i] > 1 << 16)
            damaged("a shard has too many blocks");
        array->per_shard[i] = (uint32_t)(shard[i] / block[i]);
        blocks *= array->per_shard[i];
        if (blocks > 1 << 16)
            damaged("a shard has too many blocks");
    }
    array->sharded = true;
    return only_codec(configuration, "codecs");
}

void array_parse(Array *array, const char *folder, const char *name)
{
    array->folder = join(folder, name);
    array->json = read_json(array->folder);
    const Json *transformers = json_member(array->json, "storage_transformers");
    if (!json_is(json_member(array->json, "node_type"), "array"))
        damaged("%s is no array", array->folder);
    if (transformers && (transformers->kind != JSON_LIST || transformers->count))
        damaged("%s has storage transformers", array->folder);
    int64_t shape[3], chunk[3];
    parse_three(array->json, "shape", INT32_MAX, shape);
    narrow(shape, array->shape);
    uint64_t plane = (uint64_t)array->shape[0] * array->shape[1];
    if (plane > ((uint64_t)1 << 62) / array->shape[2])
        damaged("the array has too many voxels");
    parse_data_type(array);
    const Json *codec = only_codec(array->json, "codecs");
    if (json_is(json_member(codec, "name"), "sharding_indexed")) {
        codec = parse_sharding(array, codec);
    } else {
        parse_grid(array, chunk, 1 << 16);
        narrow(chunk, array->codec.chunk);
    }
    codec_parse(&array->codec, codec);
    for (int i = 0; i < 3; i++)
        array->blocks[i] = (array->shape[i] - 1) / array->codec.chunk[i] + 1;
}
