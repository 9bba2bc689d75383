/* The document of an application's line: document.py's. */
#ifndef SHIPPER_APPLICATION_H
#define SHIPPER_APPLICATION_H

#include "line_ids.h"

/* Whether it has the fixed beginning of ours, and the dataset that it names: NULL if not. */
static const struct dataset *own_dataset(const Framer *f, at p, at end)
{
    if (end - p <= DATASET_START + 10 || memcmp(p, LINE_START, TIME_START) || memcmp(p + ID_MARK_START, ID_MARK, sizeof ID_MARK - 1)
        || memcmp(p + DATASET_MARK_START, DATASET_MARK, sizeof DATASET_MARK - 1))
        return NULL;
    int is_id = 1;
    for (int i = 0; i < ID_LENGTH; i++)
        is_id &= is_alnum(p[ID_START + i]); /* without a branch for each of them */
    if (!is_id)
        return NULL;
    at quote = memchr(p + DATASET_START, '"', 16);
    return quote ? dataset_of(f, p + DATASET_START, quote - p - DATASET_START) : NULL;
}

static int is_plausible(const Framer *f, int64_t us) { return f->earliest <= us && us <= f->latest; }

/* document._stated_time. 0: Python has to say. `none`: it states no time. */
static int stated_time(const struct line *l, int64_t *us, int *keeps, int *none)
{
    const Framer *f = l->framer;
    *none = 0;
    if (!is_null(l->slots[STAMP]))
        return time_of(l->slots[STAMP].start, l->slots[STAMP].end, us, keeps) == A_TIME && is_plausible(f, *us);
    for (int slot = TIMESTAMP; slot <= RECORD_TIME; slot++) {
        if (!l->slots[slot].start || (slot == RECORD_TIME && !is_text(l->slots[slot])))
            continue;
        enum parsed parsed = time_of(l->slots[slot].start, l->slots[slot].end, us, keeps);
        if (parsed == PERHAPS_A_TIME)
            return 0;
        if (parsed == A_TIME && is_plausible(f, *us))
            return *keeps = 0, 1;
    }
    *us = f->now, *keeps = 0, *none = 1;
    return 1;
}

static const char *level_name(struct span s)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    return size_of(s) == 2 && s.start[0] >= '1' && s.start[0] <= '6' && s.start[1] == '0' ? names[s.start[0] - '1'] : NULL;
}

/* document._level. The level's text with its quotes, or as a word of ours; neither if there is none. */
static void level(const struct line *l, struct span *text, const char **ours)
{
    *text = (struct span){NULL, NULL}, *ours = NULL;
    for (int slot = LEVEL; slot <= RECORD_LEVEL; slot++) {
        struct span s = l->slots[slot];
        if (is_text(s)) {
            *text = s;
            return;
        }
        if (s.start && (*ours = level_name(s)))
            return;
    }
}

static int is_kept_log(const struct line *l, enum slot slot)
{
    if (!l->slots[slot].start)
        return 0;
    for (int i = 0; i < l->count; i++)
        if (l->members[i].value == l->slots[slot].start)
            return !l->members[i].aside;
    return 0;
}

/* Whether one that is moved aside has its name twice: of such a name the last counts, and Python has to say. */
static int has_aside_twice(const struct line *l)
{
    for (int i = 0; i < l->count; i++)
        for (int j = 0; l->members[i].aside && j < l->count; j++)
            if (j != i && l->members[j].name_length == l->members[i].name_length
                && !memcmp(l->members[j].start, l->members[i].start, l->members[i].name_length + 2))
                return 1;
    return 0;
}

static char *put_members(char *out, const struct line *l, int *first)
{
    for (int i = 0; i < l->count; i++) {
        const struct member *m = &l->members[i];
        if (m->aside || m->drop)
            continue;
        if (!*first)
            *out++ = ',';
        *first = 0;
        out = put(out, m->start, m->end - m->start);
    }
    return out;
}

static void drop(struct line *l, at value)
{
    for (int i = 0; i < l->count; i++)
        if (l->members[i].value == value)
            l->members[i].drop = 1;
}

/* The event with its dataset first: what stands before and behind the dataset that it had stays. */
static char *put_event(char *out, const struct line *l)
{
    out = put_text(out, "\"event\":{\"dataset\":\"rq.app\"");
    if (!l->event_open)
        return put_text(out, "}");
    at start = blank(l->event_open + 1), end = l->slots[EVENT].end - 1; /* within the braces */
    at cut = l->dataset_name ? l->dataset_name : end, go_on = l->dataset_name ? l->slots[DATASET].end : end;
    while (cut > start && (cut[-1] == ' ' || cut[-1] == '\t' || cut[-1] == '\r' || cut[-1] == ','))
        cut--;
    if (cut > start)
        *out++ = ',', out = put(out, start, cut - start);
    out = put(out, go_on, end - go_on);
    return put_text(out, "}");
}

