/* Access to parsed JSON, and its canonical form. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

static bool same(const char *text, size_t length, const char *with)
{
    return length == strlen(with) && memcmp(text, with, length) == 0;
}

const Json *json_member(const Json *object, const char *name)
{
    if (object && object->kind == JSON_OBJECT)
        for (size_t i = 0; i < object->count; i++)
            if (same(object->items[i].name, object->items[i].name_length, name))
                return object->items + i;
    return NULL;
}

const Json *json_need(const Json *object, const char *name, JsonKind kind)
{
    const Json *value = json_member(object, name);
    if (!value || value->kind != kind)
        damaged("the field \"%s\" is missing or of a wrong type", name);
    return value;
}

bool json_bool(const Json *object, const char *name)
{
    const Json *value = json_member(object, name);
    if (!value || (value->kind != JSON_TRUE && value->kind != JSON_FALSE))
        damaged("the field \"%s\" is neither true nor false", name);
    return value->kind == JSON_TRUE;
}

int64_t json_integer(const Json *value, int64_t low, int64_t high, const char *what)
{
    if (!value || value->kind != JSON_INTEGER || value->length > 18)
        damaged("%s is no integer that is allowed", what);
    int64_t number = strtoll(value->text, NULL, 10);
    if (number < low || number > high)
        damaged("%s is not within its limits", what);
    return number;
}

int64_t json_number(const Json *object, const char *name, int64_t low, int64_t high)
{
    return json_integer(json_member(object, name), low, high, name);
}

bool json_is(const Json *value, const char *text)
{
    return value && value->kind == JSON_STRING && same(value->text, value->length, text);
}

static void digest_text(Sha256 *sha, const char *text)
{
    sha256_add(sha, text, strlen(text));
}

static void digest_string(Sha256 *sha, const char *text, size_t length)
{
    static const char special[] = "\"\\\b\t\n\f\r", letters[] = "\"\\btnfr";
    digest_text(sha, "\"");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *found = c ? strchr(special, c) : NULL;
        char escape[8];
        if (found)
            snprintf(escape, sizeof escape, "\\%c", letters[found - special]);
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else
            snprintf(escape, sizeof escape, "%c", c);
        if (found || c < 0x20)
            digest_text(sha, escape);
        else
            sha256_add(sha, text + i, 1);
    }
    digest_text(sha, "\"");
}

/* The fewest digits that read back as the number, and of these the nearest to it.
   At a power of two the nearest number of so many digits may not read back while its
   neighbour does, so both neighbours are tried. The value is digits * 10**exponent. */
static void shortest(double value, unsigned long long *digits, int *exponent)
{
    for (int precision = 1; precision <= 17; precision++) {
        char text[40], plain[40];
        snprintf(text, sizeof text, "%.*e", precision - 1, value);
        size_t size = 0;
        for (char *at = text; *at != 'e'; at++)
            if (*at != '.')
                plain[size++] = *at;
        plain[size] = 0;
        unsigned long long nearest = strtoull(plain, NULL, 10);
        *exponent = atoi(strchr(text, 'e') + 1) - (precision - 1);
        for (int step = 0; step < 3; step++) {
            *digits = step == 0 ? nearest : step == 1 ? nearest + 1 : nearest - 1;
            snprintf(text, sizeof text, "%llue%d", *digits, *exponent);
            if (strtod(text, NULL) == value)
                return;
        }
    }
}

/* A binary64 number as Python's repr writes it. */
static void digest_real(Sha256 *sha, double value)
{
    char digits[32], text[64];
    unsigned long long number = 0;
    int exponent = 0;
    bool negative = value < 0 || (value == 0 && 1 / value < 0);
    if (value != 0)
        shortest(negative ? -value : value, &number, &exponent);
    while (number && number % 10 == 0) {
        number /= 10;
        exponent++;
    }
    int count = snprintf(digits, sizeof digits, "%llu", number);
    int point = value == 0 ? 1 : exponent + count; /* digits before the decimal point */
    if (negative)
        digest_text(sha, "-");
    if (point > 16 || point < -3) {
        snprintf(text, sizeof text, "%c%s%se%c%02d", digits[0], count > 1 ? "." : "", digits + 1,
                 point > 0 ? '+' : '-', abs(point - 1));
        digest_text(sha, text);
    } else if (point <= 0) {
        snprintf(text, sizeof text, "0.%.*s%s", -point, "000", digits);
        digest_text(sha, text);
    } else {
        for (int i = 0; i < point; i++)
            sha256_add(sha, i < count ? digits + i : "0", 1);
        digest_text(sha, ".");
        digest_text(sha, count > point ? digits + point : "0");
    }
}

void json_digest(Sha256 *sha, const Json *value, const char *leave_out)
{
    static const char *const words[] = {"null", "false", "true"};
    bool object = value->kind == JSON_OBJECT, first = true;
    switch (value->kind) {
    case JSON_NULL: case JSON_FALSE: case JSON_TRUE:
        digest_text(sha, words[value->kind]);
        break;
    case JSON_INTEGER:
        digest_text(sha, strcmp(value->text, "-0") == 0 ? "0" : value->text);
        break;
    case JSON_REAL:
        digest_real(sha, value->real);
        break;
    case JSON_STRING:
        digest_string(sha, value->text, value->length);
        break;
    case JSON_LIST: case JSON_OBJECT:
        digest_text(sha, object ? "{" : "[");
        for (size_t i = 0; i < value->count; i++) {
            const Json *item = value->items + i;
            if (object && leave_out && same(item->name, item->name_length, leave_out))
                continue;
            if (!first)
                digest_text(sha, ",");
            first = false;
            if (object) {
                digest_string(sha, item->name, item->name_length);
                digest_text(sha, ":");
            }
            json_digest(sha, item, NULL);
        }
        digest_text(sha, object ? "}" : "]");
    }
}
