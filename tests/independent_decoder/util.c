#define _POSIX_C_SOURCE 200809L
#include "util.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Piece {
    struct Piece *previous, *next;
    max_align_t data[];
} Piece;

static Piece *pieces;
static const char *path_to_remove;

void remove_on_failure(const char *path)
{
    path_to_remove = path;
}

static _Noreturn void leave(int code, const char *format, va_list arguments)
{
    fputs(code == 3 ? "damaged: " : "failed: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    if (path_to_remove)
        unlink(path_to_remove);
    give_all();
    exit(code);
}

_Noreturn void damaged(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    leave(3, format, arguments);
}

_Noreturn void failed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    leave(1, format, arguments);
}

static Piece *piece_of(void *memory)
{
    return (Piece *)((char *)memory - offsetof(Piece, data));
}

static void link_piece(Piece *piece)
{
    piece->previous = NULL;
    piece->next = pieces;
    if (pieces)
        pieces->previous = piece;
    pieces = piece;
}

static void unlink_piece(Piece *piece)
{
    if (piece->next)
        piece->next->previous = piece->previous;
    if (piece->previous)
        piece->previous->next = piece->next;
    else
        pieces = piece->next;
}

static size_t piece_bytes(size_t count, size_t size)
{
    if (size && count > ((size_t)1 << 40) / size)
        failed("no memory");
    return sizeof(Piece) + count * size;
}

void *take(size_t count, size_t size)
{
    Piece *piece = calloc(1, piece_bytes(count, size));
    if (!piece)
        failed("no memory");
    link_piece(piece);
    return piece->data;
}

void *take_more(void *memory, size_t count, size_t size)
{
    if (!memory)
        return take(count, size);
    Piece *old = piece_of(memory);
    unlink_piece(old);
    Piece *piece = realloc(old, piece_bytes(count, size));
    if (!piece) {
        link_piece(old);
        failed("no memory");
    }
    link_piece(piece);
    return piece->data;
}

void give(void *memory)
{
    if (!memory)
        return;
    unlink_piece(piece_of(memory));
    free(piece_of(memory));
}

void give_all(void)
{
    while (pieces)
        give(pieces->data);
}

Bytes read_bytes(Bytes *from, size_t count)
{
    if (from->left < count)
        damaged("bytes are missing");
    Bytes part = {from->at, count};
    if (count)
        from->at += count;
    from->left -= count;
    return part;
}

uint32_t read_u8(Bytes *from)
{
    return read_bytes(from, 1).at[0];
}

uint32_t read_u16(Bytes *from)
{
    const uint8_t *at = read_bytes(from, 2).at;
    return at[0] | (uint32_t)at[1] << 8;
}

uint32_t read_u32(Bytes *from)
{
    return little32(read_bytes(from, 4).at);
}

uint64_t read_u64(Bytes *from)
{
    return little64(read_bytes(from, 8).at);
}

uint32_t little32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t little64(const uint8_t *at)
{
    return little32(at) | (uint64_t)little32(at + 4) << 32;
}

void put_little32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

char *join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = take(size, 1);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

bool read_file(const char *path, uint64_t limit, uint8_t **memory, size_t *size)
{
    struct stat status;
    if (stat(path, &status) != 0 || S_ISDIR(status.st_mode))
        return false;
    if (!S_ISREG(status.st_mode))
        damaged("%s is not a file", path);
    if ((uint64_t)status.st_size > limit)
        damaged("%s is too large", path);
    FILE *file = fopen(path, "rb");
    if (!file)
        failed("cannot open %s", path);
    *size = (size_t)status.st_size;
    *memory = take(*size + 1, 1);
    size_t got = fread(*memory, 1, *size, file);
    fclose(file);
    if (got != *size)
        failed("cannot read %s", path);
    return true;
}
