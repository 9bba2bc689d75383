/* A line, member by member: what its known fields hold, and which members fit no field (fitting.py). */
#ifndef SHIPPER_LINE_H
#define SHIPPER_LINE_H

#include "framer.h"

/* Where things stand in a line of ours: records.py. */
static const char LINE_START[] = "{\"@timestamp\":\"", ID_MARK[] = "Z\",\"event\":{\"id\":\"", DATASET_MARK[] = "\",\"dataset\":\"";
enum { TIME_START = 15, TIME_LENGTH = 27, ID_MARK_START = 41, ID_START = 59, ID_LENGTH = 32, DATASET_MARK_START = 91, DATASET_START = 104 };

enum { ID_LIMIT = 512, MEMBER_LIMIT = 96, FLATTENED_LIMIT = 10 };

struct member { at start, value, end; Py_ssize_t name_length; unsigned char aside, drop; };

struct line {
    at start;
    struct scan scan;
    const Framer *framer;
    int fits; /* whether it is held against the mapping */
    struct span slots[SLOTS];
    at dataset_name; /* where the member `dataset` begins */
    at event_open;
    struct member members[MEMBER_LIMIT];
    int count;
};

static Py_ssize_t size_of(struct span s) { return s.end - s.start; }
static int is_text(struct span s) { return s.start && *s.start == '"'; }
static int is_null(struct span s) { return !s.start || *s.start == 'n'; }
static int is_plain(struct span s) { return is_text(s) && !memchr(s.start, '\\', size_of(s)); }
static int has(struct span s, const char *text) { return is_text(s) && size_of(s) == (Py_ssize_t)strlen(text) + 2 && !memcmp(s.start + 1, text, size_of(s) - 2); }

/* Whether an array or object may stand as it is in a field that is no object: where no object is in it. */
static int has_object(at start, at end) { return memchr(start, '{', end - start) != NULL; }

/* Whether this is plainly a name that a field can have, of one part. It stands in a line that ends at `end`. */
static inline int is_simple(at text, Py_ssize_t length, at end)
{
    Py_ssize_t i = 0;
#ifdef __SSE2__
    for (; i < length && end - text - i >= 16; i += 16) {
        __m128i part = _mm_loadu_si128((const __m128i *)(text + i));
        __m128i found = _mm_or_si128(part, _mm_or_si128(_mm_cmpeq_epi8(part, _mm_set1_epi8('.')), _mm_cmpeq_epi8(part, _mm_set1_epi8('\\'))));
        int which = _mm_movemask_epi8(found), rest = (int)(length - i);
        if (which & (rest < 16 ? (1 << rest) - 1 : 0xffff))
            return 0;
    }
#endif
    for (; i < length; i++)
        if (text[i] == '.' || text[i] == '\\' || text[i] >= 0x80)
            return 0;
    return length && text[0] > ' ';
}

/* Whether the value may be in its field; -1 where Python has to say. */
static int takes(const struct line *l, const struct field *field, at start, at end)
{
    switch (field->kind) {
    case OBJECT:
        return *start == '[' ? -1 : *start == '{' || *start == 'n';
    case FLATTENED:
        if (*start == '{')
            return l->scan.depth > FLATTENED_LIMIT || l->scan.odd_names ? -1 : 1;
        return *start == '[' ? -1 : *start == 'n';
    case LEAF:
        return *start == '{' ? 0 : *start == '[' && has_object(start, end) ? -1 : 1;
    default:
        return 1;
    }
}

static at walk(struct line *l, at p, const struct field *in);

/* A member's value. `field` is what is known of its name, or NULL. */
static at member_value(struct line *l, at p, const struct field *field, at name_start)
{
    at start = p;
    l->scan.depth = 0;
    p = field && field->count && *p == '{' ? walk(l, p, field) : value(&l->scan, p);
    if (p && field && field->slot >= 0) {
        struct span *slot = &l->slots[field->slot];
        if (slot->start)
            return NULL; /* there twice */
        *slot = (struct span){start, p};
        if (field->slot == DATASET)
            l->dataset_name = name_start;
    }
    return p;
}

