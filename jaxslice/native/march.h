/* The native engine: one block's march, from symbols to a message and back. See FORMAT.md.
 *
 * Plain C11. No allocation, no threads, no global state: the caller hands over all memory, and
 * blocks may run in any number of threads. Everything that is handed over is checked before it is
 * used (it may come from a damaged or hostile archive); what does not fit gives an error code.
 */
#ifndef JAXSLICE_MARCH_H
#define JAXSLICE_MARCH_H

#include <stddef.h>
#include <stdint.h>

#define MARCH_API __attribute__((visibility("default")))

/* Instruction sets. `march_best_set` chooses; the caller may force any that `march_has_set`. */
enum march_set {
    MARCH_PORTABLE = 0,
    MARCH_AVX2 = 1,
    MARCH_AVX512 = 2,
    MARCH_NEON = 3, /* with its dot product */
    MARCH_SETS = 4
};

/* Errors are negative, so that one integer carries a count or an error. */
enum march_error {
    MARCH_OK = 0,
    MARCH_BAD_ARCHITECTURE = -1, /* a field of the architecture is out of its range */
    MARCH_BAD_NETWORK = -2,      /* sizes do not fit, or a sum could leave 2**24 */
    MARCH_BAD_SHAPE = -3,        /* block shape or extent */
    MARCH_BAD_LEVELS = -4,       /* a slice with less than 1 or too many levels */
    MARCH_BAD_SYMBOL = -5,       /* a symbol to encode that its slice has no level for */
    MARCH_BAD_STATE = -6,        /* a lane's first state is not within 2**31 .. 2**63 - 1 */
    MARCH_TOO_SHORT = -7,        /* the message ends before its voxels do */
    MARCH_UNFINISHED = -8,       /* words are left, or a lane does not end at 2**31 */
    MARCH_NO_ROOM = -9,          /* the scratch memory or the message's room is too small */
    MARCH_NO_SUCH_SET = -10,     /* this core or this library lacks the instruction set */
    MARCH_NULL = -11,            /* a pointer is missing */
};

/* What a block is coded with. All counts are checked against the sizes given here. */
struct march_task {
    int32_t context_count;     /* C */
    int32_t activity_count;    /* A */
    int32_t activity_offset;
    int32_t fallback;          /* index of a context voxel */
    int32_t shear;
    int32_t components;        /* K */
    int32_t hidden_count;      /* hidden layers, 1 to 4 */
    int32_t hidden[4];         /* their units; those that are not there are ignored */
    int32_t block_shape[3];    /* z, y, x */
    int32_t extent[3];         /* z, y, x, each at least 1 */
    int32_t level_count_size;  /* entries of level_counts: extent[0] */
    int32_t voxel_bits;        /* 8 or 16: of the symbols, and 2**voxel_bits levels at most */
    int64_t weights_size;      /* entries of weights and of biases: what the architecture says */
    int64_t biases_size;
    const int32_t *context;    /* [C][3]: dz, dy, dx */
    const int8_t *weights;     /* all layers, row by row */
    const int32_t *biases;     /* all layers */
    const int32_t *level_counts; /* levels of each slice of the extent */
};

/* Bytes of scratch memory that `march_decode` and `march_encode` need for the task, or an error. */
MARCH_API int64_t march_scratch_bytes(const struct march_task *task, int32_t set);

/* Decodes a message of `words` words to the symbols of the extent, [z][y][x], x fastest: uint8_t
 * or uint16_t, as the task says. `symbols_size` must be their number. Returns 0 or an error; after one the symbols are garbage. */
MARCH_API int64_t march_decode(const struct march_task *task, int32_t set, const uint32_t *message,
                               int64_t words, void *symbols, int64_t symbols_size,
                               void *scratch, int64_t scratch_bytes);

/* Encodes the symbols of the extent. The message is written so that it ends at the end of
 * `message`, which has room for `words` words. Returns the message's words, or an error. */
MARCH_API int64_t march_encode(const struct march_task *task, int32_t set, const void *symbols,
                               int64_t symbols_size, uint32_t *message, int64_t words,
                               void *scratch, int64_t scratch_bytes);

/* Whether this core and this library have an instruction set, and the fastest that they have. */
MARCH_API int32_t march_has_set(int32_t set);
MARCH_API int32_t march_best_set(void);

/* sizeof(struct march_task), so that a caller in another language can check its own layout. */
MARCH_API int64_t march_task_bytes(void);

/* The digest of the sources that the library was compiled from, as build.py makes it. */
MARCH_API const char *march_source_digest(void);

#endif
