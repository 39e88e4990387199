/* Load for a WebSocket server on 127.0.0.1: one thread, epoll, one payload sent over and over.
 *
 *   load -p port [-r path] [-m echo|fan|idle|churn] [-c connections] [-w in flight]
 *        [-u warm-up seconds] [-d seconds] [-s server pid]... [-b] [-t] [-z bytes] < payload
 *
 * echo  Every connection keeps `in flight` messages on their way and awaits each of them back.
 * fan   The first connection does that; all count what they receive: a broadcast.
 * idle  The connections are opened and held.
 * churn Each connection is closed with 1000, and opened again once the server has answered.
 *
 * The payload goes out in text frames; with -b in binary ones. Whatever comes back must be
 * equal to it. With -t all of it goes through TLS, where this was compiled with -DWITH_TLS; the
 * server's certificate is not looked at. With -z, permessage-deflate is agreed on, and the standard input has two
 * payloads, both compressed: as many bytes to send, and then what must come back. Once all connections are open, "ready" is printed, and in the end one line of
 * JSON about the time after the warm-up:
 *
 *   seconds    measured; more than -d says if too few messages came in that time
 *   messages   received; in mode "fan" by all connections together; in mode "churn" the
 *              connections that were closed
 *   errors     connections that were lost or received something wrong; the why is on stderr
 *   p50_us...  from sending a message to having it back, in mode "churn" from opening to
 *              closing; null if there was none
 *   server_cpu_us, load_cpu_us   CPU time of the -s processes and of this one
 *   bytes_per_connection         resident memory by which the -s processes have grown since
 *              a tenth of the connections was open, for each of the others
 *
 * The CPU clocks are read here, not by whoever started this, because they must cover exactly
 * the time in which messages are counted.
 */
#define _GNU_SOURCE
#define PROGRAM "load"
#include "client.h"
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#else
typedef void SSL;
#endif

enum {
    HEAD_BYTES = 2048,     /* of the server's answer to the opening request */
    OPENING_TIMEOUT_S = 20,
    PATIENCE_S = 10, /* beyond the seconds to measure, if too few messages came */
    MAX_SERVERS = 256,
    MAX_PAYLOAD_BYTES = 16 * 1024 * 1024,
    NORMAL_CLOSURE = 1000,
};

enum { RESERVED = 0x70, COMPRESSED = 0x40 }; /* bits of a frame's first byte */

enum mode { ECHO, FAN, IDLE, CHURN };
static const char *const MODES[] = {"echo", "fan", "idle", "churn"};

struct connection {
    int fd;
    SSL *tls;
    bool is_half_sent; /* a record of frames, which must be sent before anything else */
    bool is_open, is_lost, is_done; /* done: to be opened again */
    /* Going out: frames, and between two of them the opening request or a pong. */
    uint64_t owed;       /* frames that are not wholly sent */
    size_t sent_bytes;   /* of the first of them */
    uint8_t extra[512];
    size_t extra_bytes, extra_sent;
    uint64_t *sent_at;   /* a ring: when each message in flight was sent, in ns */
    uint64_t asked, answered;
    uint64_t begun_at;   /* when its opening began, in ns */
    /* Coming in */
    uint8_t head[HEAD_BYTES]; /* the answer to the opening request, then each frame's header */
    size_t head_bytes;
    uint8_t control[125];
    uint64_t left; /* bytes of this frame's payload */
    size_t at;     /* in the message, or in a control frame */
    size_t message_at;
};

static struct {
    int port, connections, in_flight, servers;
    const char *path;
    enum mode mode;
    double warmup_s, seconds;
    clockid_t server_clocks[MAX_SERVERS];
    const char *server_pids[MAX_SERVERS];
    uint8_t opcode;
    bool is_tls;
    size_t compressed_bytes; /* of the first payload; 0: nothing is compressed */
} options = {.path = "/", .connections = 1, .in_flight = 1, .seconds = 1, .opcode = TEXT};

static uint8_t *payload; /* what must come back */
static uint8_t *frames;  /* `in flight` equal frames, so that one call sends many */
static size_t payload_bytes, frame_bytes;
static int opened, alive;
static bool is_measuring, is_churning;
static uint64_t early_bytes, begun_ever;
static int early_connections; /* open when early_bytes was read */
static uint64_t messages, errors;

static uint64_t server_cpu_ns(void) {
    uint64_t sum = 0;
    for (int i = 0; i < options.servers; i++) sum += read_clock(options.server_clocks[i]);
    return sum;
}

