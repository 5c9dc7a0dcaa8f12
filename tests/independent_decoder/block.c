#include "block.h"

#include <string.h>

enum { CONSTANT, STORED, CODED };
enum { OWN_NETWORK = 1, SLICE_TABLE = 2 };
enum { REPEATED_MOST = 254, CONSTANT_SLICE = 255, DIGEST_HEAD = 33 };

typedef struct {
    uint32_t mode, flags, fill;
    uint8_t index[12];
    uint32_t extent[3];
    uint64_t digest; /* before version 4 a CRC32C */
} Header;

/* Section 3, "Place". */
static void check_place(const Codec *codec, const uint32_t index[3], Header *header, Bytes *payload)
{
    if (memcmp(read_bytes(payload, 8).at, codec->identity, 8) != 0)
        damaged("a payload has another identity");
    memcpy(header->index, read_bytes(payload, 12).at, 12);
    bool same = true, none = true;
    for (int i = 0; i < 3; i++) {
        uint32_t found = little32(header->index + 4 * i);
        same = same && found == index[i];
        none = none && found == UINT32_MAX;
    }
    if (!same && (!none || codec->sealed))
        damaged("a payload has another index");
}

static void read_extent(Header *header, Bytes *payload)
{
    for (int i = 0; i < 3; i++)
        header->extent[i] = read_u32(payload);
}

static Header read_header(const Codec *codec, const uint32_t index[3], Bytes *payload)
{
    Header header = {0};
    uint32_t version = read_u8(payload);
    bool place = codec->version >= 4;
    if (place ? version != 4 : version != 1 && version != 2)
        damaged("a payload has an unknown version");
    header.mode = read_u8(payload);
    if (place) {
        header.flags = read_u8(payload);
        if (read_u8(payload) != 0)
            damaged("the fourth byte of a payload is not 0");
        check_place(codec, index, &header, payload);
        read_extent(&header, payload);
        header.fill = read_u16(payload);
        header.digest = read_u64(payload);
    } else {
        header.fill = read_u8(payload);
        header.flags = read_u8(payload);
        if (header.flags != version - 1)
            damaged("the flags of a payload are not of its version");
        read_extent(&header, payload);
        header.digest = read_u32(payload);
    }
    return header;
}

static void check_header(const Codec *codec, const Header *header, const Bytes *body)
{
    static const uint32_t allowed[3] = {0, SLICE_TABLE, OWN_NETWORK | SLICE_TABLE};
    if (header->mode > CODED)
        damaged("a payload has an unknown mode");
    if (header->flags & ~allowed[header->mode])
        damaged("a payload has flags that are not of its mode");
    if ((header->flags & OWN_NETWORK) && !codec->own_networks)
        damaged("a payload has a network of its own");
    if (header->fill >> (8 * codec->voxel_bytes))
        damaged("the fill is beyond the data type");
    for (int i = 0; i < 3; i++) {
        if (header->extent[i] > codec->chunk[i])
            damaged("an extent exceeds the chunk");
        if ((header->extent[i] == 0) != (header->mode == CONSTANT))
            damaged("an extent is not of the mode");
    }
    if (header->mode == CONSTANT && body->left)
        damaged("a constant payload has a body");
}

static void fill_voxels(uint8_t *out, size_t count, uint32_t value, uint32_t bytes)
{
    for (size_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < bytes; j++)
            out[i * bytes + j] = (uint8_t)(value >> (8 * j));
}

/* Copies a slice of the extent to slice z of the block. */
static void place_slice(const Codec *codec, const uint32_t extent[3], uint32_t z,
                        const uint8_t *slice, uint8_t *block)
{
    size_t row = (size_t)extent[2] * codec->voxel_bytes;
    for (uint32_t y = 0; y < extent[1]; y++) {
        size_t at = ((size_t)z * codec->chunk[1] + y) * codec->chunk[2] * codec->voxel_bytes;
        memcpy(block + at, slice + y * row, row);
    }
}

/* Section 3, "Slice table": refuses repeats of nothing and counts the coded slices. */
static uint32_t count_coded(const uint8_t *table, uint32_t slices)
{
    uint32_t coded = 0;
    for (uint32_t z = 0; z < slices; z++) {
        coded += table[z] == 0;
        if (table[z] <= REPEATED_MOST && table[z] > z)
            damaged("a slice repeats one that does not exist");
    }
    return coded;
}

/* Puts the slices of the extent into the block. `table` holds their kinds, `values` those of
   the constant ones, and `coded` the voxels of the coded ones. */
