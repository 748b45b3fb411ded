/* ASCII for the letters of other scripts, one character at a time, for names in URLs. Our own small
 * tables: glibc's //TRANSLIT follows the process's locale, Unidecode's tables are GPL, ICU's rules
 * come with 30 MB of data. Compatibility decomposition takes care of accents, ligatures, full-width
 * forms, circled digits and the like, so the tables hold only letters that do not decompose:
 * alphabets from Greek to Thai, kana, and the parts of Hangul syllables. Chinese characters have
 * readings, not spellings: they have no ASCII here and are left out. */
#include "unicode.h"

#include "utf8.h"
#include <stdlib.h>
#include <unictype.h>
#include <uninorm.h>

typedef struct {
    uint32_t first, count;
    const char *const *texts;
} block;

typedef struct {
    uint32_t c;
    const char *text;
} single;

/* clang-format off */
/* Greek */
static const char *const FROM_391[] = {
    "A", "V", "G", "D", "E", "Z", "I", "Th", "I", "K", "L", "M", "N", "X", "O", "P", "R", "",
    "S", "T", "Y", "F", "Ch", "Ps", "O", "I", "Y", "a", "e", "i", "i", "y", "a", "v", "g", "d",
    "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s", "s", "t", "y", "f",
    "ch", "ps", "o", "i", "y", "o", "y", "o",
};
/* Cyrillic */
static const char *const FROM_400[] = {
    "E", "Yo", "Dj", "Gj", "Ie", "Dz", "I", "Yi", "J", "Lj", "Nj", "Tsh", "Kj", "I", "U", "Dzh",
    "A", "B", "V", "G", "D", "E", "Zh", "Z", "I", "Y", "K", "L", "M", "N", "O", "P", "R", "S",
    "T", "U", "F", "Kh", "Ts", "Ch", "Sh", "Shch", "", "Y", "", "E", "Yu", "Ya", "a", "b", "v",
    "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f",
    "kh", "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya", "e", "yo", "dj", "gj", "ie",
    "dz", "i", "yi", "j", "lj", "nj", "tsh", "kj", "i", "u", "dzh",
};
/* Cyrillic of other languages */
static const char *const FROM_490[] = {
    "G", "g", "Gh", "gh", "G", "g", "Zh", "zh", "Z", "z", "K", "k", "K", "k", "K", "k", "K", "k",
    "N", "n", "N", "n", "P", "p", "H", "h", "S", "s", "T", "t", "U", "u", "U", "u", "Kh", "kh",
    "Ts", "ts", "Ch", "ch", "Ch", "ch", "Sh", "sh", "Ch", "ch", "Ch", "ch",
};
/* Armenian capitals */
static const char *const FROM_531[] = {
    "A", "B", "G", "D", "E", "Z", "E", "E", "T", "Zh", "I", "L", "Kh", "Ts", "K", "H", "Dz",
    "Gh", "Ch", "M", "Y", "N", "Sh", "O", "Ch", "P", "J", "R", "S", "V", "T", "R", "Ts", "W",
    "P", "K", "O", "F",
};
/* Armenian */
static const char *const FROM_561[] = {
    "a", "b", "g", "d", "e", "z", "e", "e", "t", "zh", "i", "l", "kh", "ts", "k", "h", "dz",
    "gh", "ch", "m", "y", "n", "sh", "o", "ch", "p", "j", "r", "s", "v", "t", "r", "ts", "w",
    "p", "k", "o", "f", "ev",
};
/* Hebrew */
static const char *const FROM_5D0[] = {
    "a", "b", "g", "d", "h", "v", "z", "ch", "t", "y", "k", "k", "l", "m", "m", "n", "n", "s",
    "a", "p", "p", "ts", "ts", "k", "r", "sh", "t",
};
/* Arabic */
static const char *const FROM_621[] = {
    "a", "a", "a", "w", "i", "y", "a", "b", "t", "t", "th", "j", "h", "kh", "d", "dh", "r", "z",
    "s", "sh", "s", "d", "t", "z", "a", "gh", "", "", "", "", "", "", "f", "q", "k", "l", "m",
    "n", "h", "w", "a", "y",
};
/* Persian and Urdu */
static const char *const FROM_671[] = {
    "a", "a", "a", "", "a", "a", "u", "u", "y", "t", "t", "b", "t", "t", "p", "t", "b", "b",
    "ny", "dy", "c", "c", "ch", "c", "d", "d", "d", "d", "d", "d", "d", "d", "d", "r", "r", "r",
    "r", "r", "r", "z", "r", "s", "s", "s", "s", "t", "f", "f", "f", "v", "f", "p", "q", "q",
    "k", "k", "k", "k", "k", "ng", "k", "g", "g", "g", "g", "g", "g", "l", "l", "l", "l", "n",
    "n", "n", "n", "n", "h", "ch", "h", "h", "h", "t", "w", "oe", "w", "u", "yu", "yu", "w", "v",
    "y", "y", "e",
};
/* Devanagari vowels and letters */
static const char *const FROM_905[] = {
    "a", "aa", "i", "ii", "u", "uu", "r", "l", "e", "e", "e", "ai", "o", "o", "o", "au", "k",
    "kh", "g", "gh", "ng", "c", "ch", "j", "jh", "ny", "t", "th", "d", "dh", "n", "t", "th", "d",
    "dh", "n", "n", "p", "ph", "b", "bh", "m", "y", "r", "r", "l", "l", "l", "v", "sh", "ss",
    "s", "h", "", "", "", "", "aa", "i", "ii", "u", "uu", "r", "rr", "e", "e", "e", "ai", "o",
    "o", "o", "au",
};
/* Georgian */
static const char *const FROM_10D0[] = {
    "a", "b", "g", "d", "e", "v", "z", "t", "i", "k", "l", "m", "n", "o", "p", "zh", "r", "s",
    "t", "u", "p", "k", "gh", "q", "sh", "ch", "ts", "dz", "ts", "ch", "kh", "j", "h",
};
/* Thai */
static const char *const FROM_E01[] = {
    "k", "kh", "kh", "kh", "kh", "kh", "ng", "ch", "ch", "ch", "s", "ch", "y", "d", "t", "th",
    "th", "th", "n", "d", "t", "th", "th", "th", "n", "b", "p", "ph", "f", "ph", "f", "ph", "m",
    "y", "r", "rue", "l", "lue", "w", "s", "s", "s", "h", "l", "o", "h", "", "a", "a", "a", "am",
    "i", "i", "ue", "ue", "u", "u",
};
/* Thai vowels before a letter */
static const char *const FROM_E40[] = {
    "e", "ae", "o", "ai", "ai",
};
/* Hiragana; Katakana is 0x60 further */
static const char *const FROM_3041[] = {
    "a", "a", "i", "i", "u", "u", "e", "e", "o", "o", "ka", "ga", "ki", "gi", "ku", "gu", "ke",
    "ge", "ko", "go", "sa", "za", "shi", "ji", "su", "zu", "se", "ze", "so", "zo", "ta", "da",
    "chi", "ji", "tsu", "tsu", "zu", "te", "de", "to", "do", "na", "ni", "nu", "ne", "no", "ha",
    "ba", "pa", "hi", "bi", "pi", "fu", "bu", "pu", "he", "be", "pe", "ho", "bo", "po", "ma",
    "mi", "mu", "me", "mo", "ya", "ya", "yu", "yu", "yo", "yo", "ra", "ri", "ru", "re", "ro",
    "wa", "wa", "i", "e", "o", "n", "vu", "ka", "ke",
};
static const char *const HANGUL_LEADS[] = {
    "g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t",
    "p", "h",
};
static const char *const HANGUL_VOWELS[] = {
    "a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo",
    "we", "wi", "yu", "eu", "ui", "i",
};
static const char *const HANGUL_TAILS[] = {
    "", "k", "k", "k", "n", "n", "n", "t", "l", "l", "l", "l", "l", "l", "l", "l", "m", "p", "p",
    "t", "t", "ng", "t", "t", "k", "t", "p", "t",
};

