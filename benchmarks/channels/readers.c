/* Readers of one channel, and a publisher at a steady rate: one thread, epoll.
 *
 *   readers -p port [-p port]... [-r path] [-c readers] [-f publications a second]
 *           [-u warm-up seconds] [-d seconds] [-j text]... [-a question -A answer]
 *           [-s server pid]... [-k broker pid] < publication
 *
 * The readers are spread over the ports of 127.0.0.1. Each of them sends the -j texts when it
 * is open, and answers each text that is the question. The first one is the publisher, too:
 * it sends the publication, in which "bench:00000000000000000000:0000000000" is given the time
 * and a number. Whatever comes back is searched for that. First it publishes until all have
 * got something; then come the warm-up and the seconds that count. It never waits for what it
 * has published to arrive. In the end there is one line of JSON:
 *
 *   seconds, published   from the first publication that counts until the last one has come
 *                        to all, or nothing comes any more
 *   deliveries           received in these seconds, by all readers, be they of the warm-up
 *   servers_cpu_us, broker_cpu_us, load_cpu_us   CPU times of exactly these seconds
 *   expected, delivered  published × readers, and how many of them have come in the end
 *   doubled, misordered  received again; received after one that was published later
 *   closed               readers whose connections were lost
 *   resting_share        how much of a core the servers take when nothing is published
 *   p50_us...            from publishing to receiving; null if nothing came
 *   behind_s             for how long some still came when no more were published
 */
#define _GNU_SOURCE
#define PROGRAM "readers"
#include "../client.h"

enum {
    JOINING_TIMEOUT_S = 60,
    PATIENCE_S = 30, /* what has not come by then is lost, if the servers are not idle before */
    MAX_LIST = 256,
    MAX_TEXT_BYTES = 60000,
    TIME_DIGITS = 20,
    NUMBER_DIGITS = 10,
};

/* Servers that have sent and done nothing for so long are idle. */
static const double PROBE_S = 0.2, QUIET_S = 1, REST_S = 1;

static const char MARK[] = "bench:";
enum { MARK_BYTES = sizeof MARK - 1, STAMP_BYTES = MARK_BYTES + TIME_DIGITS + 1 + NUMBER_DIGITS };

struct reader {
    int fd;
    bool is_open, is_lost, is_joined;
    uint8_t *out; /* what is not sent yet */
    size_t out_bytes;
    uint8_t *held; /* the beginning of a frame */
    size_t held_bytes;
    uint64_t newest;
    uint8_t *seen; /* a bit for each publication that counts */
};

struct clocks {
    int count;
    clockid_t of[MAX_LIST];
};

static struct {
    int ports[MAX_LIST], port_count, readers, preamble_count;
    const char *path, *question, *answer, *preamble[MAX_LIST];
    double rate, warmup_s, seconds;
    struct clocks servers, brokers;
} options = {.path = "/", .readers = 1, .rate = 10, .seconds = 1};

static struct reader *readers;
static char publication[MAX_TEXT_BYTES + 1];
static size_t publication_bytes, stamp_at;
static int opened, joined, closed;
static bool is_counting; /* what is received now is of the seconds that count */
static uint64_t next_number = 1, first_counted = UINT64_MAX, past_counted;
static uint64_t received, deliveries, delivered, doubled, misordered, last_at;
static double resting_share;

static uint64_t read_all(const struct clocks *clocks) {
    uint64_t sum = 0;
    for (int i = 0; i < clocks->count; i++) sum += read_clock(clocks->of[i]);
    return sum;
}

static void lose(struct reader *r, const char *why) {
    if (!r->is_open) fail("a connection could not be opened: %s", why);
    if (r == readers) fail("the publisher's connection is lost: %s", why);
    if (closed++ < 3) fprintf(stderr, "readers: a connection is lost: %s\n", why);
    r->is_lost = true;
    close(r->fd);
}

/* Sending */

static void flush(struct reader *r) {
    while (r->out_bytes && !r->is_lost) {
        ssize_t done = send(r->fd, r->out, r->out_bytes, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            if (errno != EAGAIN && errno != ENOTCONN) lose(r, strerror(errno));
            return; /* an EPOLLOUT event will come */
        }
        r->out_bytes -= (size_t)done;
        memmove(r->out, r->out + done, r->out_bytes);
    }
}