/* An application's line. Returns where the output ends; NULL if Python has to look at it, and *odd_memory is not set. */
static char *put_application(char *out, struct line *l, const struct dataset *d, int64_t us, int none, int keeps, int64_t offset, at p, int *verbatim)
{
    const Framer *f = l->framer;
    at end = l->scan.end;
    struct span id = l->slots[ID], claimed = l->slots[DATASET];
    int is_event = l->event_open != NULL;
    int keeps_event = is_event && has(claimed, "rq.app");
    if (is_event && is_text(claimed) && !is_plain(claimed))
        return NULL;
    int foreign = is_event && !keeps_event && is_text(claimed) && dataset_of(f, claimed.start + 1, size_of(claimed) - 2);
    if (is_event && is_text(id) && !is_plain(id))
        return NULL;

    struct span message = {NULL, NULL}, level_text = {NULL, NULL};
    const char *level_ours = NULL;
    int has_message = !is_null(l->slots[MESSAGE]) && is_kept_log(l, MESSAGE);
    if (!has_message)
        for (int slot = MSG; slot <= TEXT && !message.start; slot++)
            if (is_text(l->slots[slot]))
                message = l->slots[slot];
    if (!is_kept_log(l, LOG) && !is_kept_log(l, LOG_LEVEL))
        level(l, &level_text, &level_ours);

    int asides = 0;
    for (int i = 0; i < l->count; i++)
        asides += l->members[i].aside;
    int dataset_aside = is_event && !keeps_event && !is_null(claimed);

    if (asides && has_aside_twice(l))
        return NULL;
    if ((asides || dataset_aside) && !is_null(l->slots[APP]))
        return NULL; /* beside what is there: the names have to be compared */
    if (foreign && !is_null(l->slots[TAGS]))
        return NULL;
    if (dataset_aside && *claimed.start != '"' && (*claimed.start == '{' || *claimed.start == '['))
        return NULL;

    out = put_head(out, d, us); /* from here on it is taken: its id may be waited for */
    if (is_event && is_text(id) && size_of(id) > 2 && size_of(id) <= ID_LIMIT + 2)
        out = put(out, id.start + 1, size_of(id) - 2);
    else if (!(out = put_line_id(out, f, none ? 0 : us, offset, p, end)))
        return NULL;
    out = put_text(out, "\"}}\n");

    if (keeps && keeps_event && !asides && !message.start && !level_text.start && !level_ours) {
        out = put(out, p, end - p);
        *out++ = '\n';
        return out;
    }
    *verbatim = 0;
    int first = 1;
    *out++ = '{';
    if (!keeps) {
        if (l->slots[STAMP].start)
            drop(l, l->slots[STAMP].start);
        out = put_text(put_time(put_text(out, "\"@timestamp\":\""), us), "\"");
        first = 0;
    }
    if (!keeps_event) {
        if (!first)
            *out++ = ',';
        first = 0;
        out = put_event(out, l);
        if (l->slots[EVENT].start && (is_event || is_null(l->slots[EVENT])))
            drop(l, l->slots[EVENT].start);
    }
    if (message.start && l->slots[MESSAGE].start && is_kept_log(l, MESSAGE))
        drop(l, l->slots[MESSAGE].start); /* null */
    if (foreign && l->slots[TAGS].start)
        drop(l, l->slots[TAGS].start);
    if ((asides || dataset_aside) && l->slots[APP].start)
        drop(l, l->slots[APP].start);
    out = put_members(out, l, &first);
    if (message.start)
        out = put_span(put_text(out, ",\"message\":"), message);
    if (level_text.start)
        out = put_text(put_span(put_text(out, ",\"log\":{\"level\":"), level_text), "}");
    else if (level_ours)
        out = put_text(put_text(put_text(out, ",\"log\":{\"level\":\""), level_ours), "\"}");
    if (foreign)
        out = put_text(out, ",\"tags\":[\"foreign\"]");
    if (asides || dataset_aside) {
        int first_aside = 1;
        out = put_text(out, ",\"app\":{");
        for (int i = 0; i < l->count; i++) {
            const struct member *m = &l->members[i];
            if (!m->aside)
                continue;
            if (!first_aside)
                *out++ = ',';
            first_aside = 0;
            out = put(out, m->start, m->end - m->start);
        }
        if (dataset_aside)
            out = put_span(put_text(out, first_aside ? "\"event.dataset\":" : ",\"event.dataset\":"), claimed);
        *out++ = '}';
    }
    return put_text(out, "}\n");
}

#endif
