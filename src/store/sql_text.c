/* A lexer for what both dialects share: quotes, comments, dollar quotes, parameters, words. It
 * decides nothing about meaning: the database does. It tells how many parameters a statement has,
 * so that a missing one is the same error on both drivers, how a file falls into statements, and
 * which word comes first, since connections are shared: BEGIN, SET or PRAGMA by a script would
 * reach others. Whatever slips through here is caught again: SQLite's authorizer, and PostgreSQL's
 * transaction status after each statement. */
#include "sql_text.h"

#include "sql.h"
#include <ctype.h>

typedef enum { WORD, PARAM, SEMICOLON, OTHER, END } token_kind;

typedef struct {
    slice text;
    size_t at;
    /* the token read last */
    token_kind kind;
    slice token;
    size_t number;
} lexer;

static char peek(const lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.n ? l->text.p[l->at + ahead] : '\0';
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static void skip_to(lexer *l, const char *mark)
{
    size_t n = strlen(mark);
    const char *found = memmem(l->text.p + l->at, l->text.n - l->at, mark, n);
    l->at = found != NULL ? (size_t)(found - l->text.p) + n : l->text.n;
}

/* A doubled quote stands for itself; a backslash only in E''. */
static void skip_quoted(lexer *l, char quote, bool backslash)
{
    for (l->at++; l->at < l->text.n; l->at++) {
        char c = l->text.p[l->at];
        if (backslash && c == '\\') {
            l->at++;
        } else if (c == quote && peek(l, 1) == quote) {
            l->at++;
        } else if (c == quote) {
            l->at++;
            return;
        }
    }
    l->at = l->text.n;
}

static bool skip_space(lexer *l)
{
    size_t before = l->at;
    if (isspace((unsigned char)peek(l, 0)))
        l->at++;
    else if (peek(l, 0) == '-' && peek(l, 1) == '-')
        skip_to(l, "\n");
    else if (peek(l, 0) == '/' && peek(l, 1) == '*')
        skip_to(l, "*/");
    return l->at > before;
}

/* $1, or $tag$ ... $tag$. */
static void read_dollar(lexer *l)
{
    char mark[66];
    size_t n = 1;
    if (isdigit((unsigned char)peek(l, 1))) {
        l->kind = PARAM;
        l->number = 0;
        for (l->at++; isdigit((unsigned char)peek(l, 0)); l->at++) {
            if (l->number < 100000)
                l->number = l->number * 10 + (size_t)(peek(l, 0) - '0');
        }
        return;
    }
    while (n < sizeof mark - 2 && is_word(peek(l, n)))
        n++;
    if (peek(l, n) != '$') {
        l->at++;
        return;
    }
    memcpy(mark, l->text.p + l->at, n + 1);
    mark[n + 1] = '\0';
    l->at += n + 1;
    skip_to(l, mark);
}

static void read_word(lexer *l)
{
    size_t start = l->at;
    l->kind = WORD;
    while (is_word(peek(l, 0)) || peek(l, 0) == '$')
        l->at++;
    l->token = (slice){l->text.p + start, l->at - start};
    if (peek(l, 0) == '\'' && slice_ieq(l->token, SLICE("e")))
        skip_quoted(l, '\'', true);
}

static void next(lexer *l)
{
    while (l->at < l->text.n && skip_space(l))
        continue;
    char c = peek(l, 0);
    l->kind = l->at < l->text.n ? OTHER : END;
    if (l->kind == END)
        return;
    if (c == '\'' || c == '"' || c == '`') {
        skip_quoted(l, c, false);
    } else if (c == '$') {
        read_dollar(l);
    } else if (is_word(c)) {
        read_word(l);
    } else {
        l->kind = c == ';' ? SEMICOLON : OTHER;
        l->at++;
    }
}

/* Bodies of triggers and functions hold semicolons of their own. */
typedef struct {
    size_t words;
    bool creates, has_body;
    int depth;
} nesting;

static void note_word(nesting *n, slice word)
{
    n->words++;
    if (n->words == 1)
        n->creates = slice_ieq(word, SLICE("create"));
    if (n->creates && n->words <= 6 &&
        (slice_ieq(word, SLICE("trigger")) || slice_ieq(word, SLICE("function")) ||
         slice_ieq(word, SLICE("procedure"))))
        n->has_body = true;
    if (!n->has_body)
        return;
    if (slice_ieq(word, SLICE("begin")) || (n->depth > 0 && slice_ieq(word, SLICE("case"))))
        n->depth++;
    else if (n->depth > 0 && slice_ieq(word, SLICE("end")))
        n->depth--;
}

void sql_text_read(slice text, sql_text *t)
{
    lexer l = {.text = text};
    nesting n = {0};
    bool empty = true;
    *t = (sql_text){0};
    for (next(&l); l.kind != END; next(&l)) {
        if (l.kind == SEMICOLON && n.depth == 0) {
            empty = true;
            n = (nesting){0};
            continue;
        }
        t->statements += empty ? 1 : 0;
        empty = false;
        if (l.kind == WORD)
            note_word(&n, l.token);
        if (l.kind == WORD && t->first.n == 0)
            t->first = l.token;
        if (l.kind == PARAM && l.number > t->params)
            t->params = l.number;
    }
}

static void give(lexer *l, size_t start, size_t end, void (*fn)(slice, void *), void *arg)
{
    slice s = {l->text.p + start, end - start};
    sql_text t;
    sql_text_read(s, &t);
    if (t.statements > 0)
        fn(s, arg);
}

void sql_split(slice text, void (*fn)(slice statement, void *arg), void *arg)
{
    lexer l = {.text = text};
    nesting n = {0};
    size_t start = 0;
    for (next(&l); l.kind != END; next(&l)) {
        if (l.kind == WORD)
            note_word(&n, l.token);
        if (l.kind != SEMICOLON || n.depth > 0)
            continue;
        give(&l, start, l.at - 1, fn, arg);
        start = l.at;
        n = (nesting){0};
    }
    give(&l, start, text.n, fn, arg);
}

static bool is_one_of(slice word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (slice_ieq(word, slice_of(*words)))
            return true;
    }
    return false;
}

bool sql_text_may_read(const sql_text *t)
{
    static const char *const words[] = {"select", "values", "with", "explain", NULL};
    return t->first.n == 0 || is_one_of(t->first, words);
}

bool sql_text_is_denied(const sql_text *t)
{
    static const char *const words[] = {
        "begin",   "start",    "commit",  "end",        "rollback", "abort",  "savepoint",
        "release", "prepare",  "execute", "deallocate", "set",      "reset",  "discard",
        "listen",  "unlisten", "copy",    "pragma",     "attach",   "detach", "vacuum",
        "load",    "declare",  "fetch",   "move",       "close",    NULL};
    return is_one_of(t->first, words);
}
