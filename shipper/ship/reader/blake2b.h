/* BLAKE2b without a key (RFC 7693), of several messages side by side.
 *
 * Within a message each step waits for the one before it. Four messages fill a vector, in which each has its place:
 * with AVX2 they take about as long as two would one after the other. */
#ifndef SHIPPER_BLAKE2B_H
#define SHIPPER_BLAKE2B_H

#include <stdint.h>
#include <string.h>

enum { LANES = 4, BLAKE2B_BLOCK = 128 };

struct blake2b { uint64_t state[8][LANES]; }; /* a digest is the beginning of its lane's words, in little-endian order */

typedef uint64_t lanes __attribute__((vector_size(8 * LANES)));

/* Which of the two is used is decided when the module is loaded; musl's loader cannot do that. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define FOR_THIS_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_THIS_PROCESSOR
#endif

static const uint64_t BLAKE2B_START[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static const unsigned char BLAKE2B_ORDER[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static inline uint64_t blake2b_word(const unsigned char *p) /* in little-endian order */
{
    uint64_t word = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(&word, p, sizeof word);
#else
    for (int byte = 7; byte >= 0; byte--)
        word = word << 8 | p[byte];
#endif
    return word;
}

#define BLAKE2B_TURN(x, by) ((x) = (x) >> (by) | (x) << (64 - (by)))

#define BLAKE2B_MIX(a, b, c, d, x, y)                                                                              \
    (v[a] += v[b] + (x), v[d] ^= v[a], BLAKE2B_TURN(v[d], 32), v[c] += v[d], v[b] ^= v[c], BLAKE2B_TURN(v[b], 24),  \
     v[a] += v[b] + (y), v[d] ^= v[a], BLAKE2B_TURN(v[d], 16), v[c] += v[d], v[b] ^= v[c], BLAKE2B_TURN(v[b], 63))

/* Take one block of each message: `bytes` says how many its message has up to its end, `last` whether that is all of
 * it (all bits set) or not (none). */
FOR_THIS_PROCESSOR
static void blake2b_take(struct blake2b *h, const unsigned char *const block[LANES], const uint64_t bytes[LANES], const uint64_t last[LANES])
{
    lanes v[16], m[16], part;
    for (int i = 0; i < 16; i++)
        for (int lane = 0; lane < LANES; lane++)
            m[i][lane] = blake2b_word(block[lane] + 8 * i);
    for (int i = 0; i < 8; i++) {
        memcpy(&v[i], h->state[i], sizeof part);
        v[i + 8] = (lanes){0} + BLAKE2B_START[i];
    }
    memcpy(&part, bytes, sizeof part), v[12] ^= part;
    memcpy(&part, last, sizeof part), v[14] ^= part;
    /* Unrolled, the order is known when it is compiled, and nothing has to be looked up. */
#pragma GCC unroll 12
    for (int round = 0; round < 12; round++) {
        const unsigned char *o = BLAKE2B_ORDER[round % 10];
        BLAKE2B_MIX(0, 4, 8, 12, m[o[0]], m[o[1]]);
        BLAKE2B_MIX(1, 5, 9, 13, m[o[2]], m[o[3]]);
        BLAKE2B_MIX(2, 6, 10, 14, m[o[4]], m[o[5]]);
        BLAKE2B_MIX(3, 7, 11, 15, m[o[6]], m[o[7]]);
        BLAKE2B_MIX(0, 5, 10, 15, m[o[8]], m[o[9]]);
        BLAKE2B_MIX(1, 6, 11, 12, m[o[10]], m[o[11]]);
        BLAKE2B_MIX(2, 7, 8, 13, m[o[12]], m[o[13]]);
        BLAKE2B_MIX(3, 4, 9, 14, m[o[14]], m[o[15]]);
    }
    for (int i = 0; i < 8; i++) {
        memcpy(&part, h->state[i], sizeof part);
        part ^= v[i] ^ v[i + 8];
        memcpy(h->state[i], &part, sizeof part);
    }
}

/* A new message in one lane. */
static void blake2b_begin(struct blake2b *h, int lane, int digest_size)
{
    for (int i = 0; i < 8; i++)
        h->state[i][lane] = BLAKE2B_START[i];
    h->state[0][lane] ^= 0x01010000u ^ (uint64_t)digest_size;
}

#endif
