#include "levels.h"

static bool bit_of(const uint8_t *bits, uint64_t place)
{
    return bits[place / 8] >> (7 - place % 8) & 1;
}

/* The levels of a bitmap of 256 levels. */
static Levels from_bitmap(const uint8_t bitmap[32])
{
    Levels levels = {.step = 1};
    levels.runs = take(128, sizeof *levels.runs);
    for (uint32_t level = 0; level < 256; level++) {
        if (!bit_of(bitmap, level))
            continue;
        if (level == 0 || !bit_of(bitmap, level - 1))
            levels.runs[levels.run_count++] = (Run){levels.count, level};
        levels.count++;
    }
    if (levels.count == 0)
        damaged("a slice has no level");
    levels.runs = take_more(levels.runs, levels.run_count, sizeof *levels.runs);
    return levels;
}

/* Kind 2: the union's bitmap, then for each slice one bit for each level of the union. */
static void read_bitmaps(Bytes *body, Levels *table, uint32_t slices)
{
    const uint8_t *all = read_bytes(body, 32).at;
    uint64_t in_union = 0, place = 0;
    for (int level = 0; level < 256; level++)
        in_union += bit_of(all, (uint64_t)level);
    uint64_t bits = in_union * slices;
    const uint8_t *string = read_bytes(body, (size_t)((bits + 7) / 8)).at;
    for (uint32_t z = 0; z < slices; z++) {
        uint8_t bitmap[32] = {0};
        for (int level = 0; level < 256; level++)
            if (bit_of(all, (uint64_t)level) && bit_of(string, place++))
                bitmap[level / 8] |= (uint8_t)(0x80 >> level % 8);
        table[z] = from_bitmap(bitmap);
    }
    for (; place % 8; place++)
        if (bit_of(string, place))
            damaged("a level table is filled up with bits that are not 0");
}

/* A number of section 10: one to three bytes of 7 bits, the lowest first; not 0. */
static uint32_t read_number(Bytes *body)
{
    uint32_t value = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t byte = read_u8(body);
        value |= (byte & 127) << (7 * i);
        if (byte < 128) {
            if (value == 0)
                damaged("a level table has a number that is 0");
            return value;
        }
    }
    damaged("a level table has a number of more than three bytes");
}

static Levels read_runs(Bytes *body)
{
    Levels levels = {0};
    levels.start = read_u16(body);
    levels.step = read_u16(body);
    if (levels.step == 0)
        damaged("a level table has the step 0");
    levels.run_count = read_number(body);
    if (levels.run_count > 65536)
        damaged("a level table has too many runs");
    levels.runs = take(levels.run_count, sizeof *levels.runs);
    uint64_t p = 0;
    for (uint32_t i = 0; i < levels.run_count; i++) {
        if (i > 0)
            p += read_number(body);
        levels.runs[i] = (Run){levels.count, (uint32_t)p};
        uint32_t length = read_number(body);
        levels.count += length;
        p += length;
        if (levels.start + levels.step * (p - 1) > 65535)
            damaged("a level is above 65535");
    }
    return levels;
}

static void share(Levels *table, uint32_t slices, Levels levels)
{
    for (uint32_t z = 0; z < slices; z++)
        table[z] = levels;
}

Levels *levels_read(Bytes *body, uint32_t slices, uint32_t voxel_bytes)
{
    Levels *table = take(slices, sizeof *table);
    uint32_t kind = read_u8(body);
    uint8_t every[32];
    for (int i = 0; i < 32; i++)
        every[i] = 255;
    if (voxel_bytes == 2 && kind == 0)
        share(table, slices, read_runs(body));
    else if (voxel_bytes == 2 && kind == 1)
        for (uint32_t z = 0; z < slices; z++)
            table[z] = read_runs(body);
    else if (voxel_bytes == 1 && kind == 0)
        share(table, slices, from_bitmap(every));
    else if (voxel_bytes == 1 && kind == 1)
        share(table, slices, from_bitmap(read_bytes(body, 32).at));
    else if (voxel_bytes == 1 && kind == 2)
        read_bitmaps(body, table, slices);
    else
        damaged("the kind of the level tables is unknown");
    return table;
}

uint32_t level_of(const Levels *levels, uint32_t symbol)
{
    uint32_t low = 0, high = levels->run_count;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (levels->runs[middle].symbol <= symbol)
            low = middle;
        else
            high = middle;
    }
    Run run = levels->runs[low];
    return levels->start + levels->step * (run.p + symbol - run.symbol);
}