/* An object within the document's, of whose members some are known. */
static at walk(struct line *l, at p, const struct field *in)
{
    p = blank(p + 1);
    if (*p == '}')
        return p + 1;
    for (;;) {
        at start = p, after;
        if (!(after = name(&l->scan, p)))
            return NULL;
        Py_ssize_t length = l->scan.name_end - start - 1;
        if (l->fits && in->kind == OBJECT && !is_simple(start + 1, length, l->scan.end))
            return NULL;
        const struct field *field = find(in, start + 1, length);
        if (!(p = member_value(l, after, field, start)))
            return NULL;
        if (l->fits && field && takes(l, field, after, p) != 1)
            return NULL;
        p = blank(p);
        if (*p == '}')
            return p + 1;
        if (*p != ',')
            return NULL;
        p = blank(p + 1);
    }
}

/* Whether the field that a name of several parts means takes what is no object; -1 where Python has to say. */
static int takes_parts(const struct field *in, at text, Py_ssize_t length)
{
    at end = text + length;
    for (int first = 1;; first = 0) {
        at dot = memchr(text, '.', end - text), stop = dot ? dot : end;
        if (!is_simple(text, stop - text, end))
            return -1;
        const struct field *field = in ? find(in, text, stop - text) : NULL;
        if (first && !field)
            in = NULL; /* not mapped: only its form counts */
        else if (in && (!field || (dot ? field->kind != OBJECT : field->kind != LEAF)))
            return -1;
        else
            in = field;
        if (!dot)
            return 1;
        text = dot + 1;
    }
}

/* The whole line, member by member. */
static int document(struct line *l, at p, const struct field *fields)
{
    at end = l->scan.end;
    if (*p != '{' || end[-1] != '}')
        return 0;
    p = blank(p + 1);
    if (*p == '}')
        return p + 1 == end;
    for (;;) {
        if (l->count == MEMBER_LIMIT)
            return 0;
        struct member *m = &l->members[l->count++];
        *m = (struct member){.start = p};
        l->scan.odd_names = 0;
        if (!(m->value = name(&l->scan, p)))
            return 0;
        m->name_length = l->scan.name_end - p - 1;
        int simple = !l->fits || is_simple(p + 1, m->name_length, end), fit = 1;
        if (l->fits && m->name_length && p[1] == '_')
            fit = 0;
        const struct field *field = find(fields, p + 1, m->name_length);
        if (!simple && fit) {
            if (field && field->slot == LOG_LEVEL)
                fit = takes_parts(fields, p + 1, m->name_length);
            else if (!field)
                fit = takes_parts(fields, p + 1, m->name_length);
            if (fit < 0 || *m->value == '{' || *m->value == '[')
                return 0;
        } else if (!simple)
            return 0;
        if (!(m->end = p = member_value(l, m->value, field, m->start)))
            return 0;
        if (field && field->slot == EVENT && *m->value == '{')
            l->event_open = m->value;
        if (l->fits && fit && field && (fit = takes(l, field, m->value, m->end)) < 0)
            return 0;
        if (!fit) {
            if (l->scan.odd_names || l->scan.depth >= FLATTENED_LIMIT)
                return 0;
            m->aside = 1;
        }
        p = blank(p);
        if (*p == '}')
            return p + 1 == end;
        if (*p != ',')
            return 0;
        p = blank(p + 1);
    }
}

static const struct dataset *dataset_of(const Framer *f, at text, Py_ssize_t length)
{
    for (int i = 0; i < f->dataset_count; i++)
        if (f->datasets[i].name_length == length && !memcmp(f->datasets[i].name, text, length))
            return &f->datasets[i];
    return NULL;
}

#endif