static uint8_t *add_out(struct reader *r, size_t bytes) {
    r->out = resize(r->out, r->out_bytes + bytes);
    r->out_bytes += bytes;
    return r->out + r->out_bytes - bytes;
}

static void send_frame(struct reader *r, uint8_t opcode, const void *text, size_t bytes) {
    size_t header = bytes < 126 ? 2 : 4;
    uint8_t *to = add_out(r, header + sizeof MASK + bytes);
    to[0] = FIN | opcode;
    to[1] = MASKED | (uint8_t)(bytes < 126 ? bytes : 126);
    if (header == 4) {
        to[2] = (uint8_t)(bytes >> 8);
        to[3] = (uint8_t)bytes;
    }
    memcpy(to + header, MASK, sizeof MASK);
    to += header + sizeof MASK;
    for (size_t i = 0; i < bytes; i++) to[i] = ((const uint8_t *)text)[i] ^ MASK[i % 4];
    flush(r);
}

static void publish(uint64_t number) {
    char stamp[STAMP_BYTES + 1];
    snprintf(stamp, sizeof stamp, "%s%0*llu:%0*llu", MARK, TIME_DIGITS,
             (unsigned long long)now_ns(), NUMBER_DIGITS, (unsigned long long)number);
    memcpy(publication + stamp_at, stamp, STAMP_BYTES);
    send_frame(readers, TEXT, publication, publication_bytes);
}

/* Receiving */

static void take_publication(struct reader *r, uint64_t sent_at, uint64_t number, uint64_t now) {
    if (!r->is_joined) joined++;
    r->is_joined = true;
    last_at = now;
    received++;
    if (number == 0) return; /* it was to find out who has joined */
    deliveries += is_counting;
    if (number < first_counted || number >= past_counted) return;
    uint64_t at = number - first_counted;
    uint8_t bit = (uint8_t)(1 << at % 8);
    if (r->seen[at / 8] & bit) {
        doubled++;
        return;
    }
    r->seen[at / 8] |= bit;
    delivered++;
    misordered += number < r->newest;
    if (number > r->newest) r->newest = number;
    note_latency(now - sent_at);
}

static void take_text(struct reader *r, const uint8_t *text, size_t bytes, uint64_t now) {
    const char *mark = memmem(text, bytes, MARK, MARK_BYTES);
    if (mark && (size_t)((const uint8_t *)mark - text) + STAMP_BYTES <= bytes) {
        char *rest;
        uint64_t sent_at = strtoull(mark + MARK_BYTES, &rest, 10);
        take_publication(r, sent_at, strtoull(rest + 1, NULL, 10), now);
    } else if (options.question && bytes == strlen(options.question) &&
               !memcmp(text, options.question, bytes)) {
        send_frame(r, TEXT, options.answer, strlen(options.answer));
    }
}

static void take_frame(struct reader *r, uint8_t first, uint8_t *payload, size_t bytes,
                       uint64_t now) {
    uint8_t opcode = first & 0x0f;
    if (first != (FIN | opcode)) {
        lose(r, "the server sent a fragment or an extension's frame");
    } else if (opcode == CLOSE) {
        char why[48] = "the server closed it without a code";
        int code = bytes < 2 ? 0 : payload[0] << 8 | payload[1];
        if (code) snprintf(why, sizeof why, "the server closed it with %d", code);
        lose(r, why);
    } else if (opcode == PING) {
        send_frame(r, PONG, payload, bytes);
    } else if (opcode < CLOSE) {
        take_text(r, payload, bytes, now);
    }
}

/* Takes whole frames; returns how many bytes they had. */
static size_t take_frames(struct reader *r, uint8_t *bytes, size_t count, uint64_t now) {
    size_t at = 0;
    while (!r->is_lost && count - at >= 2) {
        uint8_t code = bytes[at + 1], *payload = bytes + at + 2;
        uint64_t length = code;
        if (code > 126) fail("the server sent a masked or very long frame");
        if (code == 126) {
            if (count - at < 4) break;
            length = (uint64_t)payload[0] << 8 | payload[1];
            payload += 2;
        }
        size_t whole = (size_t)(payload - (bytes + at)) + length;
        if (count - at < whole) break;
        take_frame(r, bytes[at], payload, length, now);
        at += whole;
    }
    return at;
}

