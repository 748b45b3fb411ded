/* One value of a setting as text and as number; used by config.c alone. */
#pragma once
#include "config.h"

/* The number behind the text (0 for texts and lists); false: not a value of this key. */
bool config_parse(const config_key *key, const char *text, int64_t *number);
/* "64M", "15m", "60". */
void config_show_number(buf *out, config_type type, int64_t value);
