/* What the load generators share: clocks, latencies, and connections to loopback by epoll.
 *
 * Each of them is one file of C and one thread, and includes this after defining PROGRAM, its
 * name in messages.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 * 1024,
    OPENING_AT_ONCE = 128, /* fewer than any server's backlog */
    EVENTS = 256,
    SOURCES = 32, /* addresses 127.0.0.1, .2...: each has ports of its own */
};

/* RFC 6455 §5.2 */
enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80, MASKED = 0x80 };
static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

static int epoll;
static uint64_t *latencies;
static size_t latency_count, latency_room;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs(PROGRAM ": ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *resize(void *memory, size_t bytes) {
    memory = realloc(memory, bytes ? bytes : 1);
    if (!memory) fail("no memory for %zu bytes", bytes);
    return memory;
}

static void *allocate(size_t bytes) { return memset(resize(NULL, bytes), 0, bytes); }

/* Clocks */

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) fail("cannot read a clock (is the server gone?): %m");
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

/* Latencies */

static void note_latency(uint64_t ns) {
    if (latency_count == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 16;
        latencies = resize(latencies, latency_room * sizeof *latencies);
    }
    latencies[latency_count++] = ns;
}

static int compare_latencies(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void sort_latencies(void) {
    if (latency_count) qsort(latencies, latency_count, sizeof *latencies, compare_latencies);
}

/* Prints a member of a JSON object; they are to be sorted. */
static void print_percentile(const char *name, double share) {
    if (latency_count == 0) {
        printf(", \"%s\": null", name);
        return;
    }
    size_t rank = (size_t)(share * (double)(latency_count - 1) + 0.5);
    printf(", \"%s\": %.1f", name, (double)latencies[rank] / 1000);
}

/* Connections */

/* Begins to connect to a port of 127.0.0.1, from one of several addresses by turns. */
static int connect_to(int port, uint64_t turn) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) fail("no socket: %m");
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(turn % SOURCES));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&from, sizeof from)) fail("cannot bind: %m");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        fail("cannot connect to port %d: %m", port);
    }
    return fd;
}

/* Writes the opening request, with more headers; returns its length. */
static size_t write_request(void *to, size_t room, const char *path, int port, const char *more) {
    int length = snprintf(to, room,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n%s\r\n",
                          path, port, more);
    if (length >= (int)room) fail("the path is too long");
    return (size_t)length;
}

static void watch(int fd, void *connection) {
    /* Edge-triggered, so that what is wanted need not be said again and again. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl: %m");
}

/* Waits for events until a moment at most; returns how many there are. */
static int wait_for(struct epoll_event events[EVENTS], uint64_t until_ns) {
    uint64_t now = now_ns();
    int timeout_ms = now < until_ns ? (int)((until_ns - now) / 1000000) + 1 : 0;
    return epoll_wait(epoll, events, EVENTS, timeout_ms);
}

static bool may_read(const struct epoll_event *event) {
    return event->events & (EPOLLIN | EPOLLERR | EPOLLHUP);
}

/* Setting up */

static double positive(const char *text, double least) {
    char *rest;
    double number = strtod(text, &rest);
    if (rest == text || *rest || number < least || number > 1e6) fail("bad number '%s'", text);
    return number;
}

static clockid_t cpu_clock_of(const char *pid) {
    clockid_t clock;
    int error = clock_getcpuclockid((pid_t)positive(pid, 1), &clock);
    if (error) fail("no CPU clock of process %s: %s", pid, strerror(error));
    return clock;
}

static void prepare(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody is left to read the result */
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max; /* of open files */
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    epoll = epoll_create1(0);
}