/* Returns how many bytes the server's answer to the opening request has; 0 if more are to come. */
static size_t take_answer(struct reader *r, const uint8_t *bytes, size_t count) {
    const uint8_t *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) return 0;
    if (count < 13 || memcmp(bytes, "HTTP/1.1 101 ", 13)) {
        fail("the server answers '%.*s'", (int)strcspn((const char *)bytes, "\r"), bytes);
    }
    r->is_open = true;
    opened++;
    for (int i = 0; i < options.preamble_count; i++) {
        send_frame(r, TEXT, options.preamble[i], strlen(options.preamble[i]));
    }
    return (size_t)(end - bytes) + 4;
}

static void receive(struct reader *r) {
    static uint8_t buffer[READ_BYTES];
    for (bool is_more = true; is_more && !r->is_lost;) {
        memcpy(buffer, r->held, r->held_bytes);
        size_t room = READ_BYTES - r->held_bytes;
        ssize_t got = recv(r->fd, buffer + r->held_bytes, room, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            lose(r, got ? strerror(errno) : "the server ended it");
            return;
        }
        is_more = (size_t)got == room; /* with less than that, nothing more is there */
        size_t count = r->held_bytes + (size_t)got;
        size_t used = r->is_open ? 0 : take_answer(r, buffer, count);
        if (r->is_open) used += take_frames(r, buffer + used, count - used, now_ns());
        r->held_bytes = count - used;
        if (r->held_bytes) r->held = resize(r->held, r->held_bytes);
        memcpy(r->held, buffer + used, r->held_bytes);
    }
}

/* Running */

static void take_turn(uint64_t until_ns) {
    struct epoll_event events[EVENTS];
    int count = wait_for(events, until_ns);
    for (int i = 0; i < count; i++) {
        struct reader *r = events[i].data.ptr;
        if (may_read(&events[i])) receive(r);
        flush(r);
    }
}

static void run_until(uint64_t until) {
    do take_turn(until);
    while (now_ns() < until);
}

static void begin_opening(int index) {
    struct reader *r = &readers[index];
    int port = options.ports[index % options.port_count];
    r->fd = connect_to(port, (uint64_t)index);
    char request[512];
    size_t length = write_request(request, sizeof request, options.path, port, "");
    memcpy(add_out(r, length), request, length);
    watch(r->fd, r);
}

/* Takes what comes until there is so much of it, or the servers have nothing more to do. */
static void await(const uint64_t *count, uint64_t enough, double slice_s) {
    uint64_t until = now_ns() + PATIENCE_S * 1000000000ull;
    while (*count < enough && now_ns() < until) {
        uint64_t before = received, cpu = read_all(&options.servers);
        uint64_t slice_ns = (uint64_t)(slice_s * 1e9), slice_until = now_ns() + slice_ns;
        while (*count < enough && now_ns() < slice_until) take_turn(slice_until);
        bool is_idle = read_all(&options.servers) - cpu < slice_ns / 20;
        if (received == before && is_idle) return;
    }
}

/* Opens all, and publishes until all have got something. */
static void open_and_join_all(void) {
    uint64_t until = now_ns() + JOINING_TIMEOUT_S * 1000000000ull;
    for (int begun = 0; opened < options.readers; take_turn(until)) {
        while (begun < options.readers && begun - opened < OPENING_AT_ONCE) begin_opening(begun++);
        if (now_ns() > until) fail("only %d of %d connections open", opened, options.readers);
    }
    while (joined < options.readers) {
        if (now_ns() > until) fail("only %d of %d readers get anything", joined, options.readers);
        publish(0);
        /* To all of it, so that nothing is under way when the seconds begin. */
        await(&received, received + (uint64_t)options.readers, PROBE_S);
    }
}

/* Looks what the servers do while nobody wants anything: pings, looking after connections. */
static void rest(void) {
    uint64_t cpu = read_all(&options.servers), start = now_ns();
    run_until(start + (uint64_t)(REST_S * 1e9));
    cpu = read_all(&options.servers) - cpu;
    resting_share = (double)cpu / (double)(now_ns() - start);
}

static uint64_t count_for(double seconds) {
    uint64_t count = (uint64_t)(seconds * options.rate + 0.5);
    return count ? count : 1;
}

static void publish_many(uint64_t count) {
    uint64_t start = now_ns(), pause = (uint64_t)(1e9 / options.rate);
    for (uint64_t i = 0; i < count; i++) {
        publish(next_number++);
        run_until(start + (i + 1) * pause);
    }
}

