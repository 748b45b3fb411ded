/* JSON: any bytes. The events must nest, strings and numbers must come back from their own writing
 * as they were. */
#include "json.h"
#include "number.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine)
{
    if (!fine)
        abort();
}

static void check_string(const json_reader *r)
{
    char *value = malloc(r->text.n + 1);
    size_t n = r->text.n;
    if (r->escaped)
        n = json_unescape(r->text, value);
    else
        memcpy(value, r->text.p, n);
    check(n <= r->text.n);
    size_t room = json_string_size((slice){value, n});
    char *written = malloc(room);
    check(room >= 2 && json_put_string(written, (slice){value, n}) == written + room);
    json_reader again;
    json_open(&again, (slice){written, room}, 1);
    check(json_next(&again) == JSON_STRING);
    char *back = malloc(again.text.n + 1);
    size_t back_n = again.escaped ? json_unescape(again.text, back) : again.text.n;
    check(back_n == n && memcmp(again.escaped ? back : again.text.p, value, n) == 0);
    check(json_next(&again) == JSON_END);
    free(back);
    free(written);
    free(value);
}

static void check_number(const json_reader *r, json_event event)
{
    char text[NUMBER_ROOM];
    char *end = event == JSON_INTEGER ? number_put_integer(text, r->integer)
                                      : number_put_float(text, r->number);
    check(end - text <= NUMBER_ROOM);
    json_reader again;
    json_open(&again, (slice){text, (size_t)(end - text)}, 1);
    check(json_next(&again) == event);
    if (event == JSON_INTEGER)
        check(again.integer == r->integer);
    else
        check(again.number == r->number && signbit(again.number) == signbit(r->number));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* an exact copy below finds reads behind the end */
    text = realloc(text, size > 0 ? size : 1);
    if (size > 0)
        memcpy(text, data, size);
    json_reader r;
    json_open(&r, (slice){text, size}, 64);
    long open = 0;
    json_event event;
    while ((event = json_next(&r)) != JSON_ERROR && event != JSON_END) {
        open += (event == JSON_ARRAY || event == JSON_OBJECT);
        open -= (event == JSON_ARRAY_END || event == JSON_OBJECT_END);
        check(open >= 0 && open <= 64);
        if (event == JSON_STRING || event == JSON_KEY)
            check_string(&r);
        if (event == JSON_INTEGER || event == JSON_FLOAT)
            check_number(&r, event);
    }
    if (event == JSON_ERROR) {
        char message[128];
        check(json_describe(&r, message, sizeof message) <= size && message[0] != '\0');
    } else {
        check(open == 0);
    }
    check(json_next(&r) == event);
    free(text);
    return 0;
}
