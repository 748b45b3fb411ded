/* Status codes and their reason phrases (RFC 9110, section 15). */
#pragma once
#include "slice.h"

/* Empty for a code without a registered phrase; any number may be asked for. Lives forever. */
slice status_reason(int status);