#define ROWS(first) {0x##first, sizeof FROM_##first / sizeof FROM_##first[0], FROM_##first}
static const block BLOCKS[] = {
    ROWS(391), ROWS(400), ROWS(490), ROWS(531), ROWS(561), ROWS(5D0), ROWS(621), ROWS(671), ROWS(905), ROWS(E01), ROWS(E40), ROWS(10D0), ROWS(3041)};

static const single SINGLES[] = {
    {0xA1, "!"}, {0xA2, "c"}, {0xA3, "GBP"}, {0xA5, "JPY"}, {0xA9, "(c)"}, {0xAB, "<<"},
    {0xAE, "(r)"}, {0xB1, "+-"}, {0xB7, "."}, {0xBB, ">>"}, {0xBF, "?"}, {0xC6, "AE"},
    {0xD0, "D"}, {0xD7, "x"}, {0xD8, "O"}, {0xDE, "Th"}, {0xDF, "ss"}, {0xE6, "ae"}, {0xF0, "d"},
    {0xF7, "/"}, {0xF8, "o"}, {0xFE, "th"}, {0x110, "D"}, {0x111, "d"}, {0x126, "H"},
    {0x127, "h"}, {0x131, "i"}, {0x138, "k"}, {0x141, "L"}, {0x142, "l"}, {0x149, "n"},
    {0x14A, "NG"}, {0x14B, "ng"}, {0x152, "OE"}, {0x153, "oe"}, {0x166, "T"}, {0x167, "t"},
    {0x180, "b"}, {0x181, "B"}, {0x186, "O"}, {0x187, "C"}, {0x188, "c"}, {0x189, "D"},
    {0x18A, "D"}, {0x18E, "E"}, {0x18F, "E"}, {0x190, "E"}, {0x191, "F"}, {0x192, "f"},
    {0x193, "G"}, {0x195, "hv"}, {0x197, "I"}, {0x198, "K"}, {0x199, "k"}, {0x19A, "l"},
    {0x19D, "N"}, {0x19E, "n"}, {0x1A4, "P"}, {0x1A5, "p"}, {0x1AB, "t"}, {0x1AC, "T"},
    {0x1AD, "t"}, {0x1AE, "T"}, {0x1B2, "V"}, {0x1B3, "Y"}, {0x1B4, "y"}, {0x1B5, "Z"},
    {0x1B6, "z"}, {0x1DD, "e"}, {0x1E4, "G"}, {0x1E5, "g"}, {0x21C, "Y"}, {0x21D, "y"},
    {0x221, "d"}, {0x234, "l"}, {0x235, "n"}, {0x236, "t"}, {0x23A, "A"}, {0x23B, "C"},
    {0x23C, "c"}, {0x23D, "L"}, {0x23E, "T"}, {0x243, "B"}, {0x244, "U"}, {0x246, "E"},
    {0x247, "e"}, {0x248, "J"}, {0x249, "j"}, {0x24C, "R"}, {0x24D, "r"}, {0x24E, "Y"},
    {0x24F, "y"}, {0x250, "a"}, {0x251, "a"}, {0x253, "b"}, {0x254, "o"}, {0x256, "d"},
    {0x257, "d"}, {0x259, "e"}, {0x25B, "e"}, {0x260, "g"}, {0x261, "g"}, {0x268, "i"},
    {0x269, "i"}, {0x26A, "I"}, {0x272, "n"}, {0x275, "o"}, {0x283, "sh"}, {0x289, "u"},
    {0x28A, "u"}, {0x28B, "v"}, {0x292, "zh"}, {0x60C, ","}, {0x61B, ";"}, {0x61F, "?"},
    {0x66A, "%"}, {0x1E9E, "SS"}, {0x2010, "-"}, {0x2011, "-"}, {0x2012, "-"}, {0x2013, "-"},
    {0x2014, "-"}, {0x2015, "-"}, {0x2018, "'"}, {0x2019, "'"}, {0x201A, "'"}, {0x201B, "'"},
    {0x201C, "\""}, {0x201D, "\""}, {0x201E, "\""}, {0x2020, "+"}, {0x2022, "*"}, {0x2032, "'"},
    {0x2033, "\""}, {0x2039, "<"}, {0x203A, ">"}, {0x2044, "/"}, {0x20A4, "GBP"}, {0x20A9, "KRW"},
    {0x20AA, "ILS"}, {0x20AC, "EUR"}, {0x20B9, "INR"}, {0x20BA, "TRY"}, {0x20BD, "RUB"},
    {0x20BF, "BTC"}, {0x2116, "No"}, {0x2190, "<-"}, {0x2192, "->"}, {0x2212, "-"},
    {0x2260, "!="}, {0x2264, "<="}, {0x2265, ">="}, {0x3001, ","}, {0x3002, "."}, {0x300C, "\""},
    {0x300D, "\""},
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static size_t put_text(char *out, size_t at, const char *text)
{
    size_t n = strlen(text);
    if (at + n > UNICODE_ASCII_ROOM)
        return at;
    memcpy(out + at, text, n);
    return at + n;
}

static int compare_single(const void *key, const void *row)
{
    uint32_t c = *(const uint32_t *)key, other = ((const single *)row)->c;
    return (c > other) - (c < other);
}

/* NULL: not in a table. */
static const char *look_up(uint32_t c)
{
    if (c >= 0x30A1 && c <= 0x30F6)
        c -= 0x60; /* katakana as hiragana */
    const single *s = bsearch(&c, SINGLES, COUNT(SINGLES), sizeof(single), compare_single);
    if (s != NULL)
        return s->text;
    for (size_t i = 0; i < COUNT(BLOCKS); i++)
        if (c >= BLOCKS[i].first && c - BLOCKS[i].first < BLOCKS[i].count)
            return BLOCKS[i].texts[c - BLOCKS[i].first];
    return NULL;
}

static size_t put_syllable(uint32_t c, char *out)
{
    uint32_t index = c - 0xAC00;
    size_t n = put_text(out, 0, HANGUL_LEADS[index / (21 * 28)]);
    n = put_text(out, n, HANGUL_VOWELS[index / 28 % 21]);
    return put_text(out, n, HANGUL_TAILS[index % 28]);
}

static size_t put_part(uint32_t c, char *out, size_t at)
{
    char ascii[2] = {(char)c, '\0'};
    if (c < 0x80)
        return put_text(out, at, ascii);
    const char *text = look_up(c);
    if (text != NULL)
        return put_text(out, at, text);
    return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Pd) ? put_text(out, at, "-") : at;
}

static size_t put_decomposed(uint32_t c, char *out)
{
    uint32_t parts[64];
    size_t count = COUNT(parts), n = 0;
    uint32_t *found = u32_normalize(UNINORM_NFKD, &c, 1, parts, &count);
    if (found == parts) {
        for (size_t i = 0; i < count; i++)
            n = put_part(parts[i], out, n);
    } else {
        free(found);
    }
    return n;
}

size_t unicode_ascii(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (unicode_is_space(c))
        return put_text(out, 0, " ");
    if (c >= 0xAC00 && c <= 0xD7A3)
        return put_syllable(c, out);
    const char *text = look_up(c);
    return text != NULL ? put_text(out, 0, text) : put_decomposed(c, out);
}
