/* Writes what is sent. Each function returns where its output ends. */
#ifndef SHIPPER_PUT_H
#define SHIPPER_PUT_H

#include "line.h"
#include "times.h"

static char *put(char *out, const void *what, Py_ssize_t size) { return (char *)memcpy(out, what, size) + size; }
static char *put_text(char *out, const char *text) { return put(out, text, strlen(text)); }
static char *put_span(char *out, struct span s) { return put(out, s.start, size_of(s)); }

static char *put_digits(char *out, int64_t number, int count)
{
    for (int i = count; i--; number /= 10)
        out[i] = (char)('0' + number % 10);
    return out + count;
}

static char *put_number(char *out, uint64_t number)
{
    char digits[20];
    int at = 20;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    return put(out, digits + at, 20 - at);
}

static char *put_hex(char *out, uint64_t number, int count)
{
    for (int i = count; i--; number >>= 4)
        out[i] = "0123456789abcdef"[number & 15];
    return out + count;
}

/* A moment as records.timestamp writes it. */
static char *put_time(char *out, int64_t us)
{
    int year, month, day;
    int64_t days = us / 86400000000, rest = us % 86400000000;
    date_of(days, &year, &month, &day);
    out = put_digits(out, year, 4), *out++ = '-', out = put_digits(out, month, 2), *out++ = '-', out = put_digits(out, day, 2);
    *out++ = 'T', out = put_digits(out, rest / 3600000000, 2), *out++ = ':', out = put_digits(out, rest / 60000000 % 60, 2);
    *out++ = ':', out = put_digits(out, rest / 1000000 % 60, 2), *out++ = '.', out = put_digits(out, rest % 1000000, 6);
    *out++ = 'Z';
    return out;
}

/* The action line up to the id: {"create":{"_index":"rq-app-default-2026.11.25","_id":" */
static char *put_head(char *out, const struct dataset *d, int64_t us)
{
    int year, month, day;
    date_of(us / 86400000000, &year, &month, &day);
    out = put(out, d->prefix, d->prefix_length);
    out = put_digits(out, year, 4), *out++ = '.', out = put_digits(out, month, 2);
    if (year * 12 + month < d->since ? d->daily_before : d->daily_since)
        *out++ = '.', out = put_digits(out, day, 2);
    return put_text(out, "\",\"_id\":\"");
}

#endif
