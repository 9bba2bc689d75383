/* A block of lines → the body that is sent: document.py's decision, for lines that are as most lines are.
 *
 * Framer.frame() takes each line that it understands wholly and names the others, for document.py to look at: it says
 * nothing about why. What it takes becomes the same document as there, with the same id in the same index, and the
 * same state of a job (state.py): tests/unit/test_framing.py compares the two. No decision stands here alone.
 *
 *     json.h, times.h, blake2b.h    what others define
 *     fields.h, framer.h            what is known before a line comes
 *     line.h                        a line, member by member
 *     application.h, state.h        what becomes of it (put.h and line_ids.h write it)
 *     body.h, store.h, tally.h      where it goes: what is sent, the last state of each job, what is counted
 *
 * A Framer and its StateStore are for one thread. Within a block the interpreter is left to others.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "application.h"
#include "body.h"
#include "state.h"
#include "store.h"
#include "tally.h"

enum { LINE_EXTRA = 640 }; /* what a line's output may have beside the line, and parts of it once more */

enum taken { ODD, TAKEN, NO_MEMORY };

/* One line, from p to its newline. Moves *out on if it was taken. Marked as hot, as compilers take what follows many
 * early returns for rare, and make it small instead of fast. */
__attribute__((hot)) static enum taken take(Framer *f, at p, at end, int64_t offset, char **out, StateStore *store, Tally *tally, int64_t *newest, int *verbatim)
{
    struct line l;
    l.start = p, l.framer = f, l.scan = (struct scan){.end = end}, l.count = 0, l.dataset_name = l.event_open = NULL;
    memset(l.slots, 0, sizeof l.slots);
    if (end - p > 8 && !memcmp(p, "{\"log\":\"", 8))
        return ODD; /* an envelope, perhaps: envelopes.py */
    const struct dataset *own = own_dataset(f, p, end), *app = &f->datasets[f->app];
    int64_t us;
    int keeps, none = 0;
    if (own && own != app && f->trusted) {
        l.fits = 0;
        if (iso_time(p + TIME_START, p + TIME_START + TIME_LENGTH, &us, &keeps) != A_TIME || !keeps || !is_plausible(f, us))
            return ODD;
        int is_job = own->name_length == 6 && !memcmp(own->name, "rq.job", 6);
        if (!document(&l, p, &f->jobs) || !l.event_open || l.slots[STAMP].start != p + TIME_START - 1
            || l.slots[ID].start != p + ID_START - 1 || l.slots[DATASET].start != p + DATASET_START - 1)
            return ODD;
        if (is_job && store) {
            struct state state;
            int place, found = state_of(f, &l, us, &state);
            if (found < 0)
                return ODD;
            if (found) {
                struct span id = l.slots[JOB];
                uint64_t hash = id_hash(id.start, size_of(id));
                if (!make_place(store) || !has_room(&f->state_room, &f->state_room_size, state_room(f, &l)))
                    return NO_MEMORY;
                if (wants(store, hash, id.start, size_of(id), state.version, &place)
                    && !hold(store, place, hash, size_of(id), state.version, f->state_room,
                             put_state(f->state_room, f, &l, &state) - f->state_room))
                    return NO_MEMORY;
            }
        }
        if (is_job && tally && !count_line(tally, &l, us >= f->fresh))
            return NO_MEMORY;
        *out = put(put_head(*out, own, us), p + ID_START, ID_LENGTH);
        *out = put(put_text(*out, "\"}}\n"), p, end + 1 - p);
        *newest = us;
        return TAKEN;
    }
    l.fits = 1;
    if (!document(&l, p, &f->apps) || !stated_time(&l, &us, &keeps, &none))
        return ODD;
    if (f->trusted && l.event_open && is_text(l.slots[DATASET]) && !has(l.slots[DATASET], "rq.app")
        && (!is_plain(l.slots[DATASET]) || dataset_of(f, l.slots[DATASET].start + 1, size_of(l.slots[DATASET]) - 2)))
        return ODD; /* a record of ours in another shape */
    int day = (int)(us / 86400000000 % DAY_BITS);
    if (f->days && !(f->days[day / 8] >> (day % 8) & 1))
        return ODD;
    char *written = put_application(*out, &l, app, us, none, keeps, offset, p, verbatim);
    if (!written)
        return ODD;
    *out = written, *newest = us;
    return TAKEN;
}

/* --- Python ------------------------------------------------------------------------------------------------- */

struct places { uint32_t *all; Py_ssize_t count, room; };

static int add_place(struct places *places, Py_ssize_t offset)
{
    if (places->count == places->room) {
        Py_ssize_t room = places->room ? 2 * places->room : 4096;
        uint32_t *all = realloc(places->all, room * sizeof *all);
        if (!all)
            return 0;
        places->all = all, places->room = room;
    }
    places->all[places->count++] = (uint32_t)offset;
    return 1;
}

