/* The fuzzer's corpus, replayed, and each file mutated a few times by a seeded generator: the
 * fuzzer for machines without clang. HTTP_FUZZ_ROUNDS raises the number of mutations. */
#include "../fuzz/http_fuzz.c"

#include <dirent.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MAX_FILE = 8192, MAX_FILES = 2048 };

static struct {
    uint8_t bytes[MAX_FILE];
    size_t n;
} files[MAX_FILES];
static size_t file_count;

static uint64_t seed = 1;

static size_t below(size_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % limit;
}

static void corpus_path(char *path, size_t size)
{
    const char *end = strstr(__FILE__, "c/http_corpus_spec.c");
    snprintf(path, size, "%.*sfuzz/corpus/http_fuzz", (int)(end - __FILE__), __FILE__);
}

static int visible(const struct dirent *it)
{
    return *it->d_name != '.';
}

static void read_corpus(void)
{
    char path[512], name[1024];
    struct dirent **found;
    corpus_path(path, sizeof path);
    int n = scandir(path, &found, visible, alphasort);
    assert_in_range(n, 1, MAX_FILES);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s/%s", path, found[i]->d_name);
        FILE *f = fopen(name, "rb");
        assert_non_null(f);
        files[file_count].n = fread(files[file_count].bytes, 1, MAX_FILE, f);
        file_count++;
        fclose(f);
        free(found[i]);
    }
    free(found);
}

static void every_file_of_the_corpus_is_survived(void **state)
{
    (void)state;
    read_corpus();
    assert_true(file_count > 100);
    for (size_t i = 0; i < file_count; i++)
        LLVMFuzzerTestOneInput(files[i].bytes, files[i].n);
}

/* One change: a byte, a cut, a doubled run, or a piece of another file. */
static size_t mutate(uint8_t *bytes, size_t n)
{
    static const uint8_t odd[] = {0,   '\r', '\n', ' ', ':',  '0', 'f',
                                  ';', ',',  '%',  '/', 0xff, '\t'};
    size_t at = below(n), run = 1 + below(16), other = below(file_count);
    switch (below(4)) {
    case 0:
        bytes[at] = odd[below(sizeof odd)];
        return n;
    case 1:
        run = run < n - at ? run : n - at;
        memmove(bytes + at, bytes + at + run, n - at - run);
        return n - run;
    case 2:
        run = run < n - at ? run : n - at;
        memmove(bytes + at + run, bytes + at, n - at);
        return n + run;
    default:
        run = run < files[other].n ? run : files[other].n;
        memmove(bytes + at + run, bytes + at, n - at);
        memcpy(bytes + at, files[other].bytes + below(files[other].n - run + 1), run);
        return n + run;
    }
}

static void mutations_of_the_corpus_are_survived(void **state)
{
    (void)state;
    const char *wanted = getenv("HTTP_FUZZ_ROUNDS");
    int rounds = wanted != NULL ? atoi(wanted) : 10;
    static uint8_t bytes[MAX_FILE + 256];
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < file_count; i++) {
            size_t n = files[i].n;
            memcpy(bytes, files[i].bytes, n);
            for (size_t changes = 1 + below(4); changes > 0 && n > 2; changes--)
                n = mutate(bytes, n);
            LLVMFuzzerTestOneInput(bytes, n);
        }
    }
    assert_int_equal(rig_stop(&fuzz_rig), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_of_the_corpus_is_survived),
        cmocka_unit_test(mutations_of_the_corpus_are_survived),
    };
    return cmocka_run_group_tests_name("the corpus of HTTP", tests, NULL, NULL);
}
