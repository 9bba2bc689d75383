/* The last state of each job, held until it is sent: states.py's PlainStateStore, without an object for each. */
#ifndef SHIPPER_STORE_H
#define SHIPPER_STORE_H

#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"

struct held { uint64_t hash, version; char *body; uint32_t size, room, id_length; int chosen; };

typedef struct {
    PyObject_HEAD
    struct held *all; /* the oldest first */
    int *table;       /* where each is: its hash, or the next free place */
    int count, room, places;
    int id_at; /* where the id stands in a body */
    size_t size;
    uint64_t *recent; /* hashes of those of which one was just sent; 0: none */
    int recent_count, recent_places;
    PyTypeObject *body_type;
} StateStore;

enum { RECENT_LIMIT = 65536, SPARE = 64 };

static uint64_t id_hash(const unsigned char *id, size_t length)
{
    uint64_t hash = 14695981039346656037ULL;
    for (; length >= 8; id += 8, length -= 8) {
        uint64_t part;
        memcpy(&part, id, 8);
        hash = (hash ^ part) * 1099511628211ULL;
        hash ^= hash >> 29;
    }
    for (; length; id++, length--)
        hash = (hash ^ *id) * 1099511628211ULL;
    hash ^= hash >> 32;
    return hash ? hash : 1;
}

/* The place of an id in the table: of the one that is held, or where one would be. */
static int place_of(const StateStore *s, uint64_t hash, const unsigned char *id, size_t length)
{
    int place = (int)(hash & (s->places - 1));
    for (; s->table[place] >= 0; place = (place + 1) & (s->places - 1)) {
        const struct held *one = &s->all[s->table[place]];
        if (one->hash == hash && one->id_length == length && !memcmp(one->body + s->id_at, id, length))
            break;
    }
    return place;
}

static void fill_table(StateStore *s)
{
    memset(s->table, -1, s->places * sizeof *s->table);
    for (int i = 0; i < s->count; i++) {
        int place = (int)(s->all[i].hash & (s->places - 1));
        while (s->table[place] >= 0)
            place = (place + 1) & (s->places - 1);
        s->table[place] = i;
    }
}

/* Room for one more. 0: no memory. */
static int make_place(StateStore *s)
{
    if (s->count < s->room)
        return 1;
    int room = s->room ? 2 * s->room : 512, *table = malloc(2 * room * sizeof *table);
    struct held *all = table ? realloc(s->all, room * sizeof *all) : NULL;
    if (!all)
        return free(table), 0;
    free(s->table);
    s->all = all, s->room = room, s->table = table, s->places = 2 * room;
    fill_table(s);
    return 1;
}

/* Whether a state of this version has the last word. *place is where it goes. */
static int wants(const StateStore *s, uint64_t hash, const unsigned char *id, size_t length, uint64_t version, int *place)
{
    *place = place_of(s, hash, id, length);
    return s->table[*place] < 0 || version > s->all[s->table[*place]].version;
}

/* Keep a copy of the body, in the place that `wants` named. 0: no memory. The next state of a job is a little longer. */
static int hold(StateStore *s, int place, uint64_t hash, size_t id_length, uint64_t version, const char *body, size_t size)
{
    struct held *one = s->table[place] < 0 ? NULL : &s->all[s->table[place]];
    if (!one || one->room < size) {
        char *copy = malloc(size + SPARE);
        if (!copy)
            return 0;
        if (!one) {
            s->table[place] = s->count;
            one = &s->all[s->count++];
            one->body = NULL, one->size = 0;
        }
        free(one->body);
        one->body = copy, one->room = (uint32_t)(size + SPARE);
    }
    memcpy(one->body, body, size);
    s->size += size - one->size;
    one->hash = hash, one->version = version, one->size = (uint32_t)size, one->id_length = (uint32_t)id_length, one->chosen = 0;
    return 1;
}

static int is_recent(const StateStore *s, uint64_t hash)
{
    if (!s->recent_places)
        return 0;
    int place = (int)(hash & (s->recent_places - 1));
    while (s->recent[place] && s->recent[place] != hash)
        place = (place + 1) & (s->recent_places - 1);
    return s->recent[place] == hash;
}

