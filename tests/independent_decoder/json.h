/* JSON of RFC 8259, and its canonical form (FORMAT.md, section 8). */
#ifndef JSON_H
#define JSON_H

#include "hash.h"

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_INTEGER, JSON_REAL, JSON_STRING, JSON_LIST,
               JSON_OBJECT } JsonKind;

typedef struct Json {
    JsonKind kind;
    char *text;         /* of a string, decoded; of a number, as it stands */
    size_t length;
    char *name;         /* of a member of an object */
    size_t name_length;
    struct Json *items; /* of a list in order; of an object sorted by their names */
    size_t count;
    double real;
} Json;

/* Refuses text that is not JSON, that nests too deeply (section 9), and repeated names. */
Json *json_parse(const uint8_t *text, size_t size);

/* The member of an object, or NULL if it has none or is no object. */
const Json *json_member(const Json *object, const char *name);
/* These refuse another type, and a missing member. */
const Json *json_need(const Json *object, const char *name, JsonKind kind);
bool json_bool(const Json *object, const char *name);
int64_t json_integer(const Json *value, int64_t low, int64_t high, const char *what);
int64_t json_number(const Json *object, const char *name, int64_t low, int64_t high);
bool json_is(const Json *value, const char *text);

/* Adds the canonical form to a digest, without the member `leave_out` of the top. */
void json_digest(Sha256 *sha, const Json *value, const char *leave_out);

#endif
