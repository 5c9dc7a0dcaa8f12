/* Errors, memory, files and bounded reading. */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A stretch of bytes that is read from its front. */
typedef struct {
    const uint8_t *at;
    size_t left;
} Bytes;

/* Ends the program with code 3: the archive is damaged or not understood. */
_Noreturn void damaged(const char *format, ...);
/* Ends the program with code 1: wrong use, no memory, no room. */
_Noreturn void failed(const char *format, ...);
/* The file that is removed when the program ends by one of the two above. */
void remove_on_failure(const char *path);

/* Memory that is zero. All of it is given back at the end of the program. */
void *take(size_t count, size_t size);
void *take_more(void *memory, size_t count, size_t size);
void give(void *memory);
void give_all(void);

/* These refuse the archive if bytes are missing. */
Bytes read_bytes(Bytes *from, size_t count);
uint32_t read_u8(Bytes *from);
uint32_t read_u16(Bytes *from);
uint32_t read_u32(Bytes *from);
uint64_t read_u64(Bytes *from);

uint32_t little32(const uint8_t *at);
uint64_t little64(const uint8_t *at);
void put_little32(uint8_t *at, uint32_t value);

/* The path "folder/name" in new memory. */
char *join(const char *folder, const char *name);
/* Reads a whole file; false if there is none. The caller gives the memory back. */
bool read_file(const char *path, uint64_t limit, uint8_t **memory, size_t *size);

static inline int64_t clip(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

#endif