static uint64_t server_bytes(void) {
    uint64_t sum_kib = 0;
    for (int i = 0; i < options.servers; i++) {
        char line[256];
        snprintf(line, sizeof line, "/proc/%s/smaps_rollup", options.server_pids[i]);
        FILE *file = fopen(line, "r");
        if (!file) fail("cannot read %s (is the server gone?): %m", line);
        unsigned long long kib = 0;
        while (fgets(line, sizeof line, file) && sscanf(line, "Rss: %llu kB", &kib) != 1) continue;
        sum_kib += kib;
        fclose(file);
    }
    return sum_kib * 1024;
}

/* Plain or TLS: both take and give as many bytes as they can, and set errno otherwise. */

#ifdef WITH_TLS
static SSL_CTX *tls_context;

static void prepare_tls(void) {
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    tls_context = SSL_CTX_new(TLS_client_method());
    if (!tls_context) fail("no TLS");
    SSL_CTX_set_mode(tls_context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void begin_tls(struct connection *c) {
    c->tls = SSL_new(tls_context);
    if (!c->tls || !SSL_set_fd(c->tls, c->fd)) fail("no TLS for a connection");
    SSL_set_connect_state(c->tls);
}

static ssize_t tls_outcome(struct connection *c, int done) {
    if (done > 0) return done;
    int error = SSL_get_error(c->tls, done);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) errno = EAGAIN;
    else if (error != SSL_ERROR_SYSCALL || !errno) errno = EPROTO;
    return -1;
}

static ssize_t put(struct connection *c, const uint8_t *bytes, size_t count) {
    if (!c->tls) return send(c->fd, bytes, count, MSG_NOSIGNAL);
    errno = 0;
    return tls_outcome(c, SSL_write(c->tls, bytes, (int)count));
}

static ssize_t get(struct connection *c, uint8_t *bytes, size_t count) {
    if (!c->tls) return recv(c->fd, bytes, count, 0);
    errno = 0;
    return tls_outcome(c, SSL_read(c->tls, bytes, (int)count));
}

static void end(struct connection *c) {
    if (c->tls) SSL_free(c->tls);
    close(c->fd);
}
#else
static void prepare_tls(void) { fail("it was compiled without TLS"); }
static void begin_tls(struct connection *c) { (void)c; }
static ssize_t put(struct connection *c, const uint8_t *bytes, size_t count) {
    return send(c->fd, bytes, count, MSG_NOSIGNAL);
}
static ssize_t get(struct connection *c, uint8_t *bytes, size_t count) {
    return recv(c->fd, bytes, count, 0);
}
static void end(struct connection *c) { close(c->fd); }
#endif

static void lose(struct connection *c, const char *why) {
    if (!c->is_open) fail("a connection could not be opened: %s", why);
    if (errors++ < 5) fprintf(stderr, "load: a connection is lost: %s\n", why);
    c->is_lost = true;
    alive--;
    end(c);
}

/* Sending */

static void flush(struct connection *c) {
    while (!c->is_lost) {
        bool has_extra = c->extra_sent < c->extra_bytes && !c->is_half_sent;
        bool is_extra = has_extra && c->sent_bytes == 0;
        uint64_t count = has_extra ? 1 : c->owed; /* an extra goes before the next frame */
        if (!is_extra && c->owed == 0) return;
        const uint8_t *from = is_extra ? c->extra : frames;
        size_t gone = is_extra ? c->extra_sent : c->sent_bytes;
        size_t size = is_extra ? c->extra_bytes : count * frame_bytes;
        ssize_t done = put(c, from + gone, size - gone);
        c->is_half_sent = c->tls && !is_extra && done < 0;
        if (done < 0) {
            if (errno != EAGAIN && errno != EINTR) lose(c, strerror(errno));
            if (errno != EINTR) return; /* an EPOLLOUT event will come */
        } else if (is_extra) {
            c->extra_sent += (size_t)done;
        } else {
            c->sent_bytes += (size_t)done;
            c->owed -= c->sent_bytes / frame_bytes;
            c->sent_bytes %= frame_bytes;
        }
    }
}

static void ask(struct connection *c, uint64_t now) {
    c->sent_at[c->asked++ % (uint64_t)options.in_flight] = now;
    c->owed++;
}

static void send_pong(struct connection *c) {
    size_t length = c->head[1] & 0x7f;
    if (c->extra_sent > 0 && c->extra_sent < c->extra_bytes) return; /* one is half sent */
    c->extra[0] = FIN | PONG;
    c->extra[1] = MASKED | (uint8_t)length;
    memcpy(c->extra + 2, MASK, 4);
    for (size_t i = 0; i < length; i++) c->extra[6 + i] = c->control[i] ^ MASK[i % 4];
    c->extra_bytes = 6 + length;
    c->extra_sent = 0;
}

static void send_close(struct connection *c) {
    c->extra[0] = FIN | CLOSE;
    c->extra[1] = MASKED | 2;
    memcpy(c->extra + 2, MASK, 4);
    c->extra[6] = (NORMAL_CLOSURE >> 8) ^ MASK[0];
    c->extra[7] = (NORMAL_CLOSURE & 0xff) ^ MASK[1];
    c->extra_bytes = 8;
    c->extra_sent = 0;
}

/* Receiving */

static void end_message(struct connection *c, uint64_t now) {
    if (options.mode <= FAN && c->message_at != payload_bytes) {
        lose(c, "a message came back shorter than it was sent");
        return;
    }
    c->message_at = 0;
    messages += is_measuring;
    if (!c->sent_at) return; /* it only listens */
    if (c->answered + c->owed >= c->asked) {
        lose(c, "more messages came back than were sent");
        return;
    }
    uint64_t sent_at = c->sent_at[c->answered++ % (uint64_t)options.in_flight];
    if (is_measuring) note_latency(now - sent_at);
    ask(c, now);
}

static void end_frame(struct connection *c, uint64_t now) {
    uint8_t opcode = c->head[0] & 0x0f;
    c->head_bytes = 0;
    if (opcode == CLOSE) {
        char why[48] = "the server closed it without a code";
        int code = c->control[0] << 8 | c->control[1];
        if (c->at >= 2) snprintf(why, sizeof why, "the server closed it with %d", code);
        c->is_done = is_churning && c->at >= 2 && code == NORMAL_CLOSURE;
        if (!c->is_done) lose(c, why);
    } else if (opcode == PING) {
        send_pong(c);
    } else if (opcode <= BINARY && c->head[0] & FIN) {
        end_message(c, now);
    }
}

static void take_payload(struct connection *c, const uint8_t *bytes, size_t count) {
    c->left -= count;
    if ((c->head[0] & 0x0f) >= CLOSE) {
        memcpy(c->control + c->at, bytes, count); /* begin_frame has checked the length */
        c->at += count;
        return;
    }
    size_t end = c->message_at + count;
    if (options.mode <= FAN &&
        (end > payload_bytes || memcmp(payload + c->message_at, bytes, count))) {
        lose(c, "a message came back different from what was sent");
    }
    c->message_at = end;
}

static size_t header_bytes(const struct connection *c) {
    if (c->head_bytes < 2) return 2;
    uint8_t length = c->head[1] & 0x7f;
    return length == 127 ? 10 : length == 126 ? 4 : 2;
}

static void begin_frame(struct connection *c) {
    size_t header = header_bytes(c);
    c->left = c->head[1] & 0x7f;
    if (header > 2) c->left = 0;
    for (size_t i = 2; i < header; i++) c->left = c->left << 8 | c->head[i];
    c->at = 0;
    bool is_long_control = c->head[0] & 0x08 && header > 2;
    uint8_t reserved = options.compressed_bytes ? RESERVED & ~COMPRESSED : RESERVED;
    if (c->head[1] & MASKED || c->head[0] & reserved || is_long_control) {
        lose(c, "the server sent a malformed frame header");
    }
}

static void read_frames(struct connection *c, const uint8_t *next, const uint8_t *end,
                        uint64_t now) {
    while (next < end && !c->is_lost && !c->is_done) {
        if (c->head_bytes < header_bytes(c)) {
            c->head[c->head_bytes++] = *next++;
            if (c->head_bytes < header_bytes(c)) continue;
            begin_frame(c);
        } else {
            size_t count = (size_t)(end - next);
            if (count > c->left) count = (size_t)c->left;
            take_payload(c, next, count);
            next += count;
        }
        if (!c->is_lost && c->left == 0) end_frame(c, now);
    }
}

/* Returns how many of the bytes belong to the answer to the opening request. */
static size_t read_answer(struct connection *c, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (c->head_bytes == HEAD_BYTES - 1) fail("the server's answer is too long");
        c->head[c->head_bytes++] = bytes[i];
        if (c->head_bytes < 4 || memcmp(c->head + c->head_bytes - 4, "\r\n\r\n", 4)) continue;
        if (strncmp((char *)c->head, "HTTP/1.1 101 ", 13)) {
            fail("the server answers '%.*s'", (int)strcspn((char *)c->head, "\r"), (char *)c->head);
        }
        c->head_bytes = 0;
        c->is_open = true;
        opened++;
        if (is_churning) send_close(c);
        return i + 1;
    }
    return count;
}

