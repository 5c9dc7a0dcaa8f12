/* What the page needs beside the native engine: two checksums, and the numbers of a difference
 * between networks. FORMAT.md, sections 3 and 7. */
#include "../native/linear_plan.h"
#include "../native/states.h"

MARCH_API uint32_t page_crc32c(const uint8_t *data, int64_t size) {
    static uint32_t table[256];
    for (uint32_t i = 0; !table[255] && i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0x82F63B78u : 0);
        table[i] = value;
    }
    uint32_t crc = ~0u;
    for (int64_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
    return ~crc;
}

/* XXH3-64 of xxHash 0.8 with its default secret, for more than 240 bytes. Names are its own. */
enum { STRIPE = 64, LANES = 8, SECRET_BYTES = 192, STRIPES = (SECRET_BYTES - STRIPE) / 8 };

static const uint64_t PRIME32_1 = 0x9E3779B1u, PRIME32_2 = 0x85EBCA77u, PRIME32_3 = 0xC2B2AE3Du;
static const uint64_t PRIME64_1 = 0x9E3779B185EBCA87u, PRIME64_2 = 0xC2B2AE3D27D4EB4Fu;
static const uint64_t PRIME64_3 = 0x165667B19E3779F9u, PRIME64_4 = 0x85EBCA77C2B2AE63u;
static const uint64_t PRIME64_5 = 0x27D4EB2F165667C5u;

static const uint64_t SECRET[SECRET_BYTES / 8] = {
    0xBE4BA423396CFEB8u, 0x1CAD21F72C81017Cu, 0xDB979083E96DD4DEu, 0x1F67B3B7A4A44072u,
    0x78E5C0CC4EE679CBu, 0x2172FFCC7DD05A82u, 0x8E2443F7744608B8u, 0x4C263A81E69035E0u,
    0xCB00C391BB52283Cu, 0xA32E531B8B65D088u, 0x4EF90DA297486471u, 0xD8ACDEA946EF1938u,
    0x3F349CE33F76FAA8u, 0x1D4F0BC7C7BBDCF9u, 0x3159B4CD4BE0518Au, 0x647378D9C97E9FC8u,
    0xC3EBD33483ACC5EAu, 0xEB6313FAFFA081C5u, 0x49DAF0B751DD0D17u, 0x9E68D429265516D3u,
    0xFCA1477D58BE162Bu, 0xCE31D07AD1B8F88Fu, 0x280416958F3ACB45u, 0x7E404BBBCAFBD7AFu};

static uint64_t load64(const void *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static const uint8_t *secret_at(int32_t offset) { return (const uint8_t *)SECRET + offset; }

static void accumulate(uint64_t *lanes, const uint8_t *data, const uint8_t *secret) {
    for (int32_t i = 0; i < LANES; i++) {
        const uint64_t value = load64(data + 8 * i), key = value ^ load64(secret + 8 * i);
        lanes[i ^ 1] += value;
        lanes[i] += (uint64_t)(uint32_t)key * (key >> 32);
    }
}

static void scramble(uint64_t *lanes) {
    for (int32_t i = 0; i < LANES; i++) {
        lanes[i] ^= lanes[i] >> 47;
        lanes[i] ^= load64(secret_at(SECRET_BYTES - STRIPE + 8 * i));
        lanes[i] *= PRIME32_1;
    }
}

/* Optimised it would become a call of a compiler's library, which is not linked. */
__attribute__((optnone, noinline)) static uint64_t folded_product(uint64_t a, uint64_t b) {
    const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
    const uint64_t upper = a1 * b1 + (middle >> 32) + (other >> 32);
    return upper ^ a * b;
}

/* Returns 0 for 240 bytes or less. */
MARCH_API uint64_t page_xxh3(const uint8_t *data, int64_t size) {
    uint64_t lanes[LANES] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
                             PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    if (size <= 240) return 0;
    const int64_t last = (size - 1) / STRIPE;
    for (int64_t stripe = 0; stripe < last; stripe++) {
        accumulate(lanes, data + STRIPE * stripe, secret_at(8 * (int32_t)(stripe % STRIPES)));
        if (stripe % STRIPES == STRIPES - 1) scramble(lanes);
    }
    accumulate(lanes, data + size - STRIPE, secret_at(SECRET_BYTES - STRIPE - 7));
    uint64_t hash = (uint64_t)size * PRIME64_1;
    for (int32_t i = 0; i < LANES; i += 2)
        hash += folded_product(lanes[i] ^ load64(secret_at(11 + 8 * i)),
                               lanes[i + 1] ^ load64(secret_at(19 + 8 * i)));
    hash = (hash ^ hash >> 37) * 0x165667919E3779F9u;
    return hash ^ hash >> 32;
}

/* Decodes the values of some tensors, one after the other, and returns 0 or a march_error.
 * `records` are [tensors][3]: q1, q2 and w. Their intervals are those of a linear predictor whose
 * means are moved by 8, the half of a phase, and whose inverses are 4 times as large. */
MARCH_API int64_t page_difference(const uint8_t *records, const int32_t *sizes, int32_t tensors,
                                  const uint32_t *message, int64_t words, int8_t *values) {
    static int32_t edges[EDGES];
    static uint32_t slots[SLOTS];
    struct linear linear = {.phases = 1, .scales = 1, .predictors = 1};
    struct march m = {0};
    if (words < 2) return MARCH_TOO_SHORT;
    uint32_t high = message[0], low = message[1];
    if (high >> 31 || (!high && !(low >> 31))) return MARCH_BAD_STATE;
    linear.edges = edges;
    linear.slots = slots;
    m.high = &high;
    m.low = &low;
    m.next_word = message + 2;
    m.words_left = words - 2;
    for (int32_t t = 0; t < tensors; t++) {
        const uint8_t *q = records + 3 * t;
        if (q[0] > 127 || q[1] > 127) return MARCH_BAD_NETWORK;
        const uint8_t curve[CURVE_BYTES] = {(uint8_t)-8, (uint8_t)-8, q[0] + 32, q[1] + 32, q[2]};
        linear_fill_tables(&linear, curve);
        for (int32_t n = 0; n < sizes[t]; n++) {
            const int32_t position = (int32_t)(low & (TOTAL - 1));
            int32_t i = (int32_t)(slots[position >> SLOT_SHIFT] >> START_BITS);
            while (edges[i + 1] <= position) i++;
            pop_lane(&m, 0, (uint32_t)edges[i], (uint32_t)(edges[i + 1] - edges[i]), 0);
            if (m.failed) return MARCH_TOO_SHORT;
            *values++ = (int8_t)(i - 128);
        }
    }
    return m.words_left || high || low != 1u << 31 ? MARCH_UNFINISHED : MARCH_OK;
}