static PyObject *frame(PyObject *self, PyObject *args)
{
    Framer *f = (Framer *)self;
    PyObject *kept, *result = NULL;
    Py_buffer block;
    long long start_offset, earliest, latest, now, fresh;
    int counts;
    Py_ssize_t days_length;
    if (!PyArg_ParseTuple(args, "y*Ly#pOLLLz#pL:frame", &block, &start_offset, &f->file_id, &f->file_id_length, &f->trusted,
                          &kept, &earliest, &latest, &now, (const char **)&f->days, &days_length, &counts, &fresh))
        return NULL;
    if (f->days && days_length != DAY_BITS / 8) {
        PyBuffer_Release(&block);
        return PyErr_SetString(PyExc_ValueError, "the days are of another size"), NULL;
    }
    if (kept != Py_None && !PyObject_TypeCheck(kept, f->store_type)) {
        PyBuffer_Release(&block);
        return PyErr_SetString(PyExc_TypeError, "states go to a StateStore, or are None"), NULL;
    }
    StateStore *store = kept == Py_None ? NULL : (StateStore *)kept;
    f->earliest = earliest, f->latest = latest, f->now = now, f->fresh = fresh;
    at start = block.buf, end = start + block.len;
    Body *body = make_body(f->body_type, 2 * block.len + LINE_EXTRA);
    Tally *tally = body && counts ? make_tally(f) : NULL;
    if (!body || (counts && !tally)) {
        Py_XDECREF((PyObject *)body);
        PyBuffer_Release(&block);
        return NULL;
    }
    char *out = body->memory;
    struct line_ids line_ids = {.body = body, .readable = end};
    f->line_ids = &line_ids;
    struct places taken = {0}, odd = {0};
    int64_t newest = -1;
    int verbatim = 1, memory = 1;
    Py_BEGIN_ALLOW_THREADS
    for (at p = start, stop; memory && p < end; p = stop + 1) {
        stop = memchr(p, '\n', end - p);
        if (!stop) {
            memory = add_place(&odd, p - start);
            break;
        }
        if (stop == p)
            continue;
        char *there = grow_body(body, out, 2 * (stop - p) + LINE_EXTRA);
        if (!there) {
            memory = 0;
            break;
        }
        out = there;
        enum taken how = take(f, p, stop, start_offset + (p - start), &out, store, tally, &newest, &verbatim);
        memory = how != NO_MEMORY && add_place(how == TAKEN ? &taken : &odd, p - start);
    }
    fill_in(&line_ids);
    Py_END_ALLOW_THREADS
    end_body(body, out);
    if (!memory)
        PyErr_NoMemory();
    else
        result = Py_BuildValue("Oy#y#LiO", body, taken.all ? (char *)taken.all : "", taken.count * (Py_ssize_t)sizeof *taken.all,
                               odd.all ? (char *)odd.all : "", odd.count * (Py_ssize_t)sizeof *odd.all, (long long)newest, verbatim,
                               tally ? (PyObject *)tally : Py_None);
    Py_DECREF((PyObject *)body), Py_XDECREF((PyObject *)tally);
    PyBuffer_Release(&block);
    free(taken.all), free(odd.all);
    return result;
}

static char *copy_of(PyObject *bytes, Py_ssize_t *length)
{
    char *text;
    if (PyBytes_AsStringAndSize(bytes, &text, length))
        return NULL;
    char *made = malloc(*length + 1);
    if (!made)
        return PyErr_NoMemory(), NULL;
    memcpy(made, text, *length + 1);
    return made;
}

