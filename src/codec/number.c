/* Numbers as text. Why not strtod and printf alone: both read the locale's decimal point, which a
 * script can set, and printf cannot be asked for the shortest digits.
 *
 * Reading is exact with one operation when the digits fit 2^53 and the power of ten is at most
 * 10^22: then both are doubles without an error, and one multiplication or division rounds once
 * (Clinger). All others go to strtod in the C locale.
 *
 * Writing is Schubfach (R. Giulietti, "The Schubfach way to render doubles"): three multiplications
 * with a 128-bit power of ten give the decimals at the borders of what rounds to x; the shortest
 * between them is taken. Grisu needs a second way for 0.5 % of the numbers, Ryu a larger table, and
 * trying %.15g to %.17g takes ten times as long. */
#include "number.h"

#include "number_powers.h"
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT_POWER 22
#define MAX_DIGITS                                                                \
    780 /* 767 decide about the last bit; what follows only matters as "not zero" \
         */
#define SHORT_TEXT 64
#define EXPONENT_CAP 1000000000

static const double POWERS[EXACT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double read_double(const char *text)
{
    pthread_once(&c_locale_once, make_locale);
    return c_locale != (locale_t)0 ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
}

/* "-12.50e3" taken apart: digits 12.50 as 1250 (if they fit), power -2 + 3. */
typedef struct {
    slice mantissa; /* digits and perhaps a point */
    uint64_t digits;
    int64_t power;
    bool negative, fits, whole;
} parts;

static void add_digit(parts *n, char c)
{
    if (n->digits > 999999999999999999) /* 18 digits: one more always fits */
        n->fits = false;
    if (n->fits)
        n->digits = n->digits * 10 + (unsigned)(c - '0');
}

static int64_t read_exponent(const char *p, const char *end)
{
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    int64_t value = 0;
    for (; p < end; p++)
        if (value < EXPONENT_CAP)
            value = value * 10 + (*p - '0');
    return negative ? -value : value;
}

static parts take_apart(slice text)
{
    const char *p = text.p, *end = text.p + text.n;
    parts n = {.fits = true, .whole = true, .negative = *p == '-'};
    p += n.negative;
    n.mantissa.p = p;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        add_digit(&n, *p);
    if (p < end && *p == '.') {
        n.whole = false;
        for (p++; p < end && *p >= '0' && *p <= '9'; p++) {
            add_digit(&n, *p);
            n.power--;
        }
    }
    n.mantissa.n = (size_t)(p - n.mantissa.p);
    if (p < end) {
        n.whole = false;
        n.power += read_exponent(p + 1, end);
    }
    return n;
}

/* Any length of digits, as the C library reads it: "digits e power", no point, no leading zeros. */
static double read_long(const parts *n)
{
    char text[MAX_DIGITS + 32];
    size_t len = 0;
    int64_t power = n->power;
    bool rest = false;
    for (size_t i = 0; i < n->mantissa.n; i++) {
        char c = n->mantissa.p[i];
        if (c == '.' || (c == '0' && len == 0))
            continue;
        if (len < MAX_DIGITS) {
            text[len++] = c;
        } else {
            rest |= c != '0';
            power++;
        }
    }
    if (len == 0)
        return 0.0;
    if (rest) {
        text[len++] = '1';
        power--;
    }
    if (power > EXPONENT_CAP)
        power = EXPONENT_CAP;
    if (power < -EXPONENT_CAP)
        power = -EXPONENT_CAP;
    snprintf(text + len, sizeof text - len, "e%lld", (long long)power);
    return read_double(text);
}

/* strtod needs a NUL behind the digits. */
static double read_short(const parts *n, const char *end)
{
    char text[SHORT_TEXT];
    size_t len = (size_t)(end - n->mantissa.p);
    memcpy(text, n->mantissa.p, len);
    text[len] = '\0';
    return read_double(text);
}

static double to_double(const parts *n, const char *end)
{
    if (n->fits && n->digits <= 1ULL << 53) {
        double d = (double)n->digits;
        if (n->power == 0)
            return d;
        if (n->power < 0 && n->power >= -EXACT_POWER)
            return d / POWERS[-n->power];
        if (n->power > 0 && n->power <= EXACT_POWER)
            return d * POWERS[n->power];
    }
    return end - n->mantissa.p < SHORT_TEXT ? read_short(n, end) : read_long(n);
}

number_kind number_read(slice text, number_value *value)
{
    parts n = take_apart(text);
    if (n.whole && n.fits && !(n.negative && n.digits == 0)) {
        if (n.digits <= (uint64_t)INT64_MAX + n.negative) {
            value->integer = (int64_t)(n.negative ? 0 - n.digits : n.digits);
            return NUMBER_INTEGER;
        }
    }
    double d = to_double(&n, text.p + text.n);
    if (isinf(d))
        return NUMBER_TOO_LARGE;
    value->number = n.negative ? -d : d;
    return NUMBER_FLOAT;
}

/* Writing ------------------------------------------------------------------------------------- */

static size_t digits_of(uint64_t value, char digits[20])
{
    size_t at = 20;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memmove(digits, digits + at, 20 - at);
    return 20 - at;
}

static char *put(char *out, const char *data, size_t n)
{
    memcpy(out, data, n);
    return out + n;
}

char *number_put_integer(char *out, int64_t value)
{
    char digits[20];
    if (value < 0)
        *out++ = '-';
    size_t n = digits_of(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, digits);
    return put(out, digits, n);
}

/* x = 0.d1d2d3... * 10^point */
typedef struct {
    char digits[20];
    int count, point;
} decimal;

static int64_t floor_log2_pow10(int64_t e)
{
    return (e * 1741647) >> 19;
}

/* The upper 64 bits of power * x, the last one set when anything was cut off. */
static uint64_t multiply_to_odd(const uint64_t power[2], uint64_t x)
{
    unsigned __int128 low = (unsigned __int128)power[1] * x;
    unsigned __int128 high = (unsigned __int128)power[0] * x + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The decimal in the rounding interval of c * 2^q with the fewest digits, then the closest. */
static uint64_t shortest(uint64_t c, int64_t q, bool narrow_below, int64_t *exponent)
{
    int64_t k = (q * 1262611 - (narrow_below ? 524031 : 0)) >> 22; /* floor(log10) */
    int64_t h = q + floor_log2_pow10(-k) + 1;
    const uint64_t *power = POWERS_OF_TEN[-k - POWERS_FIRST];
    uint64_t odd = c & 1; /* the ends of the interval belong to even numbers only */
    uint64_t lower = multiply_to_odd(power, (4 * c - 2 + narrow_below) << h) + odd;
    uint64_t middle = multiply_to_odd(power, (4 * c) << h);
    uint64_t upper = multiply_to_odd(power, (4 * c + 2) << h) - odd;
    uint64_t s = middle / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up) {
            *exponent = k + 1;
            return tens + up;
        }
    }
    *exponent = k;
    bool down = lower <= 4 * s, up = 4 * s + 4 <= upper;
    if (down != up)
        return s + up;
    uint64_t half = 4 * s + 2;
    return s + (middle > half || (middle == half && (s & 1) != 0));
}