static void remember(StateStore *s, uint64_t hash)
{
    if (!s->recent) {
        s->recent = calloc(2 * RECENT_LIMIT, sizeof *s->recent);
        s->recent_places = s->recent ? 2 * RECENT_LIMIT : 0;
    }
    if (!s->recent || s->recent_count >= RECENT_LIMIT || is_recent(s, hash))
        return;
    int place = (int)(hash & (s->recent_places - 1));
    while (s->recent[place])
        place = (place + 1) & (s->recent_places - 1);
    s->recent[place] = hash;
    s->recent_count++;
}

static void forget_recent(StateStore *s)
{
    if (s->recent_count)
        memset(s->recent, 0, s->recent_places * sizeof *s->recent);
    s->recent_count = 0;
}

/* Choose the oldest to be sent, until no more than `leave` bytes stay. Returns their number, and their size in *total. */
static int choose(StateStore *s, size_t leave, int skips_recent, size_t *total)
{
    int count = 0;
    *total = 0;
    for (int i = 0; i < s->count && s->size - *total > leave; i++)
        if (!skips_recent || !is_recent(s, s->all[i].hash))
            s->all[i].chosen = 1, *total += s->all[i].size, count++;
    return count;
}

/* take(over, leave) → (body, count) */
static PyObject *store_take(PyObject *self, PyObject *args)
{
    StateStore *s = (StateStore *)self;
    int over, kept = 0;
    Py_ssize_t leave;
    size_t total;
    if (!PyArg_ParseTuple(args, "pn:take", &over, &leave))
        return NULL;
    if (over)
        forget_recent(s);
    int count = choose(s, leave, 1, &total);
    if (!count) /* one was sent of each just now; but there is room for no more */
        count = choose(s, leave, 0, &total);
    Body *body = make_body(s->body_type, total);
    char *out = body ? body->memory : NULL;
    for (int i = 0; i < s->count; i++) {
        struct held one = s->all[i];
        if (!body || !one.chosen) {
            one.chosen = 0;
            s->all[kept++] = one;
            continue;
        }
        memcpy(out, one.body, one.size);
        out += one.size, s->size -= one.size;
        remember(s, one.hash);
        free(one.body);
    }
    s->count = kept;
    if (s->places)
        fill_table(s);
    if (!body)
        return NULL;
    end_body(body, out);
    return Py_BuildValue("Ni", (PyObject *)body, count);
}

/* put(id as JSON, version, body) */
static PyObject *store_put(PyObject *self, PyObject *args)
{
    StateStore *s = (StateStore *)self;
    const char *id, *body;
    Py_ssize_t id_length, size;
    unsigned long long version;
    int place;
    if (!PyArg_ParseTuple(args, "y#Ky#:put", &id, &id_length, &version, &body, &size))
        return NULL;
    if (size < s->id_at + id_length || memcmp(body + s->id_at, id, id_length))
        return PyErr_SetString(PyExc_ValueError, "the body does not name this id"), NULL;
    uint64_t hash = id_hash((const unsigned char *)id, id_length);
    if (!make_place(s))
        return PyErr_NoMemory();
    if (wants(s, hash, (const unsigned char *)id, id_length, version, &place) && !hold(s, place, hash, id_length, version, body, size))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *store_size(PyObject *self, PyObject *Py_UNUSED(none)) { return PyLong_FromSize_t(((StateStore *)self)->size); }

static int store_init(PyObject *self, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    StateStore *s = (StateStore *)self;
    if (s->body_type)
        return PyErr_SetString(PyExc_TypeError, "a StateStore is made once"), -1;
    if (!PyArg_ParseTuple(args, "iO!:StateStore", &s->id_at, &PyType_Type, &s->body_type))
        return s->body_type = NULL, -1;
    Py_INCREF((PyObject *)s->body_type);
    return 0;
}

static void store_dealloc(PyObject *self)
{
    StateStore *s = (StateStore *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < s->count; i++)
        free(s->all[i].body);
    free(s->all), free(s->table), free(s->recent);
    Py_XDECREF((PyObject *)s->body_type);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef store_methods[] = {
    {"put", store_put, METH_VARARGS, NULL}, {"take", store_take, METH_VARARGS, NULL}, {"size", store_size, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyType_Slot store_slots[] = {
    {Py_tp_init, store_init}, {Py_tp_new, PyType_GenericNew}, {Py_tp_dealloc, store_dealloc}, {Py_tp_methods, store_methods}, {0, NULL}};

static PyType_Spec store_spec = {"shipper.ship.reader.framing.StateStore", sizeof(StateStore), 0, Py_TPFLAGS_DEFAULT, store_slots};

#endif