static void put_slices(const Codec *codec, const uint32_t extent[3], const uint8_t *table,
                       Bytes values, const uint8_t *coded, uint8_t *block)
{
    uint32_t bytes = codec->voxel_bytes;
    size_t voxels = (size_t)extent[1] * extent[2];
    uint8_t *constant = take(voxels, bytes);
    const uint8_t **slices = take(extent[0], sizeof *slices);
    for (uint32_t z = 0; z < extent[0]; z++) {
        if (table[z] == CONSTANT_SLICE) {
            fill_voxels(constant, voxels, bytes == 2 ? read_u16(&values) : read_u8(&values), bytes);
            place_slice(codec, extent, z, constant, block);
            continue;
        }
        if (table[z] == 0) {
            slices[z] = coded;
            coded += voxels * bytes;
        } else {
            slices[z] = slices[z - table[z]];
        }
        if (slices[z]) {
            place_slice(codec, extent, z, slices[z], block);
            continue;
        }
        size_t size = (size_t)codec->chunk[1] * codec->chunk[2] * bytes;
        memcpy(block + z * size, block + (z - table[z]) * size, size);
    }
    give(slices);
    give(constant);
}

static void decode_body(const Codec *codec, const Header *header, Bytes body, uint8_t *block)
{
    Network own = {0};
    const Network *network = &codec->network;
    if (header->flags & OWN_NETWORK) {
        uint32_t size = read_u32(&body);
        own = network_difference(network, read_bytes(&body, size), 64);
        network = &own;
    }
    const uint32_t *extent = header->extent;
    uint8_t *plain = take(extent[0], 1);
    const uint8_t *table = plain;
    Bytes values = {0};
    uint32_t coded[3] = {extent[0], extent[1], extent[2]};
    if (header->flags & SLICE_TABLE) {
        table = read_bytes(&body, extent[0]).at;
        coded[0] = count_coded(table, extent[0]);
        size_t constant = 0;
        for (uint32_t z = 0; z < extent[0]; z++)
            constant += table[z] == CONSTANT_SLICE;
        values = read_bytes(&body, constant * codec->voxel_bytes);
    }
    size_t size = (size_t)coded[0] * coded[1] * coded[2] * codec->voxel_bytes;
    uint8_t *memory = NULL;
    const uint8_t *slices;
    if (header->mode == CODED) {
        if (coded[0] == 0)
            damaged("a coded payload has no coded slice");
        slices = memory = take(size, 1);
        voxels_decode(codec, network, body, coded, memory);
    } else {
        slices = read_bytes(&body, size).at;
        if (body.left)
            damaged("a stored payload is too long");
    }
    put_slices(codec, extent, table, values, slices, block);
    give(memory);
    give(plain);
    network_give(&own);
}

/* Section 3, "Digest"; before version 4 the CRC32C of the voxels. The head of the digest is
   written in front of the voxels. */
static void check_digest(const Codec *codec, const Header *header, uint8_t *head, size_t size)
{
    uint64_t found;
    if (codec->version >= 4) {
        memcpy(head, codec->identity, 8);
        memcpy(head + 8, header->index, 12);
        for (int i = 0; i < 3; i++)
            put_little32(head + 20 + 4 * i, codec->chunk[i]);
        head[32] = (uint8_t)codec->voxel_bytes;
        found = xxh3(head, DIGEST_HEAD + size);
    } else {
        found = crc32c(head + DIGEST_HEAD, size);
    }
    if (found != header->digest)
        damaged("a block has another digest");
}

uint8_t *block_decode(const Codec *codec, const uint32_t index[3], Bytes payload)
{
    if (payload.left < 4)
        damaged("a payload is too short");
    payload.left -= 4;
    if (crc32c(payload.at, payload.left) != little32(payload.at + payload.left))
        damaged("a payload has another CRC32C");
    Header header = read_header(codec, index, &payload);
    check_header(codec, &header, &payload);
    size_t voxels = (size_t)codec->chunk[0] * codec->chunk[1] * codec->chunk[2];
    size_t size = voxels * codec->voxel_bytes;
    uint8_t *head = take(DIGEST_HEAD + size, 1), *block = head + DIGEST_HEAD;
    fill_voxels(block, voxels, header.fill, codec->voxel_bytes);
    if (header.mode != CONSTANT)
        decode_body(codec, &header, payload, block);
    check_digest(codec, &header, head, size);
    memmove(head, block, size);
    return head;
}
