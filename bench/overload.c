/* A topic with more to send than a machine can: many WebSocket subscribers of "bench.crowd", of
 * whom some read nothing, and RATE messages of BYTES a second. How late is a message at those who
 * read, what is left out, is all of that told, and how does the server's memory grow?
 *
 *   overload server -p PORT -S PID -c CLIENTS -w PERCENT -r RATE -z BYTES -t SECONDS
 *   overload floor                 -c CLIENTS -w PERCENT -r RATE -z BYTES -t SECONDS
 *
 * `floor` has no server: two threads send the same frames to the same sockets, and nothing else; a
 * socket that is full misses the message. It says what this machine can do at all.
 *
 * The load shares the machine with the server, so it costs as little as it can: what comes is
 * thrown away in the kernel and counted, and one of CHECKED clients is read in full: each message
 * must be the next one, or a gap must have said how many are missing. A message is late by the time
 * since it was due, whether or not the publisher could send it then. Prints one JSON object. */
#include "clients.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

enum { EVENTS = 256, CHECKED = 10, MESSAGES_MAX = 100000, HEAD = 256, READERS = 2 };

/* A thread that reads, and what it has seen. */
typedef struct {
    int epoll, opened, cut;
    size_t frame_size, late_n, late_cap, gaps, told, silent;
    float *late;
} reader;

typedef struct {
    int fd;
    reader *home;
    bool slow, checked, open;
    size_t bytes;      /* of those that are only counted */
    long next;         /* the number that must come */
    char head[HEAD];   /* of a frame */
    size_t have, left; /* of it, and of what follows it */
    size_t sent;       /* floor: of the frame that the socket did not take in full */
} client;

static int clients_n = 100, seconds = 60, rate = 30, percent = 10;
static size_t size = 20480;
static long server;
static client *clients;
static reader readers[READERS];
static bool is_floor;

static double begin;
static volatile int published;
static volatile bool over;
static double floor_cpu[2]; /* of its two threads */

/* What is read ------------------------------------------------------------------------------- */

static void watch(client *c, unsigned events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(c->home->epoll, op, c->fd, &e) != 0)
        die("epoll_ctl");
}

