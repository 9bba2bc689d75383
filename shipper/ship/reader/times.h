/* times.py's times, in microseconds since 1970: those that most programs write. */
#ifndef SHIPPER_TIMES_H
#define SHIPPER_TIMES_H

#include <stdint.h>

#include "json.h"

enum parsed { NO_TIME, A_TIME, PERHAPS_A_TIME }; /* the last one is for Python to say */

/* The number that two digits make. *bad becomes 1 if one is none. */
static inline int two_digits(at p, unsigned *bad)
{
    unsigned tens = p[0] - '0', ones = p[1] - '0';
    *bad |= (tens > 9) | (ones > 9);
    return (int)(tens * 10 + ones);
}

/* The number that these digits make; -1 if one is none. */
static int digits(at p, int count)
{
    int found = 0;
    for (; count; count--, p++) {
        if (!is_digit(*p))
            return -1;
        found = found * 10 + (*p - '0');
    }
    return found;
}

/* Days since 1970 of a date, and the other way round: http://howardhinnant.github.io/date_algorithms.html */
static inline int64_t days_of(int year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400, in_era = year - era * 400;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = days / 146097, in_era = days - era * 146097;
    int64_t of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * of_era + of_era / 4 - of_era / 100), mp = (5 * in_year + 2) / 153;
    *day = (int)(in_year - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(of_era + era * 400 + (*month <= 2));
}

static inline int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

static int64_t moment_of(int year, int month, int day, int hour, int minute, int second)
{
    return (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000000;
}

static inline int is_moment(int year, int month, int day, int hour, int minute, int second)
{
    return year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= days_in(year, month) && hour >= 0 && hour < 24
        && minute >= 0 && minute < 60 && second >= 0 && second < 60;
}

/* 2026-11-25T10:00:00, a fraction of up to 9 digits, Z or an offset; or a blank instead of the T, a comma, no zone.
 * `keeps`: whether Elasticsearch reads it as it stands (times.KEPT). */
static enum parsed iso_time(at p, at end, int64_t *us, int *keeps)
{
    if (end - p < 19 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != ' ') || p[13] != ':' || p[16] != ':')
        return PERHAPS_A_TIME;
    unsigned bad = 0;
    int year = two_digits(p, &bad) * 100 + two_digits(p + 2, &bad), month = two_digits(p + 5, &bad), day = two_digits(p + 8, &bad);
    int hour = two_digits(p + 11, &bad), minute = two_digits(p + 14, &bad), second = two_digits(p + 17, &bad), fraction = 0, scale = 100000;
    if (bad || !is_moment(year, month, day, hour, minute, second))
        return PERHAPS_A_TIME;
    *keeps = p[10] == 'T';
    p += 19;
    if (p < end && (*p == '.' || *p == ',')) {
        *keeps &= *p == '.';
        at start = ++p;
        for (; p < end && is_digit(*p); p++, scale /= 10)
            fraction += (*p - '0') * scale;
        if (p == start || p - start > 9)
            return PERHAPS_A_TIME;
    }
    int offset = 0; /* in minutes */
    if (p == end)
        *keeps = 0;
    else if (*p == 'Z')
        p++;
    else if ((*p == '+' || *p == '-') && end - p >= 5) {
        int colon = p[3] == ':', hours, minutes;
        if (end - p < 5 + colon || (hours = digits(p + 1, 2)) < 0 || (minutes = digits(p + 3 + colon, 2)) < 0 || hours > 23 || minutes > 59)
            return PERHAPS_A_TIME;
        offset = (hours * 60 + minutes) * (*p == '-' ? -1 : 1);
        *keeps &= colon;
        p += 5 + colon;
    }
    if (p != end)
        return PERHAPS_A_TIME;
    *us = moment_of(year, month, day, hour, minute, second) + fraction - (int64_t)offset * 60000000;
    return A_TIME;
}

/* [25/Nov/2026:10:00:00 +0000], as access logs have it. */
static enum parsed access_log_time(at p, at end, int64_t *us)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (end - p != 28 || *p != '[' || p[3] != '/' || p[7] != '/' || p[12] != ':' || p[15] != ':' || p[18] != ':' || p[21] != ' ' || p[27] != ']')
        return PERHAPS_A_TIME;
    int month = 0;
    while (month < 12 && memcmp(months + 3 * month, p + 4, 3))
        month++;
    int year = digits(p + 8, 4), day = digits(p + 1, 2), hour = digits(p + 13, 2), minute = digits(p + 16, 2), second = digits(p + 19, 2);
    int hours = digits(p + 23, 2), minutes = digits(p + 25, 2);
    if (month == 12 || !is_moment(year, month + 1, day, hour, minute, second) || hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || (p[22] != '+' && p[22] != '-'))
        return PERHAPS_A_TIME;
    *us = moment_of(year, month + 1, day, hour, minute, second) - (int64_t)(hours * 60 + minutes) * 60000000 * (p[22] == '-' ? -1 : 1);
    return A_TIME;
}

/* A number since 1970, in the unit that its size tells: times._microseconds. */
static enum parsed number_time(at p, at end, int64_t *us)
{
    uint64_t whole = 0, fraction = 0;
    at start = p;
    for (; p < end && is_digit(*p); p++) {
        if (p - start == 19)
            return PERHAPS_A_TIME;
        whole = whole * 10 + (*p - '0');
    }
    if (p == start)
        return NO_TIME;
    int places = whole < 100000000000ULL ? 6 : whole < 100000000000000ULL ? 3 : 0;
    if (p < end) {
        if (*p++ != '.' || p == end)
            return NO_TIME;
        start = p;
        for (; p < end && is_digit(*p); p++)
            if (p - start < places)
                fraction = fraction * 10 + (*p - '0');
        if (p != end)
            return NO_TIME;
        for (int64_t left = places - (p - start); left > 0; left--)
            fraction *= 10;
    }
    *us = (int64_t)(places == 6 ? whole * 1000000 + fraction : places == 3 ? whole * 1000 + fraction : whole < 100000000000000000ULL ? whole : whole / 1000);
    return A_TIME;
}

/* A JSON value as a time. */
static enum parsed time_of(at p, at end, int64_t *us, int *keeps)
{
    *keeps = 0;
    if (*p == '-' || is_digit(*p))
        return number_time(p, end, us);
    if (*p != '"')
        return NO_TIME;
    p++, end--;
    if (memchr(p, '\\', end - p))
        return PERHAPS_A_TIME;
    if (p < end && *p == '[')
        return access_log_time(p, end, us);
    if (end - p > 4 && p[4] == '-')
        return iso_time(p, end, us, keeps);
    return number_time(p, end, us) == A_TIME ? A_TIME : PERHAPS_A_TIME;
}

#endif