static const char OFFER[] = "Sec-WebSocket-Extensions: permessage-deflate; "
                            "server_no_context_takeover; client_no_context_takeover\r\n";

static void begin_opening(struct connection *c) {
    c->fd = connect_to(options.port, begun_ever++);
    c->extra_bytes = write_request(c->extra, sizeof c->extra, options.path, options.port,
                                   options.compressed_bytes ? OFFER : "");
    if (options.is_tls) begin_tls(c);
    c->begun_at = now_ns();
    watch(c->fd, c);
}

static void open_again(struct connection *c) {
    uint64_t now = now_ns();
    messages += is_measuring;
    if (is_measuring) note_latency(now - c->begun_at);
    end(c);
    memset(c, 0, sizeof *c);
    begin_opening(c);
}

static void receive(struct connection *c) {
    static uint8_t buffer[READ_BYTES];
    ssize_t count = READ_BYTES;
    /* Less than that: nothing more is there, but with TLS, which gives record by record. */
    while ((count == READ_BYTES || c->tls) && !c->is_lost) {
        count = get(c, buffer, READ_BYTES);
        if (count < 0 && errno == EAGAIN) break;
        if (count <= 0) {
            lose(c, count ? strerror(errno) : "the server ended it");
            break;
        }
        size_t used = c->is_open ? 0 : read_answer(c, buffer, (size_t)count);
        read_frames(c, buffer + used, buffer + count, now_ns());
        if (c->is_done) {
            open_again(c);
            return;
        }
    }
}

