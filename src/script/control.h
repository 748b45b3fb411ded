/* host.control's end to the host. Free of Lua's headers. */
#pragma once
#include "script.h"

/* On a worker's thread: an attempt to reload has ended (or there will be none any more); scripts of
 * this worker that wait for it go on. */
void control_reload_ended(const host_api *host);
