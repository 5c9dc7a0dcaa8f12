/* The hierarchy: group, arrays, chunks and seal (sections 1, 8 and 9). */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include "codec.h"

typedef struct {
    Codec codec;
    char *folder;
    const Json *json;
    uint32_t shape[3];
    uint32_t blocks[3]; /* of the grid of blocks */
    bool sharded;
    uint32_t per_shard[3];
    char *shard_path;   /* of the shard whose index is held, or NULL */
    FILE *shard_file;
    uint64_t shard_size;
    uint8_t *shard_index;
    uint8_t *layers;    /* of the seal, 32 bytes each; NULL if not sealed */
} Array;

typedef struct {
    const Json *group;
    Array *arrays; /* the finest first */
    size_t count;
} Archive;

Archive archive_open(const char *folder);
void array_parse(Array *array, const char *folder, const char *name);
const Json *read_json(const char *folder);
/* False if the chunk is missing. The caller gives the memory back. */
bool array_payload(Array *array, const uint32_t index[3], uint8_t **memory, Bytes *payload);
/* Checks the seal and keeps the layers in the arrays. */
void seal_check(const Archive *archive, const Json *jaxslice, const Json *multiscales);

#endif
