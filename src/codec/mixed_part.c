/* The wire format of a live picture. What must never happen: a part's bytes without the next part's
 * head behind them in the same frame, since the browser would show the picture one update late. */
#include "mixed_part.h"

#define HEAD "--frame\r\nContent-Type: image/svg+xml\r\n\r\n"
#define TAIL "\r\n" HEAD

const slice mixed_opening = {HEAD, sizeof HEAD - 1};

bool mixed_could_forge(slice picture)
{
    const char *p = picture.p, *end = picture.p + picture.n;
    while ((p = memmem(p, (size_t)(end - p), "--frame", 7)) != NULL) {
        if (p == picture.p || p[-1] == '\n' || p[-1] == '\r')
            return true;
        p += 7;
    }
    return false;
}

frame *mixed_encode(const frame *picture)
{
    return frame_join(picture->data, picture->len, TAIL, sizeof TAIL - 1);
}