static int init_counting(struct counting *counting, PyObject *counted, PyObject *bounds)
{
    if (PyList_Size(counted) > STATE_LIMIT || PyList_Size(bounds) > BOUND_LIMIT)
        return PyErr_SetString(PyExc_ValueError, "too many actions or bounds"), -1;
    for (Py_ssize_t i = 0; i < PyList_Size(counted); i++) {
        struct counted *one = &counting->counted[i];
        PyObject *action;
        if (!PyArg_ParseTuple(PyList_GetItem(counted, i), "Siip", &action, &one->event, &one->measures, &one->fails))
            return -1;
        counting->actions++;
        if (!(one->action = copy_of(action, &one->length)))
            return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_Size(bounds); i++) {
        counting->bounds_us[i] = PyLong_AsLongLong(PyList_GetItem(bounds, i));
        counting->bounds++;
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* Framer(fields of jobs, fields of applications, [(dataset, prefix of the action line, daily before, daily since, month)…], [(action, state, rank)…],
 * (ranks: rescheduled, lost, expired, retrying, inferred), host, action line of a state up to its id,
 * (number of events, that of timeouts, [(action, event, measures, whether it fails)…], [bound in microseconds…]),
 * StateStore, Body, Tally) */
static int init(PyObject *self, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    Framer *f = (Framer *)self;
    PyObject *jobs, *apps, *datasets, *states, *host, *state_action, *counted, *bounds;
    if (f->host)
        return PyErr_SetString(PyExc_TypeError, "a Framer is made once"), -1;
    if (!PyArg_ParseTuple(args, "O!O!O!O!(iiiii)SS(iiO!O!)O!O!O!:Framer", &PyTuple_Type, &jobs, &PyTuple_Type, &apps, &PyList_Type, &datasets,
                          &PyList_Type, &states, &f->rescheduled, &f->lost, &f->expired, &f->retrying, &f->inferred, &host, &state_action, &f->counting.events, &f->counting.timeouts, &PyList_Type, &counted, &PyList_Type, &bounds, &PyType_Type,
                          &f->store_type, &PyType_Type, &f->body_type, &PyType_Type, &f->tally_type))
        return f->store_type = f->body_type = f->tally_type = NULL, -1;
    Py_INCREF((PyObject *)f->store_type), Py_INCREF((PyObject *)f->body_type), Py_INCREF((PyObject *)f->tally_type);
    if (!(f->host = copy_of(host, &f->host_length)) || !(f->state_action = copy_of(state_action, &f->state_action_length)) || !make_field(&f->jobs, jobs) || !make_field(&f->apps, apps))
        return -1;
    if (PyList_Size(datasets) > DATASET_LIMIT || PyList_Size(states) > (Py_ssize_t)(sizeof f->states / sizeof *f->states))
        return PyErr_SetString(PyExc_ValueError, "too many datasets or states"), -1;
    f->app = -1;
    if (f->state_action_length > 300)
        return PyErr_SetString(PyExc_ValueError, "an index has a name of more than 255 bytes"), -1;
    for (Py_ssize_t i = 0; i < PyList_Size(datasets); i++) {
        struct dataset *d = &f->datasets[i];
        PyObject *dataset, *prefix;
        if (!PyArg_ParseTuple(PyList_GetItem(datasets, i), "SSppi", &dataset, &prefix, &d->daily_before, &d->daily_since, &d->since))
            return -1;
        f->dataset_count++;
        if (!(d->name = copy_of(dataset, &d->name_length)) || !(d->prefix = copy_of(prefix, &d->prefix_length)))
            return -1;
        if (d->prefix_length > 300)
            return PyErr_SetString(PyExc_ValueError, "an index has a name of more than 255 bytes"), -1;
        if (!strcmp(d->name, "rq.app"))
            f->app = (int)i;
    }
    for (Py_ssize_t i = 0; i < PyList_Size(states); i++) {
        struct job_state *s = &f->states[i];
        PyObject *action, *state;
        if (!PyArg_ParseTuple(PyList_GetItem(states, i), "SSi", &action, &state, &s->rank))
            return -1;
        f->state_count++;
        if (!(s->action = copy_of(action, &s->action_length)) || !(s->state = copy_of(state, &s->state_length)))
            return -1;
    }
    if (f->app < 0)
        return PyErr_SetString(PyExc_ValueError, "rq.app is not among the datasets"), -1;
    return init_counting(&f->counting, counted, bounds);
}

static void dealloc(PyObject *self)
{
    Framer *f = (Framer *)self;
    PyTypeObject *type = Py_TYPE(self);
    free_fields(&f->jobs), free_fields(&f->apps), free(f->host), free(f->state_action), free(f->state_room);
    Py_XDECREF((PyObject *)f->store_type), Py_XDECREF((PyObject *)f->body_type), Py_XDECREF((PyObject *)f->tally_type);
    for (int i = 0; i < f->dataset_count; i++)
        free(f->datasets[i].name), free(f->datasets[i].prefix);
    for (int i = 0; i < f->state_count; i++)
        free(f->states[i].action), free(f->states[i].state);
    for (int i = 0; i < f->counting.actions; i++)
        free(f->counting.counted[i].action);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {{"frame", frame, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_init, init}, {Py_tp_new, PyType_GenericNew}, {Py_tp_dealloc, dealloc}, {Py_tp_methods, methods}, {0, NULL}};

static PyType_Spec spec = {"shipper.ship.reader.framing.Framer", sizeof(Framer), 0, Py_TPFLAGS_DEFAULT, slots};

static int add_types(PyObject *module)
{
    PyObject *framer = PyType_FromSpec(&spec), *store = PyType_FromSpec(&store_spec), *body = PyType_FromSpec(&body_spec), *tally = PyType_FromSpec(&tally_spec);
    int failed = !framer || !store || !body || !tally || PyModule_AddObjectRef(module, "Body", body) || PyModule_AddObjectRef(module, "Framer", framer) || PyModule_AddObjectRef(module, "StateStore", store) || PyModule_AddObjectRef(module, "Tally", tally);
    Py_XDECREF(framer), Py_XDECREF(store), Py_XDECREF(body), Py_XDECREF(tally);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, add_types}, {0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "framing", NULL, 0, NULL, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_framing(void) { return PyModuleDef_Init(&module); }
