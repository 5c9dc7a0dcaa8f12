/* Hands damaged messages and damaged tasks to the native engine, to be run under sanitizers.
 *
 * Each round makes a task, encodes symbols, compares the message with that of the portable set,
 * and decodes it again; then it decodes damaged messages, and runs damaged tasks. Compiled for
 * libFuzzer with FUZZ_LIBRARY, the name of one round, that round follows its inputs: the first
 * byte says which set. Alone: fuzz SET ROUNDS [FILE...], which runs that many rounds of its own,
 * and for each file of such an input the round that its path names. It exits with 1 if a good
 * message does not come back. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t *bytes_left;
static int64_t bytes_count;
static uint64_t seed = 1;

void fuzz_start(const uint8_t *data, int64_t size) {
    bytes_left = data;
    bytes_count = size;
    if (size) seed = 1;
    for (int i = 0; i < 4 && bytes_count; i++, bytes_count--)
        seed = seed * 257 + *bytes_left++;
}

uint32_t noise(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

uint32_t draw(uint32_t below) {
    uint32_t value = 0;
    const int most = below <= 256 ? 1 : below <= 65536 ? 2 : 4;
    if (!bytes_count) return noise(below);
    for (int i = 0; i < most && bytes_count; i++, bytes_count--)
        value = value << 8 | *bytes_left++;
    return value % below;
}

int32_t between(int32_t low, int32_t high) {
    return low + (int32_t)draw((uint32_t)(high - low + 1));
}

void *room(int64_t bytes) {
    void *memory = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!memory) abort();
    return memory;
}

int32_t *new_context(int32_t count, int32_t shear) {
    int32_t *context = room(count * 3 * (int64_t)sizeof *context), c = 0;
    const int32_t reach = count > 8 || !draw(LARGE_EVERY) ? 16 : 2;
    for (int32_t dz = 0; dz >= -16 && c < count; dz--)
        for (int32_t dy = 0; dy >= -reach && c < count; dy -= 1 + (int32_t)noise(2))
            for (int32_t dx = -reach; dx <= reach && c < count; dx += 1 + (int32_t)noise(3)) {
                if (noise(3) || (dz == 0 && (dx + shear * dy >= 0 || c + 2 > count))) continue;
                context[3 * c] = dz;
                context[3 * c + 1] = dz < 0 && noise(2) ? -dy : dy;
                context[3 * c + 2] = dx;
                int32_t same = 0;
                for (int32_t i = 0; i < c; i++)
                    same |= !memcmp(context + 3 * i, context + 3 * c, 3 * sizeof *context);
                c += !same;
            }
    return context;
}

int32_t *new_frame(int32_t *extent, int32_t *block_shape, int32_t voxel_bits) {
    static const int32_t most[3] = {5, 140, 40}, often[3] = {3, 4, 7};
    const int large = !draw(LARGE_EVERY);
    for (int32_t axis = 0; axis < 3; axis++) {
        extent[axis] = between(1, large ? most[axis] : often[axis]);
        block_shape[axis] = extent[axis] + between(0, 3);
    }
    int32_t *levels = room(extent[0] * (int64_t)sizeof *levels);
    const int all = (int)draw(2);
    const int32_t most_levels = 1 << between(0, voxel_bits);
    for (int32_t z = 0; z < extent[0]; z++)
        levels[z] = all ? 1 << voxel_bits : between(1, most_levels);
    return levels;
}

int32_t seldom(int32_t often, int32_t most) {
    return between(1, draw(LARGE_EVERY) ? often : most);
}

int32_t strange_number(void) {
    static const int32_t strange[] = {-2147483647 - 1, -1, 0, 1, 2, 255, 256, 257, 2147483647};
    return draw(3) ? strange[draw(9)] : between(-1000, 100000);
}

void damage_message(uint32_t *message, int64_t words) {
    for (int i = 0; i < 3; i++) message[draw((uint32_t)words)] ^= 1u << draw(32);
}

#ifdef FUZZ_LIBRARY
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    const int32_t set = data[0] % MARCH_SETS;
    if (!march_has_set(set)) return 0;
    fuzz_start(data + 1, (int64_t)size - 1);
    if (FUZZ_LIBRARY(set) < 0) abort();
    return 0;
}
#else
struct named_round {
    const char *name;
    int (*run)(int32_t set);
};

/* Runs the round that is named in the path, with the file's bytes for its choices. */
static int file_round(const char *path) {
    static const struct named_round rounds[] = {{"network_round", network_round},
                                                {"linear_round", linear_round},
                                                {"levels_round", levels_round},
                                                {"check_network", check_network},
                                                {"check_linear", check_linear}};
    uint8_t data[4096];
    FILE *file = fopen(path, "rb");
    if (!file) return -1;
    const int64_t size = (int64_t)fread(data, 1, sizeof data, file);
    fclose(file);
    if (size < 3 || !march_has_set(data[0] % MARCH_SETS)) return 0;
    fuzz_start(data + 1, size - 1);
    for (int i = 0; i < 5; i++)
        if (strstr(path, rounds[i].name)) return rounds[i].run(data[0] % MARCH_SETS);
    return -1;
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    for (int i = 3; i < count; i++)
        if (file_round(arguments[i]) < 0) return 1;
    fuzz_start(NULL, 0);
    const int32_t set = atoi(arguments[1]), rounds = atoi(arguments[2]);
    int coded = 0;
    for (int32_t i = 0; i < rounds; i++) {
        const int result = i % 2 ? linear_round(set) : network_round(set);
        if (result < 0 || levels_round(set) < 0) return 1;
        coded += result;
    }
    printf("%d of %d rounds were coded\n", coded, rounds);
    return coded > rounds / 4 ? 0 : 3;
}
#endif
