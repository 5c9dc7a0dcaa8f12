/* XXH3-64 with the seed 0 and the default secret, after the specification of xxHash. */
#include "hash.h"

#define P32_1 0x9E3779B1u
#define P32_2 0x85EBCA77u
#define P32_3 0xC2B2AE3Du
#define P64_1 0x9E3779B185EBCA87u
#define P64_2 0xC2B2AE3D27D4EB4Fu
#define P64_3 0x165667B19E3779F9u
#define P64_4 0x85EBCA77C2B2AE63u
#define P64_5 0x27D4EB2F165667C5u

enum { STRIPE = 64, SECRET = 192, STRIPES = (SECRET - STRIPE) / 8, BLOCK = STRIPE * STRIPES };

static const uint8_t secret[SECRET] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e};

static uint64_t avalanche(uint64_t value)
{
    value ^= value >> 37;
    value *= 0x165667919E3779F9u;
    return value ^ value >> 32;
}

/* The exclusive or of the two halves of the product of 128 bits. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    uint64_t a0 = a & 0xFFFFFFFFu, a1 = a >> 32, b0 = b & 0xFFFFFFFFu, b1 = b >> 32;
    uint64_t low = a0 * b0, cross = a1 * b0 + (low >> 32);
    uint64_t other = a0 * b1 + (cross & 0xFFFFFFFFu);
    uint64_t high = a1 * b1 + (cross >> 32) + (other >> 32);
    return high ^ (other << 32 | (low & 0xFFFFFFFFu));
}

static uint64_t mix(const uint8_t *data, size_t at)
{
    return fold(little64(data) ^ little64(secret + at), little64(data + 8) ^ little64(secret + at + 8));
}

static uint64_t medium(const uint8_t *data, size_t size)
{
    uint64_t sum = size * P64_1;
    if (size <= 128) {
        for (size_t i = (size - 1) / 32 + 1; i-- > 0;) {
            sum += mix(data + 16 * i, 32 * i);
            sum += mix(data + size - 16 * i - 16, 32 * i + 16);
        }
        return avalanche(sum);
    }
    for (size_t i = 0; i < 8; i++)
        sum += mix(data + 16 * i, 16 * i);
    sum = avalanche(sum);
    for (size_t i = 8; i < size / 16; i++)
        sum += mix(data + 16 * i, 16 * (i - 8) + 3);
    return avalanche(sum + mix(data + size - 16, 119));
}

static void accumulate(uint64_t sums[8], const uint8_t *stripe, size_t at)
{
    for (size_t i = 0; i < 8; i++) {
        uint64_t word = little64(stripe + 8 * i), value = word ^ little64(secret + at + 8 * i);
        sums[i ^ 1] += word;
        sums[i] += (value & 0xFFFFFFFFu) * (value >> 32);
    }
}

static uint64_t large(const uint8_t *data, size_t size)
{
    uint64_t sums[8] = {P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1};
    const uint8_t *block = data, *end = data + size;
    for (; end - block > BLOCK; block += BLOCK) {
        for (size_t n = 0; n < STRIPES; n++)
            accumulate(sums, block + n * STRIPE, 8 * n);
        for (size_t i = 0; i < 8; i++) {
            sums[i] ^= sums[i] >> 47;
            sums[i] ^= little64(secret + SECRET - STRIPE + 8 * i);
            sums[i] *= P32_1;
        }
    }
    size_t full = (size_t)(end - block - 1) / STRIPE;
    for (size_t n = 0; n < full; n++)
        accumulate(sums, block + n * STRIPE, 8 * n);
    accumulate(sums, end - STRIPE, SECRET - 71);
    uint64_t result = size * P64_1;
    for (size_t i = 0; i < 4; i++)
        result += fold(sums[2 * i] ^ little64(secret + 11 + 16 * i),
                       sums[2 * i + 1] ^ little64(secret + 19 + 16 * i));
    return avalanche(result);
}

uint64_t xxh3(const uint8_t *data, size_t size)
{
    return size <= 240 ? medium(data, size) : large(data, size);
}
