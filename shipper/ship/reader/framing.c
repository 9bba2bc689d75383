/* A block of our own records → the body that is sent: fastpath.py's way through a block, in one pass.
 *
 * frame(block, heads) checks each line as fastpath.py does and puts the action line before it. It answers None for
 * whatever is odd in the least, and says nothing about why: the Python beside it looks again, line by line. Nothing
 * here decides what becomes of a line that is not as ours are.
 *
 * Half of the time of the steps in Python (docs/performance.md). The grammar is RFC 8259's, the encoding
 * RFC 3629's, and both are meant to be no wider than msgspec's and Python's: tests/unit/test_fastpath.py compares them.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef const unsigned char *at;

/* Where things stand in a line of ours: records.py. */
static const char LINE_START[] = "{\"@timestamp\":\"", ID_MARK[] = "Z\",\"event\":{\"id\":\"", AFTER_ID[] = "\"}}\n";
enum { DAY_END = 25, TIME_START = 15, ID_MARK_START = 41, ID_START = 59, ID_LENGTH = 32, KIND_START = 91, KIND_LENGTH = 20 };
enum { KEY_LENGTH = DAY_END + KIND_LENGTH, HEAD_LENGTH = KIND_START + KIND_LENGTH };
enum { AFTER_ID_LENGTH = sizeof AFTER_ID - 1 };
enum { DEPTH_LIMIT = 64 }; /* deeper ones are rare, and no worse for being looked at in Python */

static int is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static int is_hex(unsigned char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); }
static int is_alnum(unsigned char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

/* --- JSON ---------------------------------------------------------------------------------------------------
 * Each of these begins where its part begins, and returns where that ends; NULL if it is none. A line ends in a
 * newline, which is part of nothing: none of them goes beyond it. */

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

static at escaped(at p)
{
    switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return p + 2;
    default:
        if (!is_unit(p + 1))
            return NULL;
        if ((p[2] | 32) != 'd' || p[3] < '8')
            return p + 6;
        /* the first half of a pair, and then the second */
        if ((p[3] | 32) > 'b' || p[6] != '\\' || !is_unit(p + 7) || (p[8] | 32) != 'd' || (p[9] | 32) < 'c')
            return NULL;
        return p + 12;
    }
}

/* Where the next control character, quote, backslash or byte of no ASCII stands. There is one: the newline. */
static at special(at p, at end)
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

static at string(at p, at end)
{
    for (p++;;) {
        p = special(p, end);
        if (*p == '"')
            return p + 1;
        p = *p == '\\' ? escaped(p) : *p >= 0x80 ? well_encoded(p, end) : NULL;
        if (!p)
            return NULL;
    }
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
    return end - p > length && memcmp(p, expected, length) == 0 ? p + length : NULL;
}

static at blank(at p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r')
        p++;
    return p;
}

/* A name and the colon after it. */
static at name(at p, at end)
{
    if (*p != '"' || !(p = string(p, end)))
        return NULL;
    p = blank(p);
    return *p == ':' ? blank(p + 1) : NULL;
}

static at object(at p, at end)
{
    char closes[DEPTH_LIMIT]; /* what ends each of those that are open */
    int depth = 0;
    for (;;) {
        /* a value */
        switch (*p) {
        case '{': case '[':
            if (depth == DEPTH_LIMIT)
                return NULL;
            closes[depth++] = *p == '{' ? '}' : ']';
            p = blank(p + 1);
            if (*p == closes[depth - 1])
                break; /* empty: ended below */
            if (closes[depth - 1] == '}' && !(p = name(p, end)))
                return NULL;
            continue;
        case '"': p = string(p, end); break;
        case 't': p = word(p, end, "true", 4); break;
        case 'f': p = word(p, end, "false", 5); break;
        case 'n': p = word(p, end, "null", 4); break;
        default: p = number(p);
        }
        /* what follows it */
        for (;;) {
            if (!p)
                return NULL;
            p = blank(p);
            if (*p != closes[depth - 1])
                break;
            p++;
            if (--depth == 0)
                return p;
        }
        if (*p != ',')
            return NULL;
        p = blank(p + 1);
        if (closes[depth - 1] == '}' && !(p = name(p, end)))
            return NULL;
    }
}

