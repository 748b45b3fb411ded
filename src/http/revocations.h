/* Tokens that are no longer good though their time is not over: one by its jti, or all that a user
 * or a tenant had until a moment. One table per process, bounded, under a lock of its own, so that
 * a check costs no look-up in the store; the store keeps what survives the process. An entry goes
 * when the tokens that it concerns have expired.
 *
 * Tokens of one login belong together: a jti FAMILY.REST is revoked by its own name and by FAMILY.
 *
 * After the start, and after a lost link to other nodes, the table is stale until somebody has read
 * the store again: who checks a token then reads it first. */
#pragma once
#include "audience.h"

enum { REVOCATION_TEXT_MAX = 255, REVOCATION_KEY_MAX = 2 * REVOCATION_TEXT_MAX + 32 };

typedef struct {
    slice jti, user, tenant; /* a jti; or a user, of any tenant when that is empty; or a tenant */
    int64_t before;          /* concerns what was issued until then; Unix seconds */
    int64_t until;           /* and has expired by then */
} revocation;

void revocations_configure(size_t max); /* entries */
/* Does a revocation of this jti concern a token? */
bool revocation_concerns(slice revoked, slice jti);
/* Under which name it is kept, "" when no text is set or one is too long. */
slice revocation_key(const revocation *r, char out[REVOCATION_KEY_MAX]);
/* Enters it, or extends the entry that is there. False: the table is full. */
bool revocations_add(slice key, int64_t before, int64_t until);
bool revocations_hit(const audience_identity *who);
size_t revocations_count(void);
void revocations_free(void); /* at the end of the process */

/* Messages may have been missed. */
void revocations_break(void);
/* A number that changes with each break; to be given back when the store has been read since. */
uint64_t revocations_epoch(void);
void revocations_read(uint64_t epoch);
bool revocations_fresh(void);
