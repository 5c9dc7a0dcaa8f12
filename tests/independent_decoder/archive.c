/* The group, its scales, and the seal (sections 1 and 8). */
#include "archive.h"

#include <string.h>

enum { DIGEST = 32 };

static void check_axes(const Json *multiscale)
{
    static const char *const names[3] = {"z", "y", "x"};
    const Json *axes = json_need(multiscale, "axes", JSON_LIST);
    if (axes->count != 3)
        damaged("there are not three axes");
    for (int i = 0; i < 3; i++)
        if (!json_is(json_member(axes->items + i, "name"), names[i]))
            damaged("the axes are not z, y, x");
}

static void check_offset(const Json *object)
{
    const Json *list = json_need(object, "offset_voxels", JSON_LIST);
    if (list->count != 3)
        damaged("offset_voxels has not three numbers");
    for (int i = 0; i < 3; i++)
        json_integer(list->items + i, -((int64_t)1 << 53), (int64_t)1 << 53, "offset_voxels");
}

/* The voxel size: the first transformation's scale. */
static void check_voxel_size(const Json *dataset)
{
    const Json *list = json_need(dataset, "coordinateTransformations", JSON_LIST);
    if (list->count == 0)
        damaged("a scale has no transformation");
    const Json *size = json_need(list->items, "scale", JSON_LIST);
    if (size->count != 3)
        damaged("the voxel size is not three numbers");
    for (int i = 0; i < 3; i++) {
        const Json *value = size->items + i;
        if (value->kind != JSON_INTEGER && value->kind != JSON_REAL)
            damaged("the voxel size is not three numbers");
        if (!(value->real >= 0 && value->real <= 1e18))
            damaged("the voxel size is not within its limits");
    }
}

/* Section 1, "Scales". */
static void check_scales(const Json *jaxslice, size_t scales)
{
    check_offset(jaxslice);
    if (scales == 1)
        return;
    const Json *coarser = json_need(jaxslice, "coarser_scales", JSON_LIST);
    if (coarser->count != scales - 1)
        damaged("coarser_scales is not of the scales");
    for (size_t i = 0; i < coarser->count; i++)
        check_offset(coarser->items + i);
}

/* The path of scale i, which no finer one has. */
static const char *path_of(const Json *datasets, size_t i)
{
    const Json *path = json_need(datasets->items + i, "path", JSON_STRING);
    if (path->length == 0 || path->text[0] == '.')
        damaged("the path of a scale is empty or begins with a dot");
    for (size_t j = 0; j < path->length; j++) {
        char c = path->text[j];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
        if (!letter && !other)
            damaged("the path of a scale has a character that is not allowed");
    }
    for (size_t j = 0; j < i; j++)
        if (json_is(json_member(datasets->items + j, "path"), path->text))
            damaged("two scales have one path");
    return path->text;
}

static void parse_digest(const Json *value, uint8_t digest[DIGEST])
{
    static const char digits[] = "0123456789abcdef";
    if (!value || value->kind != JSON_STRING || value->length != 2 * DIGEST)
        damaged("a digest of the seal is not of 64 digits");
    for (int i = 0; i < 2 * DIGEST; i++) {
        const char *at = value->text[i] ? strchr(digits, value->text[i]) : NULL;
        if (!at)
            damaged("a digest of the seal is not lower-case hexadecimal");
        digest[i / 2] = (uint8_t)(digest[i / 2] << 4 | (at - digits));
    }
}

static void digest_metadata(const Archive *archive, const Json *jaxslice, const Json *multiscales,
                            uint8_t digest[DIGEST])
{
    Sha256 sha;
    sha256_start(&sha);
    sha256_add(&sha, "{\"arrays\":[", 11);
    for (size_t i = 0; i < archive->count; i++) {
        if (i)
            sha256_add(&sha, ",", 1);
        json_digest(&sha, archive->arrays[i].json, NULL);
    }
    sha256_add(&sha, "],\"jaxslice\":", 13);
    json_digest(&sha, jaxslice, "seal");
    sha256_add(&sha, ",\"multiscales\":", 15);
    json_digest(&sha, multiscales, NULL);
    sha256_add(&sha, "}", 1);
    sha256_end(&sha, digest);
}

static void read_layers(Array *array, const Json *list)
{
    if (list->kind != JSON_LIST || list->count != array->blocks[0])
        damaged("the layers of the seal are not those of the grid");
    array->layers = take(list->count, DIGEST);
    for (size_t i = 0; i < list->count; i++)
        parse_digest(list->items + i, array->layers + DIGEST * i);
}

void seal_check(const Archive *archive, const Json *jaxslice, const Json *multiscales)
{
    const Json *seal = json_member(jaxslice, "seal");
    bool sealed = archive->arrays[0].codec.sealed, old = true;
    for (size_t i = 0; i < archive->count; i++) {
        if (archive->arrays[i].codec.sealed != sealed)
            damaged("the archive is sealed in part");
        old = old && archive->arrays[i].codec.version < 4;
    }
    if (old)
        return; /* The field means nothing then. */
    if (sealed != (seal != NULL))
        damaged(seal ? "an archive that is not sealed has a seal" : "the seal is missing");
    if (!sealed)
        return;
    uint8_t metadata[DIGEST], root[DIGEST], found[DIGEST];
    parse_digest(json_member(seal, "metadata"), metadata);
    parse_digest(json_member(seal, "root"), root);
    digest_metadata(archive, jaxslice, multiscales, found);
    if (memcmp(metadata, found, DIGEST) != 0)
        damaged("the metadata are not those of the seal");
    const Json *layers = json_need(seal, "layers", JSON_LIST);
    if (layers->count != archive->count)
        damaged("the layers of the seal are not those of the arrays");
    Sha256 sha;
    sha256_start(&sha);
    sha256_add(&sha, metadata, DIGEST);
    for (size_t i = 0; i < archive->count; i++) {
        read_layers(archive->arrays + i, layers->items + i);
        sha256_add(&sha, archive->arrays[i].layers, (size_t)DIGEST * archive->arrays[i].blocks[0]);
    }
    sha256_end(&sha, found);
    if (memcmp(root, found, DIGEST) != 0)
        damaged("the root of the seal is another one");
}

Archive archive_open(const char *folder)
{
    Archive archive = {0};
    archive.group = read_json(folder);
    if (!json_is(json_member(archive.group, "node_type"), "group"))
        damaged("the archive is no group");
    const Json *attributes = json_need(archive.group, "attributes", JSON_OBJECT);
    const Json *jaxslice = json_need(attributes, "jaxslice", JSON_OBJECT);
    const Json *ome = json_need(attributes, "ome", JSON_OBJECT);
    const Json *multiscales = json_need(ome, "multiscales", JSON_LIST);
    if (multiscales->count == 0)
        damaged("there is no multiscale");
    check_axes(multiscales->items);
    const Json *datasets = json_need(multiscales->items, "datasets", JSON_LIST);
    if (datasets->count == 0)
        damaged("there is no array");
    archive.count = datasets->count;
    archive.arrays = take(archive.count, sizeof *archive.arrays);
    for (size_t i = 0; i < archive.count; i++) {
        array_parse(archive.arrays + i, folder, path_of(datasets, i));
        check_voxel_size(datasets->items + i);
    }
    check_scales(jaxslice, archive.count);
    seal_check(&archive, jaxslice, multiscales);
    return archive;
}
