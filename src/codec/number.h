/* Decimal text <-> double and int64, exactly, whatever the process's locale is. */
#pragma once
#include "slice.h"
#include <stdint.h>

typedef enum { NUMBER_INTEGER, NUMBER_FLOAT, NUMBER_TOO_LARGE } number_kind;

typedef struct {
    int64_t integer;
    double number;
} number_value;

/* Reads a number that is known to have JSON's form: [-] digits [. digits] [e [+-] digits]. An
 * integer beyond int64, "-0", and all with a point or an exponent are floats. */
number_kind number_read(slice text, number_value *value);

#define NUMBER_ROOM 32 /* bytes that the two below may write */

/* These write without a NUL and return the end. */
char *number_put_integer(char *out, int64_t value);
/* A finite number: the fewest digits that read back as the same double, with a point or an exponent
 * always: 1.0, 0.1, 1e16. */
char *number_put_float(char *out, double value);