static void lose(client *c)
{
    epoll_ctl(c->home->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    c->home->cut++;
}

/* A message that is the first of this client: from here on it counts. */
static void take_number(client *c, long number)
{
    reader *r = c->home;
    if (c->next >= 0 && number != c->next)
        r->silent += (size_t)labs(number - c->next);
    c->next = number + 1;
    if (r->late_n < r->late_cap)
        r->late[r->late_n++] = (float)(now() - (begin + (double)number / rate));
}

static void take_head(client *c)
{
    const char *payload = memmem(c->head, c->have, "\"payload\":", 10);
    const char *lost = memmem(c->head, c->have, "\"lost\":", 7);
    if (payload != NULL) {
        take_number(c, atol(payload + 10));
    } else if (lost != NULL) {
        c->home->gaps++;
        c->home->told += strtoul(lost + 7, NULL, 10);
        c->next += c->next >= 0 ? atol(lost + 7) : 0;
    }
}

/* The head and the payload's length of a server's frame; 0: it is not all there. */
static size_t frame_length(const client *c)
{
    const unsigned char *h = (const unsigned char *)c->head;
    size_t n = c->have < 2 ? 0 : h[1] & 0x7F;
    if (c->have < 2 || (n == 126 && c->have < 4) || (n == 127 && c->have < 10))
        return 0;
    if (n < 126)
        return 2 + n;
    if (n == 126)
        return 4 + ((size_t)h[2] << 8 | h[3]);
    return 10 + ((size_t)h[6] << 24 | (size_t)h[7] << 16 | (size_t)h[8] << 8 | h[9]);
}

/* One frame, as far as it has come: its beginning is read, the rest thrown away. */
static void read_frame(client *c)
{
    ssize_t got;
    if (c->left > 0) {
        got = recv(c->fd, NULL, c->left, MSG_TRUNC);
        c->left -= got > 0 ? (size_t)got : 0;
    } else {
        size_t whole = frame_length(c), most = whole != 0 && whole < HEAD ? whole : HEAD;
        most = whole == 0 ? 10 : most;
        got = recv(c->fd, c->head + c->have, most - c->have, 0);
        c->have += got > 0 ? (size_t)got : 0;
        whole = frame_length(c);
        if (whole != 0 && c->have == (whole < HEAD ? whole : HEAD)) {
            take_head(c);
            c->left = whole - c->have;
            if (whole > c->home->frame_size)
                c->home->frame_size = whole;
            c->have = 0;
        }
    }
    if (got == 0 || (got < 0 && errno != EAGAIN))
        lose(c);
}

static void count_bytes(client *c)
{
    ssize_t got = recv(c->fd, NULL, 1 << 24, MSG_TRUNC);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        lose(c);
    else if (got > 0 && published > 0)
        c->bytes += (size_t)got;
}

static bool read_answer(client *c)
{
    char head[LINE];
    ssize_t got = recv(c->fd, head, sizeof head, MSG_PEEK);
    char *end = got > 0 ? memmem(head, (size_t)got, "\r\n\r\n", 4) : NULL;
    if (end == NULL)
        return false;
    recv(c->fd, head, (size_t)(end + 4 - head), 0);
    c->open = true;
    c->home->opened++;
    return true;
}

static void on_readable(client *c)
{
    if (!c->open && !read_answer(c))
        return;
    if (!c->checked) {
        count_bytes(c);
        return;
    }
    read_frame(c);
    if (c->left > 0 || c->have > 0)
        read_frame(c);
}

static void *read_all(void *arg)
{
    const reader *r = arg;
    struct epoll_event events[EVENTS];
    while (!over) {
        int n = epoll_wait(r->epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
    }
    return NULL;
}

/* A server's clients ------------------------------------------------------------------------- */

static void greet(client *c)
{
    static const char subscribe[] =
        "subscribe-json:{\"topic\":\"bench.crowd\",\"session_id\":\"s\"}";
    char bytes[LINE];
    size_t n = sizeof opening - 1;
    memcpy(bytes, opening, n);
    n += put_frame(bytes + n, subscribe, sizeof subscribe - 1);
    if (send(c->fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("send");
}

static void connect_all(void)
{
    for (int i = 0; i < clients_n; i++) {
        client *c = &clients[i];
        c->fd = open_socket(i, true);
        greet(c);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        if (!c->slow)
            watch(c, EPOLLIN, EPOLL_CTL_ADD);
    }
}

/* Any byte tells a server that its pings are heard: each of those who read sends one in five
 * seconds, a twentieth of them at a time. */
static void answer_pings(int tick)
{
    static const char pong[] = {(char)0x8A, (char)0x80, 0, 0, 0, 0};
    for (int i = tick % 20; i < clients_n && !is_floor; i += 20)
        if (!clients[i].slow)
            send(clients[i].fd, pong, sizeof pong, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void wait_until(double when)
{
    double left = when - now();
    struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    if (left > 0)
        nanosleep(&t, NULL);
}

static void *publish_all(void *arg)
{
    int fd = *(int *)arg;
    for (int i = 0; i < seconds * rate; i++) {
        wait_until(begin + (double)i / rate);
        published = i + 1;
        publish(fd, i, size);
    }
    return NULL;
}

/* The floor ---------------------------------------------------------------------------------- */

static void pair_all(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (bind(listener, (struct sockaddr *)&address, n) != 0 || listen(listener, 100) != 0)
        die("listen");
    getsockname(listener, (struct sockaddr *)&address, &n);
    port = ntohs(address.sin_port);
    for (int i = 0; i < clients_n; i++) {
        client *c = &clients[i];
        c->fd = open_socket(i, true);
        int theirs = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (theirs < 0)
            die("accept");
        setsockopt(theirs, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->sent = (size_t)theirs << 32; /* the writer's: its socket above, bytes below */
        c->open = true;
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        if (!c->slow)
            watch(c, EPOLLIN, EPOLL_CTL_ADD);
        c->home->opened += c->slow ? 0 : 1;
    }
}

/* Sends what is left of the frame before, and then this one. */
static void give(client *c, const char *frame, size_t n)
{
    int fd = (int)(c->sent >> 32);
    size_t at = (uint32_t)c->sent;
    for (int i = 0; i < 2; i++) {
        size_t from = at;
        if (i == 0 && at == 0)
            continue;
        ssize_t sent = send(fd, frame + from, n - from, MSG_NOSIGNAL);
        at = from + (sent > 0 ? (size_t)sent : 0);
        if (at < n)
            break;
        at = 0;
    }
    c->sent = (size_t)fd << 32 | at;
}

static void *write_all(void *arg)
{
    int half = (int)(intptr_t)arg;
    char *text = malloc(size + 400), *frame = malloc(size + 500);
    for (int i = 0; i < seconds * rate; i++) {
        int n = sprintf(text, "{\"channel\":\"bench.crowd\",\"data\":{\"payload\":%8d,\"x\":\"", i);
        memset(text + n, 'x', size);
        strcpy(text + n + size, "\"}}");
        size_t length = strlen(text);
        frame[0] = (char)0x81;
        size_t head = length < 126 ? 2 : 4;
        frame[1] = (char)(length < 126 ? length : 126);
        frame[2] = (char)(length >> 8);
        frame[3] = (char)length;
        memcpy(frame + head, text, length);
        wait_until(begin + (double)i / rate);
        published = i + 1;
        for (int k = half; k < clients_n; k += 2)
            give(&clients[k], frame, head + length);
        struct timespec t;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        floor_cpu[half] = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    }
    return NULL;
}

/* What it costs ------------------------------------------------------------------------------ */

static long rss_kib(void)
{
    char name[64], line[200];
    long kib = 0;
    snprintf(name, sizeof name, "/proc/%ld/status", server);
    FILE *f = fopen(name, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        sscanf(line, "VmRSS: %ld", &kib);
    if (f != NULL)
        fclose(f);
    return kib;
}

static double cpu_seconds(void)
{
    char path[300];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%ld/task", server);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        unsigned long long ns = 0;
        snprintf(path, sizeof path, "/proc/%ld/task/%.20s/schedstat", server, e->d_name);
        FILE *f = fopen(path, "r");
        if (f != NULL && fscanf(f, "%llu", &ns) == 1)
            sum += (double)ns / 1e9;
        if (f != NULL)
            fclose(f);
    }
    if (dir != NULL)
        closedir(dir);
    return sum;
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double late_ms(const reader *all, double part)
{
    return all->late_n > 0 ? all->late[(size_t)((double)(all->late_n - 1) * part)] * 1e3 : 0;
}

static reader sum_up(void)
{
    reader all = {0};
    for (int i = 0; i < READERS; i++)
        all.late_n += readers[i].late_n;
    all.late = malloc(sizeof *all.late * (all.late_n + 1));
    size_t at = 0;
    for (int i = 0; i < READERS; i++) {
        const reader *r = &readers[i];
        memcpy(all.late + at, r->late, r->late_n * sizeof *r->late);
        at += r->late_n;
        all.gaps += r->gaps;
        all.told += r->told;
        all.silent += r->silent;
        all.cut += r->cut;
        all.frame_size = r->frame_size > all.frame_size ? r->frame_size : all.frame_size;
    }
    qsort(all.late, all.late_n, sizeof *all.late, by_float);
    return all;
}

static void print(int reading, double cpu, const long rss[3])
{
    reader all = sum_up();
    size_t counted = 0;
    for (int i = 0; i < clients_n; i++)
        counted += clients[i].bytes;
    double sent =
        (double)all.late_n + (all.frame_size > 0 ? (double)(counted / all.frame_size) : 0);
    printf("{\"clients\":%d,\"slow\":%d,\"rate\":%d,\"bytes\":%zu,\"seconds\":%d,"
           "\"delivered\":%.3f,\"per_second\":%.0f,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f,"
           "\"checked\":%zu,\"gaps\":%zu,\"told\":%zu,\"silent\":%zu,\"cut\":%d",
           clients_n, clients_n - reading, rate, size, seconds,
           sent / ((double)reading * seconds * rate), sent / seconds, late_ms(&all, 0.5),
           late_ms(&all, 0.99), late_ms(&all, 1), all.late_n, all.gaps, all.told, all.silent,
           all.cut);
    printf(",\"cpu_us\":%.2f", (is_floor ? floor_cpu[0] + floor_cpu[1] : cpu) / sent * 1e6);
    if (!is_floor)
        printf(",\"rss_before_kib\":%ld,\"rss_third_kib\":%ld,\"rss_most_kib\":%ld", rss[0], rss[1],
               rss[2]);
    printf("}\n");
}

/* -------------------------------------------------------------------------------------------- */

static int prepare(void)
{
    int reading = 0;
    clients = calloc((size_t)clients_n, sizeof *clients);
    for (int i = 0; i < clients_n; i++) {
        clients[i] = (client){.slow = i % 100 < percent,
                              .checked = i % CHECKED == CHECKED - 1,
                              .home = &readers[i / CHECKED % READERS],
                              .next = -1};
        reading += clients[i].slow ? 0 : 1;
    }
    for (int i = 0; i < READERS; i++) {
        reader *r = &readers[i];
        r->epoll = epoll_create1(0);
        r->late_cap = (size_t)(clients_n / CHECKED + CHECKED) * (size_t)(seconds * rate + 1);
        r->late = malloc(sizeof *r->late * r->late_cap);
    }
    return reading;
}

static void start(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    if (pthread_create(&t, NULL, fn, arg) != 0)
        die("a thread");
    pthread_detach(t);
}

static void start_writers(int *fd)
{
    begin = now() + 0.2;
    if (!is_floor)
        start(publish_all, fd);
    for (int i = 0; is_floor && i < 2; i++)
        start(write_all, (void *)(intptr_t)i);
}

static int opened(void)
{
    int n = 0;
    for (int i = 0; i < READERS; i++)
        n += readers[i].opened;
    return n;
}

static void run(void)
{
    int fd = is_floor ? 0 : open_publisher(), reading = prepare();
    for (int i = 0; i < READERS; i++)
        start(read_all, &readers[i]);
    if (is_floor)
        pair_all();
    else
        connect_all();
    for (double limit = now() + STALL_S; opened() < reading && now() < limit;)
        wait_until(now() + 0.1);
    if (opened() < reading)
        die("not all are connected");
    wait_until(now() + 1);
    long rss[3] = {rss_kib(), 0, 0};
    double cpu = cpu_seconds();
    start_writers(&fd);
    int tick = 0;
    for (double end = begin + seconds + 2; now() < end; wait_until(now() + 0.25)) {
        answer_pings(tick++);
        long kib = rss_kib();
        rss[2] = kib > rss[2] ? kib : rss[2];
        if (now() < begin + seconds / 3.0)
            rss[1] = rss[2];
    }
    over = true;
    wait_until(now() + 0.3);
    print(reading, cpu_seconds() - cpu, rss);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    is_floor = strcmp(argv[1], "floor") == 0;
    for (int option; (option = getopt(argc - 1, argv + 1, "p:c:S:t:r:z:w:")) != -1;) {
        long value = strtol(optarg != NULL ? optarg : "", NULL, 10);
        if (option == 'S')
            server = value;
        else if (option == 'z')
            size = (size_t)value;
        else if (option != '?')
            *(option == 'p'   ? &port
              : option == 'c' ? &clients_n
              : option == 't' ? &seconds
              : option == 'r' ? &rate
                              : &percent) = (int)value;
        else
            return 2;
    }
    if (seconds * rate > MESSAGES_MAX || size > 60000)
        die("too much");
    run();
    return 0;
}
