/* JSON, read through without being built. The grammar is RFC 8259's, the encoding RFC 3629's, no wider than orjson's.
 *
 * Each function begins where its part begins, and returns where that ends; NULL if it is none. A line ends in a
 * newline, which is part of no value: none of them reads beyond it. */
#ifndef SHIPPER_JSON_H
#define SHIPPER_JSON_H

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef const unsigned char *at;

enum { DEPTH_LIMIT = 64 };   /* deeper ones are rare, and no worse for being looked at in Python */
enum { NAME_LIMIT = 512 };   /* fitting.NAME_LIMIT; in bytes here, which are no fewer than characters */

/* A line that is read through, and what was met in it since the fields were cleared. */
struct scan {
    at end;        /* its newline */
    at name_end;   /* of the last name: its closing quote */
    int depth;     /* objects within each other */
    int odd_names; /* whether a name is long, or anything has the escape u0000: neither may go into a flattened field */
};

static int is_digit(unsigned char c) { return (unsigned char)(c - '0') < 10; }
static int is_hex(unsigned char c) { return is_digit(c) | ((unsigned char)((c | 32) - 'a') < 6); }
static int is_alnum(unsigned char c) { return is_digit(c) | ((unsigned char)((c | 32) - 'a') < 26); }

static at well_encoded(at p, at end)
{
    unsigned char c = *p;
    int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
    if (c < 0xC2 || c > 0xF4 || end - p <= more)
        return NULL;
    for (int i = 1; i <= more; i++)
        if ((p[i] & 0xC0) != 0x80)
            return NULL;
    if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) || (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F))
        return NULL; /* longer than it has to be, half of a pair, beyond the last */
    return p + more + 1;
}

/* Whether uXXXX stands there. The newline is no digit: never beyond it. */
static int is_unit(at p) { return *p == 'u' && is_hex(p[1]) && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]); }

static at escaped(struct scan *s, at p)
{
    switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return p + 2;
    default:
        if (!is_unit(p + 1))
            return NULL;
        if (memcmp(p + 2, "0000", 4) == 0)
            s->odd_names = 1;
        if ((p[2] | 32) != 'd' || p[3] < '8')
            return p + 6;
        /* the first half of a pair, and then the second */
        if ((p[3] | 32) > 'b' || p[6] != '\\' || !is_unit(p + 7) || (p[8] | 32) != 'd' || (p[9] | 32) < 'c')
            return NULL;
        return p + 12;
    }
}

/* Where the next control character, quote, backslash or byte of no ASCII stands. There is one: the newline. */
static inline at special(at p, at end)
{
#ifdef __SSE2__ /* every x86-64 has it */
    for (; end - p >= 16; p += 16) {
        __m128i part = _mm_loadu_si128((const __m128i *)p);
        __m128i found = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(part, _mm_set1_epi8('"')), _mm_cmpeq_epi8(part, _mm_set1_epi8('\\'))),
            _mm_cmplt_epi8(part, _mm_set1_epi8(0x20))); /* signed: what is no ASCII is less than nothing */
        int which = _mm_movemask_epi8(found);
        if (which)
            return p + __builtin_ctz(which);
    }
#endif
    while (*p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* From where a text has a character that is none of the plain ones. */
static at string_from(struct scan *s, at p)
{
    while (*p != '"') {
        p = *p == '\\' ? escaped(s, p) : *p >= 0x80 ? well_encoded(p, s->end) : NULL;
        if (!p)
            return NULL;
        p = special(p, s->end);
    }
    return p + 1;
}

static inline at string(struct scan *s, at p)
{
    p = special(p + 1, s->end);
    return *p == '"' ? p + 1 : string_from(s, p);
}

static at number(at p)
{
    p += *p == '-';
    if (!is_digit(*p))
        return NULL;
    if (*p++ != '0')
        while (is_digit(*p))
            p++;
    if (*p == '.') {
        if (!is_digit(*++p))
            return NULL;
        while (is_digit(*p))
            p++;
    }
    if ((*p | 32) == 'e') {
        p++;
        p += *p == '+' || *p == '-';
        if (!is_digit(*p))
            return NULL;
        while (is_digit(*p))
            p++;
    }
    return p;
}

static at word(at p, at end, const char *expected, int length)
{
    return end - p >= length && memcmp(p, expected, length) == 0 ? p + length : NULL;
}

static inline at blank(at p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r')
        p++;
    return p;
}

/* From a name's opening quote to behind the colon after it. s->name_end is where its closing quote stands. */
static inline at name(struct scan *s, at p)
{
    at start = p;
    if (*p != '"' || !(p = string(s, p)))
        return NULL;
    s->name_end = p - 1;
    if (p - start - 2 > NAME_LIMIT)
        s->odd_names = 1;
    p = blank(p);
    return *p == ':' ? blank(p + 1) : NULL;
}

static at value(struct scan *s, at p)
{
    char closes[DEPTH_LIMIT]; /* what ends each of those that are open */
    int depth = 0, objects = 0;
    for (;;) {
        /* a value */
        switch (*p) {
        case '{': case '[':
            if (depth == DEPTH_LIMIT)
                return NULL;
            closes[depth++] = *p == '{' ? '}' : ']';
            if (*p == '{' && ++objects > s->depth)
                s->depth = objects;
            p = blank(p + 1);
            if (*p == closes[depth - 1])
                break; /* empty: ended below */
            if (closes[depth - 1] == '}' && !(p = name(s, p)))
                return NULL;
            continue;
        case '"': p = string(s, p); break;
        case 't': p = word(p, s->end, "true", 4); break;
        case 'f': p = word(p, s->end, "false", 5); break;
        case 'n': p = word(p, s->end, "null", 4); break;
        default: p = number(p);
        }
        if (!p)
            return NULL;
        /* what follows it */
        for (;;) {
            if (depth == 0)
                return p;
            p = blank(p);
            if (*p != closes[depth - 1])
                break;
            objects -= closes[--depth] == '}';
            p++;
        }
        if (*p != ',')
            return NULL;
        p = blank(p + 1);
        if (closes[depth - 1] == '}' && !(p = name(s, p)))
            return NULL;
    }
}

#endif