/* Running */

static void take_turn(uint64_t until_ns) {
    struct epoll_event events[EVENTS];
    int count = wait_for(events, until_ns);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (may_read(&events[i])) receive(c);
        flush(c);
    }
}

static void run_for(double seconds) {
    uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < until && alive > 0) take_turn(until);
}

static void open_all(struct connection *connections) {
    uint64_t until = now_ns() + OPENING_TIMEOUT_S * 1000000000ull;
    for (int begun = 0; opened < options.connections;) {
        while (begun < options.connections && begun - opened < OPENING_AT_ONCE) {
            begin_opening(&connections[begun++]);
        }
        take_turn(until);
        if (!early_connections && opened * 10 >= options.connections) {
            early_connections = opened;
            early_bytes = server_bytes();
        }
        if (now_ns() > until) {
            fail("%d of %d connections open after %d s", opened, options.connections,
                 OPENING_TIMEOUT_S);
        }
    }
    alive = opened;
    puts("ready");
    fflush(stdout);
}

static void begin_asking(struct connection *connections) {
    int askers = options.mode == ECHO ? options.connections : options.mode == FAN ? 1 : 0;
    for (int i = 0; i < askers; i++) {
        connections[i].sent_at = allocate((size_t)options.in_flight * sizeof(uint64_t));
        for (int n = 0; n < options.in_flight; n++) ask(&connections[i], now_ns());
        flush(&connections[i]);
    }
    is_churning = options.mode == CHURN;
    for (int i = 0; is_churning && i < options.connections; i++) {
        send_close(&connections[i]);
        flush(&connections[i]);
    }
}

/* Reporting */

static void measure(void) {
    uint64_t server = server_cpu_ns(), load = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t start = now_ns();
    is_measuring = true;
    run_for(options.seconds);
    /* On a busy machine, all that time may have gone to others. */
    uint64_t enough = (uint64_t)options.connections * (uint64_t)options.in_flight;
    uint64_t until = now_ns() + PATIENCE_S * 1000000000ull;
    while (options.mode != IDLE && messages < enough && alive > 0 && now_ns() < until) {
        take_turn(until);
    }
    is_measuring = false;
    uint64_t end = now_ns();
    server = server_cpu_ns() - server;
    load = read_clock(CLOCK_PROCESS_CPUTIME_ID) - load;
    int others = options.connections - early_connections;
    double grown = (double)server_bytes() - (double)early_bytes;
    sort_latencies();
    printf("{\"mode\": \"%s\", \"connections\": %d, \"in_flight\": %d, \"payload_bytes\": %zu",
           MODES[options.mode], options.connections, options.in_flight, payload_bytes);
    printf(", \"seconds\": %.6f, \"messages\": %llu, \"errors\": %llu", (double)(end - start) / 1e9,
           (unsigned long long)messages, (unsigned long long)errors);
    print_percentile("p50_us", 0.5);
    print_percentile("p90_us", 0.9);
    print_percentile("p99_us", 0.99);
    print_percentile("max_us", 1);
    printf(", \"server_cpu_us\": %.1f, \"load_cpu_us\": %.1f, \"bytes_per_connection\": %.1f}\n",
           (double)server / 1000, (double)load / 1000, others ? grown / others : 0);
}