/* Reporting */

static void print_number(const char *name, uint64_t number) {
    printf(", \"%s\": %llu", name, (unsigned long long)number);
}

static void measure(void) {
    uint64_t count = count_for(options.seconds);
    uint64_t expected = count * (uint64_t)options.readers;
    for (int i = 0; i < options.readers; i++) {
        readers[i].seen = allocate(count / 8 + 1);
    }
    first_counted = next_number;
    past_counted = next_number + count;
    uint64_t servers = read_all(&options.servers), brokers = read_all(&options.brokers);
    uint64_t load = read_clock(CLOCK_PROCESS_CPUTIME_ID), start = now_ns();
    is_counting = true;
    publish_many(count);
    uint64_t published_by = now_ns();
    await(&delivered, expected, QUIET_S);
    uint64_t end = now_ns();
    servers = read_all(&options.servers) - servers;
    brokers = read_all(&options.brokers) - brokers;
    load = read_clock(CLOCK_PROCESS_CPUTIME_ID) - load;
    sort_latencies();
    printf("{\"resting_share\": %.6f", resting_share);
    printf(", \"readers\": %d, \"seconds\": %.6f, \"behind_s\": %.6f", options.readers,
           (double)(end - start) / 1e9,
           last_at > published_by ? (double)(last_at - published_by) / 1e9 : 0);
    print_number("published", count);
    print_number("deliveries", deliveries);
    print_number("expected", expected);
    print_number("delivered", delivered);
    print_number("doubled", doubled);
    print_number("misordered", misordered);
    print_number("closed", (uint64_t)closed);
    print_percentile("p50_us", 0.5);
    print_percentile("p99_us", 0.99);
    print_percentile("max_us", 1);
    printf(", \"servers_cpu_us\": %.1f, \"broker_cpu_us\": %.1f, \"load_cpu_us\": %.1f}\n",
           (double)servers / 1000, (double)brokers / 1000, (double)load / 1000);
}

/* Setting up */

static int *one_more(int *count) {
    if (*count == MAX_LIST) fail("more than %d ports, pids or texts", MAX_LIST);
    ++*count;
    return count;
}

static void add_clock(struct clocks *clocks, const char *pid) {
    clocks->of[*one_more(&clocks->count) - 1] = cpu_clock_of(pid);
}

static void read_options(int count, char **words) {
    for (int option; (option = getopt(count, words, "p:r:c:f:u:d:j:a:A:s:k:")) != -1;) {
        switch (option) {
        case 'p':
            options.ports[*one_more(&options.port_count) - 1] = (int)positive(optarg, 1);
            break;
        case 'r': options.path = optarg; break;
        case 'c': options.readers = (int)positive(optarg, 1); break;
        case 'f': options.rate = positive(optarg, 0.001); break;
        case 'u': options.warmup_s = positive(optarg, 0); break;
        case 'd': options.seconds = positive(optarg, 0); break;
        case 'j': options.preamble[*one_more(&options.preamble_count) - 1] = optarg; break;
        case 'a': options.question = optarg; break;
        case 'A': options.answer = optarg; break;
        case 's': add_clock(&options.servers, optarg); break;
        case 'k': add_clock(&options.brokers, optarg); break;
        default: fail("see the head of readers.c for the options");
        }
    }
    if (!options.port_count || optind < count) fail("a port is needed (-p), and no other words");
    if (!options.question != !options.answer) fail("a question (-a) needs its answer (-A)");
}

static void read_publication(void) {
    publication_bytes = fread(publication, 1, MAX_TEXT_BYTES, stdin);
    if (!feof(stdin)) fail("the publication is longer than %d bytes", MAX_TEXT_BYTES - 1);
    const char *mark = memmem(publication, publication_bytes, MARK, MARK_BYTES);
    if (!mark) fail("the publication has no '%s' in it", MARK);
    stamp_at = (size_t)(mark - publication);
    if (stamp_at + STAMP_BYTES > publication_bytes) fail("no room for a stamp behind '%s'", MARK);
}

int main(int count, char **words) {
    prepare();
    read_options(count, words);
    read_publication();
    readers = allocate((size_t)options.readers * sizeof *readers);
    open_and_join_all();
    rest();
    publish_many(count_for(options.warmup_s));
    measure();
    return 0;
}
