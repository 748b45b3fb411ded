/* The classes are the C library's in the locale "C", which no code changes; their sets are made
 * once. */
#include "byte_set.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>

static const char letters[] = "acdglpsuwxz";
static byte_set classes[sizeof letters - 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool is_in(int c, int letter)
{
    switch (letter) {
    case 'a':
        return isalpha(c) != 0;
    case 'c':
        return iscntrl(c) != 0;
    case 'd':
        return isdigit(c) != 0;
    case 'g':
        return isgraph(c) != 0;
    case 'l':
        return islower(c) != 0;
    case 'p':
        return ispunct(c) != 0;
    case 's':
        return isspace(c) != 0;
    case 'u':
        return isupper(c) != 0;
    case 'w':
        return isalnum(c) != 0;
    case 'x':
        return isxdigit(c) != 0;
    default:
        return c == 0; /* z */
    }
}

static const char *letter_of(int class)
{
    return class != '\0' ? strchr(letters, tolower(class)) : NULL;
}

static void make_classes(void)
{
    for (size_t i = 0; letters[i] != '\0'; i++)
        for (int c = 0; c < 256; c++)
            if (is_in(c, letters[i]))
                byte_set_add(&classes[i], (unsigned char)c, (unsigned char)c);
}

/* By words: a set that a stranger has written may have a hundred thousand ranges. */
void byte_set_add(byte_set *set, unsigned char first, unsigned char last)
{
    for (int i = first >> 6; first <= last && i <= last >> 6; i++) {
        uint64_t bits = ~(uint64_t)0;
        if (i == first >> 6)
            bits &= ~(uint64_t)0 << (first & 63);
        if (i == last >> 6)
            bits &= ~(uint64_t)0 >> (63 - (last & 63));
        set->words[i] |= bits;
    }
}

void byte_set_add_class(byte_set *set, unsigned char class)
{
    const char *letter = letter_of(class);
    if (letter == NULL) {
        byte_set_add(set, class, class);
        return;
    }
    pthread_once(&once, make_classes);
    uint64_t others = isupper(class) ? ~(uint64_t)0 : 0;
    for (int i = 0; i < 4; i++)
        set->words[i] |= classes[letter - letters].words[i] ^ others;
}

void byte_set_invert(byte_set *set)
{
    for (int i = 0; i < 4; i++)
        set->words[i] = ~set->words[i];
}
