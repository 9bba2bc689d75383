/* The fields of an object that something is known of: from what Python gives to lookups by name. */
#ifndef SHIPPER_FIELDS_H
#define SHIPPER_FIELDS_H

#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

enum kind { NOT_MAPPED, OBJECT, FLATTENED, LEAF }; /* mapping.Kind */

/* The fields whose values are looked at: framer.py names their paths, in this order. */
enum slot {
    STAMP, TIMESTAMP, TIME, TS, ASCTIME, RECORD_TIME, /* document.TIMES */
    MSG, EVENT, TEXT,                                 /* document.MESSAGES */
    LEVEL, SEVERITY, LEVELNAME, RECORD_LEVEL,         /* document.LEVELS */
    MESSAGE, LOG, LOG_LEVEL, TAGS, APP,
    ID, DATASET, ACTION, REASON, SEQUENCE,
    DESTINATION, QUEUE, JOB, CLIENT, WORKER, CODE, FUNCTION_OBJECT, FUNCTION, SERVICE, SERVICE_NAME, USER, ORGANIZATION,
    ERROR, ERROR_TYPE, ERROR_MESSAGE,
    RQ, ENQUEUED_AT, CREATED_AT, EXPIRES_AT, ATTEMPT, INFERRED, PROGRESS,
    EVENT_DURATION, LAG_MS, TOTAL_MS,
    SLOTS
};

struct span { at start, end; }; /* of a JSON value; {NULL, NULL} where there is none */

struct field {
    char *name;
    int length, kind, slot, count;
    struct field *fields;
    unsigned char first[64], *next; /* where fields of one hash begin, and go on: 1 + their number */
};

static int hash_of(at text, Py_ssize_t length) { return (int)(length * 7 + text[0] + text[length - 1] * 3) & 63; }

/* memcmp's answer for texts of one length, without the call: they are short. */
static inline int are_same(const char *one, at other, Py_ssize_t length)
{
    uint64_t a, b;
    if (length >= 8) {
        for (Py_ssize_t i = 0; i + 8 < length; i += 8) {
            memcpy(&a, one + i, 8), memcpy(&b, other + i, 8);
            if (a != b)
                return 0;
        }
        memcpy(&a, one + length - 8, 8), memcpy(&b, other + length - 8, 8);
        return a == b;
    }
    for (Py_ssize_t i = 0; i < length; i++)
        if ((unsigned char)one[i] != other[i])
            return 0;
    return 1;
}

static inline const struct field *find(const struct field *in, at text, Py_ssize_t length)
{
    if (!length || !in->count)
        return NULL;
    for (int i = in->first[hash_of(text, length)]; i; i = in->next[i - 1])
        if (in->fields[i - 1].length == length && are_same(in->fields[i - 1].name, text, length))
            return &in->fields[i - 1];
    return NULL;
}

static void free_fields(struct field *field)
{
    for (int i = 0; i < field->count; i++)
        free_fields(&field->fields[i]);
    free(field->fields), free(field->next), free(field->name);
}

/* From (name, kind, slot, (fields, …)). False with an exception set. */
static int make_field(struct field *field, PyObject *from)
{
    const char *text;
    Py_ssize_t length;
    PyObject *inner;
    memset(field, 0, sizeof *field);
    if (!PyArg_ParseTuple(from, "y#iiO!", &text, &length, &field->kind, &field->slot, &PyTuple_Type, &inner))
        return 0;
    Py_ssize_t count = PyTuple_Size(inner);
    field->length = (int)length;
    field->name = malloc(length + 1);
    field->fields = calloc(count + 1, sizeof *field->fields);
    field->next = calloc(count + 1, 1);
    if (!field->name || !field->fields || !field->next || count > 200)
        return PyErr_NoMemory(), 0;
    memcpy(field->name, text, length);
    for (Py_ssize_t i = 0; i < count; i++) {
        struct field *one = &field->fields[i];
        field->count++;
        if (!make_field(one, PyTuple_GetItem(inner, i)))
            return 0;
        unsigned char *first = &field->first[hash_of((at)one->name, one->length)];
        field->next[i] = *first;
        *first = (unsigned char)(i + 1);
    }
    return 1;
}

#endif
