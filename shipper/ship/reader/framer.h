/* What a Framer knows: its fields, datasets and states, and the call it is in. */
#ifndef SHIPPER_FRAMER_H
#define SHIPPER_FRAMER_H

#include <Python.h>
#include <stdint.h>

#include "fields.h"

enum { DATASET_LIMIT = 16, STATE_LIMIT = 32, DAY_BITS = 4096, BOUND_LIMIT = 32, SAMPLE_LIMIT = 16 };
#define MOST_US 315360000000000 /* ten years: tally.py */

struct dataset { char *name, *prefix; Py_ssize_t name_length, prefix_length; int daily_before, daily_since, since; /* month: year * 12 + month */ };
struct job_state { char *action, *state; Py_ssize_t action_length, state_length; int rank; };
struct counted { char *action; Py_ssize_t length; int event, measures, fails; }; /* measures: a bit for each */
struct counting { /* what is counted of jobs: tally.py */
    struct counted counted[STATE_LIMIT];
    int64_t bounds_us[BOUND_LIMIT];
    int actions, bounds, events, timeouts;
};

typedef struct {
    PyObject_HEAD
    struct field jobs, apps; /* of our own job records, of applications' lines */
    struct dataset datasets[DATASET_LIMIT];
    int dataset_count, app; /* `app`: the number of rq.app */
    struct job_state states[STATE_LIMIT];
    int state_count, rescheduled, lost, expired, retrying, inferred; /* ranks */
    char *host, *state_action; /* the latter: a state's action line up to its id */
    Py_ssize_t host_length, state_action_length;
    struct counting counting;
    /* of one call */
    int trusted;
    int64_t earliest, latest, now, fresh; /* `fresh`: since when a job's record may say how long jobs wait now */
    const unsigned char *days; /* a bit for each that lines may be of: by its number since 1970, modulo DAY_BITS; NULL: any */
    const char *file_id;
    Py_ssize_t file_id_length;
    struct line_ids *line_ids;
    char *state_room; /* for a state that is written */
    size_t state_room_size;
    PyTypeObject *store_type, *body_type, *tally_type;
} Framer;

/* Whether so many bytes can be written there. */
static int has_room(char **room, size_t *size, size_t wanted)
{
    if (*size >= wanted)
        return 1;
    size_t larger = 4096;
    while (larger < wanted)
        larger *= 2; /* so that it seldom grows: each time leaves a hole in the memory */
    free(*room);
    *size = (*room = malloc(larger)) ? larger : 0;
    return *room != NULL;
}

#endif
