/* What is sent: a buffer whose memory is used again for the next one, if it is large.
 *
 * Blocks of megabytes of ever other sizes leave holes in malloc's memory: the process held five times what it used.
 * Small ones, of which a request may have thousands, give back what they did not need. */
#ifndef SHIPPER_BODY_H
#define SHIPPER_BODY_H

#include <Python.h>
#include <stdlib.h>

typedef struct {
    PyObject_HEAD
    char *memory;
    size_t room;
    Py_ssize_t size;
} Body;

enum { SPARE_LIMIT = 4, SMALL = 1 << 20 };
static struct { char *memory; size_t room; } spare[SPARE_LIMIT]; /* touched with the interpreter's lock alone */

/* A Body with room for so many bytes, without any. NULL with an exception set. */
static Body *make_body(PyTypeObject *type, size_t wanted)
{
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Body *body = (Body *)make(type, 0);
    if (!body)
        return NULL;
    for (int i = 0; i < SPARE_LIMIT && !body->memory && wanted >= SMALL; i++)
        if (spare[i].room >= wanted) {
            body->memory = spare[i].memory, body->room = spare[i].room;
            spare[i].memory = NULL, spare[i].room = 0;
        }
    if (!body->memory) {
        for (body->room = wanted < SMALL ? wanted : SMALL; body->room < wanted;)
            body->room *= 2; /* few sizes: the next one fits */
        if (!(body->memory = malloc(body->room))) {
            Py_DECREF((PyObject *)body);
            return (Body *)PyErr_NoMemory();
        }
    }
    return body;
}

/* Make room for `more` bytes. It is filled up to `end`: returns where that is afterwards, NULL without memory. */
static char *grow_body(Body *body, char *end, size_t more)
{
    size_t filled = end - body->memory;
    if (body->room - filled >= more)
        return end;
    size_t room = 2 * body->room > filled + more ? 2 * body->room : filled + more;
    char *memory = realloc(body->memory, room);
    if (!memory)
        return NULL;
    body->memory = memory, body->room = room;
    return memory + filled;
}

/* It is filled up to here. */
static void end_body(Body *body, const char *end)
{
    body->size = end - body->memory;
    char *fitting = body->room < SMALL ? realloc(body->memory, body->size + 1) : NULL;
    if (fitting)
        body->memory = fitting, body->room = body->size + 1;
}

static int body_buffer(PyObject *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, self, ((Body *)self)->memory, ((Body *)self)->size, 1, flags);
}

static Py_ssize_t body_length(PyObject *self) { return ((Body *)self)->size; }

static void body_dealloc(PyObject *self)
{
    Body *body = (Body *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < SPARE_LIMIT && body->memory && body->room >= SMALL; i++)
        if (!spare[i].memory) {
            spare[i].memory = body->memory, spare[i].room = body->room;
            body->memory = NULL;
        }
    free(body->memory);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyType_Slot body_slots[] = {
    {Py_tp_dealloc, body_dealloc}, {Py_bf_getbuffer, body_buffer}, {Py_sq_length, body_length}, {0, NULL}};

static PyType_Spec body_spec = {
    "shipper.ship.reader.framing.Body", sizeof(Body), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, body_slots};

#endif