/* Setting up */

static enum mode mode_of(const char *name) {
    for (int i = ECHO; i <= CHURN; i++) {
        if (!strcmp(name, MODES[i])) return (enum mode)i;
    }
    fail("mode must be echo, fan, idle or churn, got '%s'", name);
}

static void add_server(const char *text) {
    if (options.servers == MAX_SERVERS) fail("more than %d server processes", MAX_SERVERS);
    options.server_pids[options.servers] = text;
    options.server_clocks[options.servers++] = cpu_clock_of(text);
}

static void read_options(int count, char **words) {
    for (int option; (option = getopt(count, words, "p:r:m:c:w:u:d:s:btz:")) != -1;) {
        switch (option) {
        case 'p': options.port = (int)positive(optarg, 1); break;
        case 'r': options.path = optarg; break;
        case 'm': options.mode = mode_of(optarg); break;
        case 'c': options.connections = (int)positive(optarg, 1); break;
        case 'w': options.in_flight = (int)positive(optarg, 1); break;
        case 'u': options.warmup_s = positive(optarg, 0); break;
        case 'd': options.seconds = positive(optarg, 0); break;
        case 's': add_server(optarg); break;
        case 'z': options.compressed_bytes = (size_t)positive(optarg, 1); break;
        case 'b': options.opcode = BINARY; break;
        case 't': options.is_tls = true; break;
        default: fail("see the head of load.c for the options");
        }
    }
    if (!options.port || optind < count) fail("a port is needed (-p), and no other arguments");
}

/* Returns what is to be sent; `payload` becomes what must come back. */
static const uint8_t *read_payloads(size_t *sent_bytes) {
    uint8_t *all = allocate(MAX_PAYLOAD_BYTES);
    size_t count = fread(all, 1, MAX_PAYLOAD_BYTES, stdin);
    if (!feof(stdin)) fail("the payload is longer than %d bytes", MAX_PAYLOAD_BYTES - 1);
    if (options.compressed_bytes > count) fail("less than the -z bytes are there: %zu", count);
    payload = all + options.compressed_bytes;
    payload_bytes = count - options.compressed_bytes;
    *sent_bytes = options.compressed_bytes ? options.compressed_bytes : count;
    return all;
}

static void make_frames(const uint8_t *sent, size_t size) {
    uint8_t header[14] = {FIN | options.opcode};
    if (options.compressed_bytes) header[0] |= COMPRESSED;
    int length_bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
    size_t code = length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127;
    header[1] = MASKED | (uint8_t)code;
    for (int i = 0; i < length_bytes; i++) {
        header[2 + i] = (uint8_t)((uint64_t)size >> 8 * (length_bytes - 1 - i));
    }
    size_t start = 2 + (size_t)length_bytes + sizeof MASK;
    memcpy(header + start - sizeof MASK, MASK, sizeof MASK);
    frame_bytes = start + size;
    frames = allocate(frame_bytes * (size_t)options.in_flight);
    for (int n = 0; n < options.in_flight; n++) {
        uint8_t *frame = frames + frame_bytes * (size_t)n;
        memcpy(frame, header, start);
        for (size_t i = 0; i < size; i++) frame[start + i] = sent[i] ^ MASK[i % 4];
    }
}

int main(int count, char **words) {
    prepare();
    read_options(count, words);
    size_t sent_bytes;
    const uint8_t *sent = read_payloads(&sent_bytes);
    make_frames(sent, sent_bytes);
    if (options.is_tls) prepare_tls();
    struct connection *connections = allocate((size_t)options.connections * sizeof *connections);
    open_all(connections);
    begin_asking(connections);
    run_for(options.warmup_s);
    measure();
    return 0;
}
