/* Lua 5.4's patterns with a bound on the work: the same matches and the same errors as the string
 * library, or the error that it took too many steps. */
#pragma once
#include "byte_set.h"
#include "slice.h"
#include <stdint.h>

#define PATTERN_MAX_CAPTURES 32
#define PATTERN_POSITION (-2) /* length of a position capture: `()` */

typedef struct {
    const char *start;
    ptrdiff_t length; /* or PATTERN_POSITION, or negative while open */
} pattern_capture;

typedef struct {
    slice subject, pattern; /* the pattern without its anchor */
    bool anchored;
    uint64_t steps, look, most;
    bool (*over)(void); /* looked at now and then; true: the caller's time is used up */
    int level;          /* captures that are open or closed */
    int depth;          /* recursion that is left */
    pattern_capture captures[PATTERN_MAX_CAPTURES];
    const char *error; /* why the last match ended: a format; %d in it is error_index */
    int error_index;
    const char *set_item; /* the item that `set` is of */
    byte_set set;
} pattern_state;

/* `anchors` says whether a leading ^ anchors (not so in gmatch). Steps: 1,000,000 and 4 for each
 * byte of the subject, 30,000,000 at most. */
void pattern_open(pattern_state *m, slice subject, slice pattern, bool anchors, bool (*over)(void));
/* Matches at s exactly. The end of the match; NULL: no match, or m->error. */
const char *pattern_match_at(pattern_state *m, const char *s);
/* The first match at or behind *s, which becomes its start. */
const char *pattern_search(pattern_state *m, const char **s);
/* Work done outside on the same budget; false sets m->error. */
bool pattern_charge(pattern_state *m, uint64_t steps);
/* No character of it means anything: it can be searched as it is. */
bool pattern_is_plain(slice pattern);

/* What m->error is compared with. */
extern const char PATTERN_TOO_MANY_STEPS[], PATTERN_OUT_OF_TIME[];
