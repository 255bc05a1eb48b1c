/* A link between a client and a server on one machine: everything is under way for a while, and no connection is
 * faster than it may be. For machines whose kernel has no netem.
 *
 *   link PORT SERVER_PORT DELAY RATE     DELAY in microseconds for each direction, RATE in bytes per second; 0: none
 *
 * A new connection costs a round trip, as TCP's does, then every byte that is read is written DELAY later. A window of
 * 1 MiB is under way at most, in each direction of a connection. The rate is the kernel's own pacing of a socket.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 1 << 20, SEGMENT = 1448, SLACK = 500000 };

struct pair;

struct way {
    struct pair *pair;
    int in, out;
    bool ended, arrived, shut; /* the end was read; has come to the other side; was passed on */
    uint64_t read, ready, written;
    char *window;
};

struct pair {
    struct way way[2];
    bool open, closed;
    long under_way; /* marks that still point here */
};

/* What comes to the other side at a certain time. The delay is the same for all, so the oldest is always the next. */
struct mark {
    int64_t due;
    struct pair *pair;
    struct way *way; /* NULL: a packet of the handshake */
    uint64_t until;
    int hops;
};

static struct mark *marks;
static uint64_t first, last, room = 1 << 16;
static int64_t delay;
static int poller, server_port;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void send_off(struct pair *pair, struct way *way, int hops)
{
    if (last - first == room) {
        struct mark *more = malloc(2 * room * sizeof *more);
        for (uint64_t at = first; at < last; at++)
            more[at % (2 * room)] = marks[at % room];
        free(marks);
        marks = more;
        room *= 2;
    }
    marks[last++ % room] = (struct mark){now() + delay, pair, way, way ? way->read : 0, hops};
    pair->under_way++;
}

static void give_up(struct pair *pair)
{
    if (!pair->closed) {
        close(pair->way[0].in);
        if (pair->open)
            close(pair->way[0].out);
        free(pair->way[0].window);
        free(pair->way[1].window);
        pair->closed = true;
        /* Events that were read already may point here: what is freed is freed when the last mark arrives. */
        send_off(pair, NULL, 0);
    }
}

/* Returns whether anything could be done. */
static bool fill(struct way *way)
{
    bool some = false;
    while (!way->ended && way->read - way->written < WINDOW) {
        uint64_t at = way->read % WINDOW, space = WINDOW - (way->read - way->written);
        ssize_t got = recv(way->in, way->window + at, space < WINDOW - at ? space : WINDOW - at, 0);
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0) {
            give_up(way->pair);
            return false;
        }
        way->read += got;
        way->ended = !got;
        some = true;
        send_off(way->pair, way, 0);
    }
    return some;
}

static bool drain(struct way *way)
{
    bool some = false;
    while (way->written < way->ready) {
        uint64_t at = way->written % WINDOW, length = way->ready - way->written;
        ssize_t put = send(way->out, way->window + at, length < WINDOW - at ? length : WINDOW - at, MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN)
            return some;
        if (put < 0) {
            give_up(way->pair);
            return false;
        }
        way->written += put;
        some = true;
    }
    if (way->arrived && !way->shut) {
        way->shut = true;
        shutdown(way->out, SHUT_WR);
    }
    return some;
}

static void pump(struct pair *pair)
{
    bool some = true;
    while (some && !pair->closed) {
        some = false;
        for (int at = 0; at < 4 && !pair->closed; at++)
            some |= at % 2 ? drain(&pair->way[at / 2]) : fill(&pair->way[at / 2]);
    }
    if (!pair->closed && pair->way[0].shut && pair->way[1].shut)
        give_up(pair);
}

static void watch(int descriptor, void *whom)
{
    int yes = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = whom};
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) < 0)
        fail("epoll_ctl");
}

static struct sockaddr_in local(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void open_up(struct pair *pair)
{
    struct sockaddr_in address = local(server_port);
    int client = pair->way[0].in, server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (connect(server, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        fail("connect");
    pair->way[0] = (struct way){.pair = pair, .in = client, .out = server, .window = malloc(WINDOW)};
    pair->way[1] = (struct way){.pair = pair, .in = server, .out = client, .window = malloc(WINDOW)};
    pair->open = true;
    watch(client, pair);
    watch(server, pair);
}

static void arrive(const struct mark *mark)
{
    struct pair *pair = mark->pair;

    pair->under_way--;
    if (pair->closed)
        return;
    if (mark->hops == 1)
        open_up(pair);
    else if (mark->hops)
        send_off(pair, NULL, mark->hops - 1);
    else {
        mark->way->ready = mark->until;
        mark->way->arrived = mark->way->ended && mark->until == mark->way->read;
        pump(pair);
    }
}

int main(int arguments, char **argument)
{
    if (arguments != 5) {
        fprintf(stderr, "usage: link PORT SERVER_PORT DELAY RATE\n");
        return 2;
    }
    struct sockaddr_in address = local(atoi(argument[1]));
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1, segment = SEGMENT;
    uint64_t rate = atoll(argument[4]);

    server_port = atoi(argument[2]);
    delay = atoll(argument[3]) * 1000;
    marks = malloc(room * sizeof *marks);
    poller = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    /* The first ten segments of a connection are not paced; those of loopback would be 640 KiB. */
    if (rate)
        setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        fail("listen");
    watch(listener, NULL);
    for (;;) {
        struct epoll_event events[256];
        int64_t left = first < last ? marks[first % room].due - now() : -1;
        int wait = first == last ? -1 : left < SLACK ? 0 : (int)((left + SLACK) / 1000000);
        int count = epoll_wait(poller, events, 256, wait);

        for (int at = 0; at < count; at++) {
            struct pair *pair = events[at].data.ptr;
            if (pair && !pair->closed)
                pump(pair);
            for (int client; !pair && (client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                pair = calloc(1, sizeof *pair);
                pair->way[0].in = client;
                if (rate && setsockopt(client, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate) < 0)
                    fail("SO_MAX_PACING_RATE");
                send_off(pair, NULL, 2);
                pair = NULL;
            }
        }
        while (first < last && marks[first % room].due <= now() + SLACK) {
            struct mark mark = marks[first++ % room];
            arrive(&mark);
            if (mark.pair->closed && !mark.pair->under_way)
                free(mark.pair);
        }
    }
}