/* --- a line ------------------------------------------------------------------------------------------------- */

/* Of T00:00:00.000000, whether it is a time of the day. */
static int is_time(at p)
{
    static const char shape[] = "T00:00:00.000000";
    for (int i = 0; i < 16; i++)
        if (shape[i] == '0' ? !is_digit(p[i]) : p[i] != shape[i])
            return 0;
    return (p[1] < '2' || (p[1] == '2' && p[2] < '4')) && p[4] < '6' && p[7] < '6';
}

/* Whether the line from p up to the newline at `end` is a record of ours. */
static int is_ours(at p, at end)
{
    if (end - p <= HEAD_LENGTH || memcmp(p, LINE_START, TIME_START) || memcmp(p + ID_MARK_START, ID_MARK, sizeof ID_MARK - 1))
        return 0;
    if (!is_time(p + DAY_END) || end[-1] != '}')
        return 0;
    for (int i = 0; i < ID_LENGTH; i++)
        if (!is_alnum(p[ID_START + i]))
            return 0;
    return object(p, end) == end;
}

/* What the action lines of one day and dataset begin with. As a rule it is that of the line before. */
struct head {
    at line; /* the last one that it was found for */
    char *text;
    Py_ssize_t size;
};

/* Whether there is one for this line. An exception may be set where there is none. */
static int find(struct head *head, PyObject *heads, at line)
{
    at before = head->line;
    head->line = line;
    if (before && !memcmp(line, before, DAY_END) && !memcmp(line + KIND_START, before + KIND_START, KIND_LENGTH))
        return 1;
    unsigned char key[KEY_LENGTH];
    memcpy(key, line, DAY_END);
    memcpy(key + DAY_END, line + KIND_START, KIND_LENGTH);
    PyObject *made = PyBytes_FromStringAndSize((const char *)key, KEY_LENGTH);
    PyObject *found = made ? PyDict_GetItemWithError(heads, made) : NULL; /* borrowed: heads holds it */
    Py_XDECREF(made);
    return found && !PyBytes_AsStringAndSize(found, &head->text, &head->size);
}

static char *put(char *out, const void *what, Py_ssize_t size) { return (char *)memcpy(out, what, size) + size; }

static PyObject *frame(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *block, *heads;
    char *text;
    Py_ssize_t size, total = 0, count = 0;
    if (!PyArg_ParseTuple(args, "SO!:frame", &block, &PyDict_Type, &heads) || PyBytes_AsStringAndSize(block, &text, &size))
        return NULL;
    at start = (at)text, end = start + size, stop;
    struct head head = {NULL, NULL, 0};
    for (at line = start; line < end; line = stop + 1, count++) {
        stop = memchr(line, '\n', end - line);
        if (!stop || !is_ours(line, stop) || !find(&head, heads, line))
            goto odd;
        total += head.size + ID_LENGTH + AFTER_ID_LENGTH + (stop + 1 - line);
    }
    if (!count)
        goto odd;
    PyObject *body = PyBytes_FromStringAndSize(NULL, total);
    if (!body)
        return NULL;
    char *out = PyBytes_AsString(body);
    for (at line = start; line < end; line = stop + 1) {
        stop = memchr(line, '\n', end - line);
        find(&head, heads, line);
        out = put(out, head.text, head.size);
        out = put(out, line + ID_START, ID_LENGTH);
        out = put(out, AFTER_ID, AFTER_ID_LENGTH);
        out = put(out, line, stop + 1 - line);
    }
    return Py_BuildValue("Nn", body, count);
odd:
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"frame", frame, METH_VARARGS,
     "frame(block, heads)\n--\n\nAction and source of each line, and how many there are; None if any line is odd."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "framing", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_framing(void) { return PyModuleDef_Init(&module); }
