#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64, MOST_DIGITS = 4300 };

typedef struct {
    const uint8_t *at, *end;
} Text;

static void parse_value(Text *text, Json *value, int depth);

static int peek(const Text *text)
{
    return text->at < text->end ? *text->at : -1;
}

static void skip_space(Text *text)
{
    while (peek(text) == ' ' || peek(text) == '\t' || peek(text) == '\n' || peek(text) == '\r')
        text->at++;
}

static void expect(Text *text, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0)
        damaged("JSON: no \"%s\" where one must be", word);
    text->at += length;
}

static uint32_t parse_hex(Text *text)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(text);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            damaged("JSON: a wrong \\u");
        value = value * 16 + (uint32_t)digit;
        text->at++;
    }
    return value;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint32_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = count; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[count] | c);
    return count;
}

/* Section 8 writes UTF-8, which has no half of a surrogate pair: these are refused. */
static size_t parse_escape(Text *text, char *out)
{
    static const char plain[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    int c = peek(text);
    text->at++;
    if (c == 'u') {
        uint32_t code = parse_hex(text);
        if (code >= 0xD800 && code < 0xDC00) {
            expect(text, "\\u");
            uint32_t second = parse_hex(text);
            if (second < 0xDC00 || second > 0xDFFF)
                damaged("JSON: half of a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
        } else if (code >= 0xDC00 && code <= 0xDFFF) {
            damaged("JSON: half of a surrogate pair");
        }
        return put_utf8(out, code);
    }
    const char *found = c > 0 ? strchr(plain, c) : NULL;
    if (!found)
        damaged("JSON: an unknown escape");
    *out = means[found - plain];
    return 1;
}

/* Copies one character of UTF-8 that is not ASCII. */
static size_t parse_utf8(Text *text, char *out)
{
    uint32_t c = *text->at;
    size_t count = c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    if (count == 0 || (size_t)(text->end - text->at) < count)
        damaged("JSON: not UTF-8");
    c &= 0x7Fu >> count;
    for (size_t i = 1; i < count; i++) {
        if ((text->at[i] & 0xC0) != 0x80)
            damaged("JSON: not UTF-8");
        c = c << 6 | (text->at[i] & 0x3F);
    }
    if ((count == 3 && c < 0x800) || (count == 4 && c < 0x10000) || c > 0x10FFFF ||
        (c >= 0xD800 && c <= 0xDFFF))
        damaged("JSON: not UTF-8");
    memcpy(out, text->at, count);
    text->at += count;
    return count;
}

static char *parse_string(Text *text, size_t *length)
{
    expect(text, "\"");
    const uint8_t *scan = text->at;
    while (scan < text->end && *scan != '"')
        scan += *scan == '\\' && text->end - scan > 1 ? 2 : 1;
    char *out = take((size_t)(scan - text->at) + 8, 1);
    size_t size = 0;
    for (int c; (c = peek(text)) != '"';) {
        if (c < 0x20)
            damaged("JSON: a string does not end");
        if (c == '\\') {
            text->at++;
            size += parse_escape(text, out + size);
        } else if (c < 0x80) {
            out[size++] = (char)c;
            text->at++;
        } else {
            size += parse_utf8(text, out + size);
        }
    }
    text->at++;
    *length = size;
    return out;
}

static void skip_digits(Text *text)
{
    if (peek(text) < '0' || peek(text) > '9')
        damaged("JSON: a digit is missing");
    while (peek(text) >= '0' && peek(text) <= '9')
        text->at++;
}

static void parse_number(Text *text, Json *value)
{
    const uint8_t *start = text->at;
    value->kind = JSON_INTEGER;
    if (peek(text) == '-')
        text->at++;
    if (peek(text) == '0')
        text->at++;
    else
        skip_digits(text);
    if (peek(text) == '.') {
        text->at++;
        skip_digits(text);
        value->kind = JSON_REAL;
    }
    if (peek(text) == 'e' || peek(text) == 'E') {
        text->at++;
        if (peek(text) == '+' || peek(text) == '-')
            text->at++;
        skip_digits(text);
        value->kind = JSON_REAL;
    }
    value->length = (size_t)(text->at - start);
    if (value->kind == JSON_INTEGER && value->length - (*start == '-') > MOST_DIGITS)
        damaged("JSON: an integer has too many digits");
    value->text = take(value->length + 1, 1);
    memcpy(value->text, start, value->length);
    value->real = strtod(value->text, NULL);
    if (value->kind == JSON_REAL && value->real - value->real != 0)
        damaged("JSON: a number is too large");
}

static int compare_names(const void *first, const void *second)
{
    const Json *a = first, *b = second;
    size_t common = a->name_length < b->name_length ? a->name_length : b->name_length;
    int order = memcmp(a->name, b->name, common);
    return order ? order : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

/* UTF-8 keeps the order of code points, so the bytes of names are compared. */
static void sort_members(Json *value)
{
    if (value->count)
        qsort(value->items, value->count, sizeof *value->items, compare_names);
    for (size_t i = 1; i < value->count; i++)
        if (compare_names(value->items + i - 1, value->items + i) == 0)
            damaged("JSON: a name is repeated");
}

static void parse_items(Text *text, Json *value, int depth, char last)
{
    if (depth > DEEPEST)
        damaged("JSON: nested too deeply");
    text->at++;
    skip_space(text);
    size_t room = 0;
    while (peek(text) != last) {
        if (value->count) {
            expect(text, ",");
            skip_space(text);
        }
        if (value->count == room) {
            room = room ? 2 * room : 4;
            value->items = take_more(value->items, room, sizeof *value->items);
        }
        Json item = {0};
        if (value->kind == JSON_OBJECT) {
            item.name = parse_string(text, &item.name_length);
            skip_space(text);
            expect(text, ":");
            skip_space(text);
        }
        parse_value(text, &item, depth + 1);
        value->items[value->count++] = item;
        skip_space(text);
        if (peek(text) != ',' && peek(text) != last)
            damaged("JSON: a list or object does not end");
    }
    text->at++;
    if (value->kind == JSON_OBJECT)
        sort_members(value);
}

static void parse_value(Text *text, Json *value, int depth)
{
    int c = peek(text);
    if (c == '{') {
        value->kind = JSON_OBJECT;
        parse_items(text, value, depth, '}');
    } else if (c == '[') {
        value->kind = JSON_LIST;
        parse_items(text, value, depth, ']');
    } else if (c == '"') {
        value->kind = JSON_STRING;
        value->text = parse_string(text, &value->length);
    } else if (c == 't' || c == 'f' || c == 'n') {
        value->kind = c == 't' ? JSON_TRUE : c == 'f' ? JSON_FALSE : JSON_NULL;
        expect(text, c == 't' ? "true" : c == 'f' ? "false" : "null");
    } else {
        parse_number(text, value);
    }
}

Json *json_parse(const uint8_t *data, size_t size)
{
    Text text = {data, data + size};
    Json *value = take(1, sizeof *value);
    skip_space(&text);
    parse_value(&text, value, 1);
    skip_space(&text);
    if (text.at != text.end)
        damaged("JSON: more after its end");
    return value;
}
