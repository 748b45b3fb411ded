/* The wire format of a live picture. What must never happen: a part's bytes without the next part's
 * head behind them in the same frame, since the browser would show the picture one update late. */
#include "mixed_part.h"

#define HEAD "--frame\r\nContent-Type: image/svg+xml\r\n\r\n"
#define TAIL "\r\n" HEAD

const slice mixed_opening = {HEAD, sizeof HEAD - 1};

frame *mixed_encode(const frame *picture)
{
    return frame_join(picture->data, picture->len, TAIL, sizeof TAIL - 1);
}

bool mixed_forges_part(slice picture)
{
    static const char boundary[] = "--frame";
    const size_t n = sizeof boundary - 1;
    const char *at = picture.p, *end = picture.p + picture.n;
    while ((size_t)(end - at) >= n) {
        const char *found = memmem(at, (size_t)(end - at), boundary, n);
        if (found == NULL)
            return false;
        if (found == picture.p || found[-1] == '\n' || found[-1] == '\r')
            return true;
        at = found + 1;
    }
    return false;
}