static void to_decimal(double x, decimal *d)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t fraction = bits & ((1ULL << 52) - 1);
    int64_t biased = (int64_t)(bits >> 52), exponent = 0;
    uint64_t c = biased > 0 ? fraction | 1ULL << 52 : fraction;
    int64_t q = (biased > 0 ? biased : 1) - 1075;
    uint64_t value;
    if (q <= 0 && q > -53 && (c & ((1ULL << -q) - 1)) == 0)
        value = c >> -q; /* a whole number */
    else
        value = shortest(c, q, fraction == 0 && biased > 1, &exponent);
    d->count = (int)digits_of(value, d->digits);
    d->point = d->count + (int)exponent;
    while (d->count > 1 && d->digits[d->count - 1] == '0')
        d->count--;
}

static char *zeros(char *out, int n)
{
    memset(out, '0', (size_t)n);
    return out + n;
}

/* The notation of serde_json and JavaScript's relatives: plain from 1e-5 to 1e16. */
static char *lay_out(char *out, const decimal *d)
{
    if (d->point > 0 && d->point <= 16) {
        if (d->count <= d->point) {
            out = put(out, d->digits, (size_t)d->count);
            out = zeros(out, d->point - d->count);
            return put(out, ".0", 2);
        }
        out = put(out, d->digits, (size_t)d->point);
        *out++ = '.';
        return put(out, d->digits + d->point, (size_t)(d->count - d->point));
    }
    if (d->point > -5 && d->point <= 0) {
        out = put(out, "0.", 2);
        out = zeros(out, -d->point);
        return put(out, d->digits, (size_t)d->count);
    }
    *out++ = d->digits[0];
    if (d->count > 1) {
        *out++ = '.';
        out = put(out, d->digits + 1, (size_t)d->count - 1);
    }
    *out++ = 'e';
    return number_put_integer(out, d->point - 1);
}

char *number_put_float(char *out, double value)
{
    if (signbit(value))
        *out++ = '-';
    double x = fabs(value);
    if (x == 0)
        return put(out, "0.0", 3);
    decimal d;
    to_decimal(x, &d);
    return lay_out(out, &d);
}
