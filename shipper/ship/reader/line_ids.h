/* The ids of lines that state none (document.line_id). Several are computed at a time, so each has a place kept for it
 * in what is sent, and is written there later. */
#ifndef SHIPPER_LINE_IDS_H
#define SHIPPER_LINE_IDS_H

#include "blake2b.h"
#include "body.h"
#include "put.h"

enum { DIGEST = 10, LINE_ID_HEAD = 512, ALL_LANES = (1 << LANES) - 1 };

/* What an id is the hash of: `head`, and the line. */
struct line_id {
    size_t place; /* in the body */
    size_t head_size, size, done;
    at line;
    unsigned char head[LINE_ID_HEAD + BLAKE2B_BLOCK], block[2 * BLAKE2B_BLOCK];
};

struct line_ids {
    struct blake2b hash;
    struct line_id lanes[LANES];
    int busy; /* a bit for each lane with an id that is not written yet */
    Body *body;
    at readable; /* where the block ends that the lines stand in */
};

/* The next block of a message: within the line where it is all there. What is copied has a fixed size where that can
 * be read, as that is one instruction or two; what is too much is overwritten. */
static const unsigned char *next_block(struct line_id *id, at readable)
{
    size_t left = id->size - id->done, of_head = id->done < id->head_size ? id->head_size - id->done : 0;
    at line = id->line + (of_head ? 0 : id->done - id->head_size);
    if (!of_head && left >= BLAKE2B_BLOCK)
        return line;
    if (of_head > BLAKE2B_BLOCK)
        of_head = BLAKE2B_BLOCK;
    size_t part = left < BLAKE2B_BLOCK ? left : BLAKE2B_BLOCK;
    if (of_head)
        memcpy(id->block, id->head + id->done, BLAKE2B_BLOCK);
    if (readable - line >= BLAKE2B_BLOCK)
        memcpy(id->block + of_head, line, BLAKE2B_BLOCK);
    else
        memcpy(id->block + of_head, line, part - of_head);
    memset(id->block + part, 0, BLAKE2B_BLOCK);
    return id->block;
}

/* Take a block more of each message, and write the ids of those that end with it. */
static void advance(struct line_ids *ids)
{
    static const unsigned char nothing[BLAKE2B_BLOCK];
    const unsigned char *block[LANES];
    uint64_t bytes[LANES] = {0}, last[LANES] = {0};
    for (int lane = 0; lane < LANES; lane++) {
        struct line_id *id = &ids->lanes[lane];
        block[lane] = nothing;
        if (!(ids->busy >> lane & 1))
            continue;
        block[lane] = next_block(id, ids->readable);
        id->done += BLAKE2B_BLOCK;
        last[lane] = id->done >= id->size ? UINT64_MAX : 0;
        bytes[lane] = last[lane] ? id->size : id->done;
    }
    blake2b_take(&ids->hash, block, bytes, last);
    for (int lane = 0; lane < LANES; lane++)
        if (last[lane]) {
            char *out = ids->body->memory + ids->lanes[lane].place;
            for (int byte = 0; byte < DIGEST; byte++)
                out = put_hex(out, ids->hash.state[byte / 8][lane] >> (8 * (byte % 8)) & 0xff, 2);
            ids->busy &= ~(1 << lane);
        }
}

/* document.line_id of the line from `start` to `end`, which stay there until fill_in. Returns where
 * the output goes on; NULL if the host and the file have names too long. */
static char *put_line_id(char *out, const Framer *f, int64_t us, int64_t offset, at start, at end)
{
    struct line_ids *ids = f->line_ids;
    if (f->host_length + f->file_id_length > LINE_ID_HEAD - 24) /* three NULs and an offset */
        return NULL;
    while (ids->busy == ALL_LANES)
        advance(ids);
    int lane = 0;
    while (ids->busy >> lane & 1)
        lane++;
    out = put_hex(out, (uint64_t)(us / 1000), 12);
    struct line_id *id = &ids->lanes[lane];
    char *head = put(put((char *)id->head, f->host, f->host_length), "", 1);
    head = put(put(head, f->file_id, f->file_id_length), "", 1);
    head = put(put_number(head, (uint64_t)offset), "", 1);
    id->place = out - ids->body->memory, id->line = start, id->done = 0;
    id->head_size = head - (char *)id->head, id->size = id->head_size + (end - start);
    blake2b_begin(&ids->hash, lane, DIGEST);
    ids->busy |= 1 << lane;
    return out + 2 * DIGEST;
}

/* Write the ids that are not written yet. */
static void fill_in(struct line_ids *ids)
{
    while (ids->busy)
        advance(ids);
}

#endif
