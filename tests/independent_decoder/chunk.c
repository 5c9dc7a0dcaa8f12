/* The bytes of a block: an object of its own, or a part of a shard (section 1). */
#define _POSIX_C_SOURCE 200809L
#include "archive.h"

#include <string.h>
#include <sys/stat.h>

static char *chunk_path(const Array *array, const uint32_t index[3])
{
    char name[64];
    snprintf(name, sizeof name, "c/%u/%u/%u", index[0], index[1], index[2]);
    return join(array->folder, name);
}

static size_t entries(const Array *array)
{
    return (size_t)array->per_shard[0] * array->per_shard[1] * array->per_shard[2];
}

/* Section 9: bytes of a payload. */
static uint64_t most_bytes(const Array *array)
{
    const uint32_t *size = array->codec.chunk;
    return 2 * ((uint64_t)size[0] * size[1] * size[2] * array->codec.voxel_bytes) + (1 << 24);
}

static void read_part(Array *array, uint64_t at, uint8_t *memory, size_t size)
{
    if (fseeko(array->shard_file, (off_t)at, SEEK_SET) != 0 ||
        fread(memory, 1, size, array->shard_file) != size)
        failed("cannot read %s", array->shard_path);
}

/* Opens a shard and checks its index: 16 bytes for each block, then a CRC32C. */
static void open_shard(Array *array, char *path)
{
    if (array->shard_file)
        fclose(array->shard_file);
    give(array->shard_path);
    give(array->shard_index);
    array->shard_path = path;
    array->shard_index = NULL;
    array->shard_file = NULL;
    struct stat status;
    if (stat(path, &status) != 0 || S_ISDIR(status.st_mode))
        return;
    size_t size = 16 * entries(array) + 4;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < size)
        damaged("%s is no shard", path);
    array->shard_size = (uint64_t)status.st_size;
    array->shard_file = fopen(path, "rb");
    if (!array->shard_file)
        failed("cannot open %s", path);
    array->shard_index = take(size, 1);
    read_part(array, array->shard_size - size, array->shard_index, size);
    if (crc32c(array->shard_index, size - 4) != little32(array->shard_index + size - 4))
        damaged("the index of %s has another CRC32C", path);
}

static bool shard_payload(Array *array, const uint32_t index[3], uint8_t **memory, Bytes *payload)
{
    uint32_t shard[3];
    size_t place = 0;
    for (int i = 0; i < 3; i++) {
        shard[i] = index[i] / array->per_shard[i];
        place = place * array->per_shard[i] + index[i] % array->per_shard[i];
    }
    char *path = chunk_path(array, shard);
    if (array->shard_path && strcmp(path, array->shard_path) == 0)
        give(path);
    else
        open_shard(array, path);
    if (!array->shard_index)
        return false;
    uint64_t at = little64(array->shard_index + 16 * place);
    uint64_t size = little64(array->shard_index + 16 * place + 8);
    if (at == UINT64_MAX)
        return false;
    if (at > array->shard_size || size > array->shard_size - at)
        damaged("the index of %s points outside", array->shard_path);
    if (size > most_bytes(array))
        damaged("a block of %s is too large", array->shard_path);
    *memory = take((size_t)size + 1, 1);
    read_part(array, at, *memory, (size_t)size);
    *payload = (Bytes){*memory, (size_t)size};
    return true;
}

bool array_payload(Array *array, const uint32_t index[3], uint8_t **memory, Bytes *payload)
{
    if (array->sharded)
        return shard_payload(array, index, memory, payload);
    char *path = chunk_path(array, index);
    size_t size;
    bool there = read_file(path, most_bytes(array), memory, &size);
    give(path);
    if (there)
        *payload = (Bytes){*memory, size};
    return there;
}
