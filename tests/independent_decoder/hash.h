/* CRC32C, SHA-256 and XXH3-64, as named at the head of FORMAT.md, and base64. */
#ifndef HASH_H
#define HASH_H

#include "util.h"

uint32_t crc32c(const uint8_t *data, size_t size);

typedef struct {
    uint32_t state[8];
    uint64_t size;
    uint8_t block[64];
} Sha256;

void sha256_start(Sha256 *sha);
void sha256_add(Sha256 *sha, const void *data, size_t size);
void sha256_end(Sha256 *sha, uint8_t digest[32]);

/* For inputs of more than 16 bytes; a digest of section 3 has at least 34. */
uint64_t xxh3(const uint8_t *data, size_t size);

/* Refuses all that RFC 4648 does not allow. */
Bytes base64_decode(const char *text, size_t length);

/* Checks the hashes against known values; false if one is wrong. */
bool hashes_work(void);

#endif
