/* What a block's job records add to the counters: ../counting/tally.py's, for the lines that are taken.
 *
 * For each set of labels (service, queue, function) the numbers of tally.py's layout: a count of each event, then of each
 * measure its buckets and its sum in microseconds. Beside them a few of each measure's values, chosen at random, as
 * StatsD wants values. */
#ifndef SHIPPER_TALLY_H
#define SHIPPER_TALLY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "store.h"

enum measure { DURATION, LAG, TOTAL, MEASURES };

/* Of one set of labels. `labels` are JSON: ["shop","low",null]. The numbers follow them. */
struct series {
    uint64_t hash;
    char *labels;
    int labels_length;
    int64_t *numbers, seen[MEASURES], samples[MEASURES][SAMPLE_LIMIT];
};

typedef struct {
    PyObject_HEAD
    struct series **all; /* in the order in which they were met first */
    int *table;          /* where each is: its hash, or the next free place */
    int count, room, places;
    uint64_t random;
    Framer *by;
} Tally;

static size_t numbers_size(const struct counting *by) { return (by->events + MEASURES * (by->bounds + 2)) * sizeof(int64_t); }

/* A number that is whole and not negative, times and by something; -1 for what is none, or is beyond all reason. */
static int64_t microseconds(struct span s, int64_t times, int64_t by)
{
    int64_t number = 0;
    if (!s.start || size_of(s) > 18)
        return -1;
    for (at p = s.start; p < s.end; p++) {
        if (!is_digit(*p))
            return -1;
        number = number * 10 + (*p - '0');
    }
    return number / by > MOST_US / times ? -1 : number * times / by;
}

static uint64_t next_random(Tally *t)
{
    t->random ^= t->random << 13, t->random ^= t->random >> 7, t->random ^= t->random << 17; /* xorshift64 */
    return t->random;
}

static void add_value(Tally *t, struct series *series, enum measure which, int64_t us)
{
    const struct counting *by = &t->by->counting;
    int64_t *numbers = series->numbers + by->events + which * (by->bounds + 2), seen = ++series->seen[which];
    int bucket = 0;
    while (bucket < by->bounds && us > by->bounds_us[bucket])
        bucket++;
    numbers[bucket]++;
    numbers[by->bounds + 1] += us;
    uint64_t place = seen <= SAMPLE_LIMIT ? (uint64_t)seen - 1 : next_random(t) % (uint64_t)seen; /* a reservoir */
    if (place < SAMPLE_LIMIT)
        series->samples[which][place] = us;
}

static int grow(Tally *t)
{
    int room = t->room ? 2 * t->room : 32, *table = malloc(2 * room * sizeof *table);
    struct series **all = table ? realloc(t->all, room * sizeof *all) : NULL;
    if (!all)
        return free(table), 0;
    free(t->table);
    t->all = all, t->room = room, t->table = table, t->places = 2 * room;
    memset(table, -1, t->places * sizeof *table);
    for (int i = 0; i < t->count; i++) {
        int place = (int)(all[i]->hash & (t->places - 1));
        while (table[place] >= 0)
            place = (place + 1) & (t->places - 1);
        table[place] = i;
    }
    return 1;
}

/* The series of a line's labels, a new one if it is the first of them. NULL: no memory. */
static struct series *series_of(Tally *t, const struct line *l)
{
    static const enum slot names[] = {SERVICE_NAME, QUEUE, FUNCTION};
    struct span parts[3];
    uint64_t hash = 0;
    int length = 4;
    for (int i = 0; i < 3; i++) {
        parts[i] = is_text(l->slots[names[i]]) ? l->slots[names[i]] : (struct span){(at)"null", (at)"null" + 4};
        hash = hash * 31 + id_hash(parts[i].start, size_of(parts[i]));
        length += (int)size_of(parts[i]);
    }
    if (t->count == t->room && !grow(t))
        return NULL;
    int place = (int)(hash & (t->places - 1));
    for (; t->table[place] >= 0; place = (place + 1) & (t->places - 1)) {
        struct series *known = t->all[t->table[place]];
        if (known->hash != hash || known->labels_length != length)
            continue;
        at text = (at)known->labels + 1;
        int i = 0;
        for (; i < 3 && !memcmp(text, parts[i].start, size_of(parts[i])); i++)
            text += size_of(parts[i]) + 1;
        if (i == 3)
            return known;
    }
    size_t numbers = numbers_size(&t->by->counting);
    struct series *made = calloc(1, sizeof *made + numbers + length);
    if (!made)
        return NULL;
    made->hash = hash, made->labels_length = length;
    made->numbers = (int64_t *)(made + 1);
    char *out = made->labels = (char *)made->numbers + numbers;
    for (int i = 0; i < 3; i++) {
        *out++ = i ? ',' : '[';
        memcpy(out, parts[i].start, size_of(parts[i]));
        out += size_of(parts[i]);
    }
    *out = ']';
    t->table[place] = t->count;
    return t->all[t->count++] = made;
}

