/* The state of a job after a record of ours: state.py's. */
#ifndef SHIPPER_STATE_H
#define SHIPPER_STATE_H

#include "put.h"

struct state { uint64_t version; const struct job_state *job; };

static int is_whole_number(struct span s)
{
    at p = s.start + (*s.start == '-');
    for (; p < s.end; p++)
        if (!is_digit(*p))
            return 0;
    return size_of(s) <= 15;
}

static int is_text_or_null(struct span s) { return is_null(s) || is_text(s); }
static int is_object_or_null(struct span s) { return is_null(s) || *s.start == '{'; }

/* 1: it tells a state, 0: it tells none, -1: Python has to say. */
static int state_of(const Framer *f, const struct line *l, int64_t us, struct state *state)
{
    const struct span *s = l->slots;
    if (!is_plain(s[ACTION]) || !is_plain(s[JOB]) || size_of(s[JOB]) <= 2 || size_of(s[JOB]) > ID_LIMIT + 2)
        return -1;
    if (is_null(s[DESTINATION]) || *s[DESTINATION].start != '{' || is_null(s[RQ]) || *s[RQ].start != '{')
        return -1;
    static const enum slot texts[] = {REASON, QUEUE, WORKER, FUNCTION, SERVICE_NAME, ERROR_TYPE, ERROR_MESSAGE, ENQUEUED_AT, CREATED_AT, EXPIRES_AT};
    static const enum slot objects[] = {CLIENT, CODE, FUNCTION_OBJECT, SERVICE, USER, ORGANIZATION, ERROR, PROGRESS};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!is_text_or_null(s[texts[i]]))
            return -1;
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        if (!is_object_or_null(s[objects[i]]))
            return -1;
    if ((s[SEQUENCE].start && !is_whole_number(s[SEQUENCE])) || (!is_null(s[ATTEMPT]) && !is_whole_number(s[ATTEMPT])))
        return -1;
    if (!is_null(s[INFERRED]) && *s[INFERRED].start != 't' && *s[INFERRED].start != 'f')
        return -1;
    if ((s[FUNCTION].start && !is_null(s[FUNCTION]) && !is_plain(s[FUNCTION])))
        return -1;
    state->job = NULL;
    for (int i = 0; i < f->state_count; i++)
        if (f->states[i].action_length == size_of(s[ACTION]) - 2 && !memcmp(f->states[i].action, s[ACTION].start + 1, size_of(s[ACTION]) - 2))
            state->job = &f->states[i];
    if (!state->job)
        return 0;

    int64_t recorded = us / 1000, epoch = recorded, pushed_us;
    struct span pushed = !is_null(s[ENQUEUED_AT]) && size_of(s[ENQUEUED_AT]) > 2 ? s[ENQUEUED_AT] : s[CREATED_AT];
    if (!is_null(pushed) && size_of(pushed) > 2) {
        int keeps;
        if (memchr(pushed.start, '\\', size_of(pushed)) || iso_time(pushed.start + 1, pushed.end - 1, &pushed_us, &keeps) != A_TIME)
            return -1;
        epoch = pushed_us / 1000;
    }
    if (epoch < 0 || epoch > recorded + 86400000)
        epoch = recorded;
    int rank = state->job->rank;
    if (!strcmp(state->job->state, "scheduled") && !is_null(s[ENQUEUED_AT]) && size_of(s[ENQUEUED_AT]) > 2)
        rank = f->rescheduled;
    else if (s[INFERRED].start && *s[INFERRED].start == 't')
        rank = has(s[REASON], "lost") ? f->lost : has(s[REASON], "expired") ? f->expired : rank == f->retrying ? f->retrying : f->inferred;
    int64_t sequence = 0;
    if (s[SEQUENCE].start && *s[SEQUENCE].start != '-')
        for (at p = s[SEQUENCE].start; p < s[SEQUENCE].end; p++)
            sequence = sequence * 10 + (*p - '0');
    if (sequence > 0xffff)
        sequence = 0xffff;
    state->version = ((uint64_t)epoch << 4 | rank) << 16 | sequence;
    return 1;
}

static char *put_if(char *out, const char *name, struct span s) { return is_null(s) ? out : put_span(put_text(out, name), s); }

/* The most bytes that a state takes: each of its values at most once, but for the function and the action. */
static size_t state_room(const Framer *f, const struct line *l)
{
    return 600 + f->state_action_length + 2 * (size_t)(l->scan.end - l->start);
}

static char *put_state(char *out, const Framer *f, const struct line *l, const struct state *state)
{
    const struct span *s = l->slots;
    const struct span stamp = {l->start + TIME_START, l->start + TIME_START + TIME_LENGTH};
    out = put_span(put(out, f->state_action, f->state_action_length), s[JOB]);
    out = put_number(put_text(out, ",\"version\":"), state->version);
    out = put_text(out, ",\"version_type\":\"external\"}}\n");
    out = put_span(put_text(out, "{\"@timestamp\":\""), stamp);
    out = put_text(out, "\",\"event\":{\"kind\":\"state\"},\"state\":\"");
    if (has(s[REASON], "lost") || has(s[REASON], "expired"))
        out = put(out, s[REASON].start + 1, size_of(s[REASON]) - 2);
    else
        out = put(out, state->job->state, state->job->state_length);
    out = put_span(put_text(out, "\",\"updated_at\":\""), stamp);
    out = put_text(out, "\",\"service\":{\"name\":");
    out = is_null(s[SERVICE_NAME]) ? put_text(out, "null}") : put_text(put_span(out, s[SERVICE_NAME]), "}");
    out = put_if(out, ",\"job_type\":", s[FUNCTION]);
    if (!is_null(s[FUNCTION])) {
        at dot = s[FUNCTION].end - 2;
        while (dot > s[FUNCTION].start && *dot != '.')
            dot--;
        if (dot > s[FUNCTION].start + 1)
            out = put_text(put(put_text(out, ",\"family\":"), s[FUNCTION].start, dot - s[FUNCTION].start), "\"");
    }
    out = put_if(out, ",\"queue\":", s[QUEUE]);
    out = put_if(out, ",\"worker\":", s[WORKER]);
    out = put_if(out, ",\"created_at\":", s[CREATED_AT]);
    out = put_if(out, ",\"expires_at\":", s[EXPIRES_AT]);
    out = put_if(out, ",\"attempt\":", s[ATTEMPT]);
    out = put_if(out, ",\"user\":", s[USER]);
    out = put_if(out, ",\"organization\":", s[ORGANIZATION]);
    if (!is_null(s[ERROR])) {
        out = put_if(put_text(out, ",\"error\":{"), "\"type\":", s[ERROR_TYPE]);
        if (!is_null(s[ERROR_MESSAGE]))
            out = put_if(is_null(s[ERROR_TYPE]) ? out : put_text(out, ","), "\"message\":", s[ERROR_MESSAGE]);
        out = put_text(out, "}");
    }
    out = put_if(out, ",\"progress\":", s[PROGRESS]);
    return put_text(out, "}\n");
}

#endif
