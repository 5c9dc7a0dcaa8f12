/* decode ARCHIVE OUT.raw: decodes all arrays of an archive, and writes the voxels of the finest
   one in z, y, x order, little-endian. OUT.raw may be "-", the standard output. The exit code is
   0, or 3 with a line on stderr if the archive is damaged. Sections are those of FORMAT.md. */
#define _POSIX_C_SOURCE 200809L
#include "archive.h"
#include "block.h"

#include <string.h>
#include <unistd.h>

/* Writes what of a block lies inside the array. */
static void write_block(FILE *out, const Array *array, const uint32_t index[3], const uint8_t *block)
{
    const Codec *codec = &array->codec;
    uint64_t from[3], count[3];
    for (int i = 0; i < 3; i++) {
        from[i] = (uint64_t)index[i] * codec->chunk[i];
        count[i] = array->shape[i] - from[i];
        if (count[i] > codec->chunk[i])
            count[i] = codec->chunk[i];
    }
    size_t row = (size_t)count[2] * codec->voxel_bytes;
    for (uint64_t z = 0; z < count[0]; z++)
        for (uint64_t y = 0; y < count[1]; y++) {
            uint64_t place = ((from[0] + z) * array->shape[1] + from[1] + y) * array->shape[2] + from[2];
            uint64_t inside = (z * codec->chunk[1] + y) * codec->chunk[2];
            if (fseeko(out, (off_t)(place * codec->voxel_bytes), SEEK_SET) != 0 ||
                fwrite(block + inside * codec->voxel_bytes, 1, row, out) != row)
                failed("cannot write");
        }
}

/* Decodes a block, writes it unless `out` is NULL, and adds its leaf to the layer (section 8). */
static void decode_block(Array *array, const uint32_t index[3], FILE *out, Sha256 *layer)
{
    uint8_t *memory = NULL, leaf[32];
    Bytes payload = {0};
    if (!array_payload(array, index, &memory, &payload)) {
        if (array->codec.version < 4 || array->codec.sealed)
            damaged("the chunk %u/%u/%u is missing", index[0], index[1], index[2]);
        return;
    }
    Sha256 sha;
    sha256_start(&sha);
    sha256_add(&sha, payload.at, payload.left);
    sha256_end(&sha, leaf);
    sha256_add(layer, leaf, sizeof leaf);
    uint8_t *block = block_decode(&array->codec, index, payload);
    if (out)
        write_block(out, array, index, block);
    give(block);
    give(memory);
}

static void decode_array(Array *array, FILE *out)
{
    for (uint32_t z = 0; z < array->blocks[0]; z++) {
        Sha256 layer;
        uint8_t digest[32];
        sha256_start(&layer);
        for (uint32_t y = 0; y < array->blocks[1]; y++)
            for (uint32_t x = 0; x < array->blocks[2]; x++)
                decode_block(array, (uint32_t[3]){z, y, x}, out, &layer);
        sha256_end(&layer, digest);
        if (array->layers && memcmp(digest, array->layers + 32 * (size_t)z, 32) != 0)
            damaged("layer %u is not that of the seal", z);
    }
    if (array->shard_file)
        fclose(array->shard_file);
    array->shard_file = NULL;
}

static void copy_to_stdout(FILE *from)
{
    char buffer[1 << 16];
    rewind(from);
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, from)) > 0;)
        if (fwrite(buffer, 1, got, stdout) != got)
            failed("cannot write");
    if (fflush(stdout) != 0)
        failed("cannot write");
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s ARCHIVE OUT.raw\n", argv[0]);
        return 2;
    }
    if (!hashes_work())
        failed("a hash does not work");
    Archive archive = archive_open(argv[1]);
    bool standard = strcmp(argv[2], "-") == 0;
    FILE *out = standard ? tmpfile() : fopen(argv[2], "wb+");
    if (!out)
        failed("cannot open %s", argv[2]);
    if (!standard)
        remove_on_failure(argv[2]);
    for (size_t i = 0; i < archive.count; i++)
        decode_array(archive.arrays + i, i == 0 ? out : NULL);
    const Array *finest = archive.arrays;
    uint64_t size = (uint64_t)finest->shape[0] * finest->shape[1] * finest->shape[2];
    /* Blocks of zeros that are missing are not written: the file is only made long enough. */
    if (fflush(out) != 0 || ftruncate(fileno(out), (off_t)(size * finest->codec.voxel_bytes)) != 0)
        failed("cannot write");
    if (standard)
        copy_to_stdout(out);
    if (fclose(out) != 0)
        failed("cannot write");
    give_all();
    return 0;
}