/* Count one line of a job. `fresh`: it is of now, so that it may say how long jobs wait now. 0: no memory. */
static int count_line(Tally *t, const struct line *l, int fresh)
{
    const struct counting *by = &t->by->counting;
    const struct span *s = l->slots;
    const struct counted *counted = NULL;
    for (int i = 0; i < by->actions && !counted && is_text(s[ACTION]); i++)
        if (by->counted[i].length == size_of(s[ACTION]) - 2 && are_same(by->counted[i].action, s[ACTION].start + 1, size_of(s[ACTION]) - 2))
            counted = &by->counted[i];
    if (!counted)
        return 1;
    struct series *series = series_of(t, l);
    if (!series)
        return 0;
    series->numbers[counted->event]++;
    if (counted->fails && has(s[REASON], "timeout"))
        series->numbers[by->timeouts]++;
    const int64_t us[MEASURES] = {
        [DURATION] = counted->measures & 1 << DURATION ? microseconds(s[EVENT_DURATION], 1, 1000) : -1,
        [LAG] = fresh && counted->measures & 1 << LAG ? microseconds(s[LAG_MS], 1000, 1) : -1,
        [TOTAL] = fresh && counted->measures & 1 << TOTAL ? microseconds(s[TOTAL_MS], 1000, 1) : -1,
    };
    for (int which = 0; which < MEASURES; which++)
        if (us[which] >= 0)
            add_value(t, series, which, us[which]);
    return 1;
}

/* --- Python ------------------------------------------------------------------------------------------------- */

/* A tally of nothing. NULL with an exception set. */
static Tally *make_tally(Framer *by)
{
    allocfunc make = (allocfunc)PyType_GetSlot(by->tally_type, Py_tp_alloc);
    Tally *tally = (Tally *)make(by->tally_type, 0);
    if (tally)
        Py_INCREF((PyObject *)by), tally->by = by, tally->random = 0x9e3779b97f4a7c15 ^ (uint64_t)by->now;
    return tally;
}

/* read() → [(labels as JSON, numbers as int64, samples of the duration, of the lag, of the total as int64)…] */
static PyObject *tally_read(PyObject *self, PyObject *Py_UNUSED(none))
{
    Tally *t = (Tally *)self;
    PyObject *list = PyList_New(t->count);
    for (int i = 0; list && i < t->count; i++) {
        struct series *one = t->all[i];
        Py_ssize_t kept[MEASURES];
        for (int which = 0; which < MEASURES; which++)
            kept[which] = (Py_ssize_t)((one->seen[which] < SAMPLE_LIMIT ? one->seen[which] : SAMPLE_LIMIT) * sizeof(int64_t));
        PyObject *made = Py_BuildValue("y#y#y#y#y#", one->labels, (Py_ssize_t)one->labels_length,
                                       (char *)one->numbers, (Py_ssize_t)numbers_size(&t->by->counting), (char *)one->samples[DURATION],
                                       kept[DURATION], (char *)one->samples[LAG], kept[LAG], (char *)one->samples[TOTAL], kept[TOTAL]);
        if (!made || PyList_SetItem(list, i, made)) {
            Py_DECREF(list);
            list = NULL;
        }
    }
    return list;
}

static void tally_dealloc(PyObject *self)
{
    Tally *t = (Tally *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < t->count; i++)
        free(t->all[i]);
    free(t->all), free(t->table);
    Py_XDECREF((PyObject *)t->by);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef tally_methods[] = {{"read", tally_read, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyType_Slot tally_slots[] = {{Py_tp_dealloc, tally_dealloc}, {Py_tp_methods, tally_methods}, {0, NULL}};

static PyType_Spec tally_spec = {
    "shipper.ship.reader.framing.Tally", sizeof(Tally), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, tally_slots};

#endif
