/* How fast it can be: fetches files over keep-alive HTTP/1.1, with SHA-256 of every byte, writes NAME.part, renames.
 *
 *   limit LIST HOST PORT PREFIX CONNECTIONS [CA]     into the current folder; CA (a PEM file) means TLS
 *
 * LIST has a line "PATH SIZE SHA256" for each file. One thread for each connection. It knows only answers of status 200
 * with Content-Length, and gives up at the first thing that is otherwise: it is a measure, not a client.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 256 << 10 };

struct file {
    char path[256], sha256[65];
    long size;
};

static struct file *files;
static long count;
static atomic_long next;
static const char *host, *prefix;
static int port;
static SSL_CTX *tls;

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "limit: %s: %s (%s)\n", which, what, strerror(errno));
    exit(1);
}

static SSL *connected(int *descriptor)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1;

    *descriptor = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(*descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
        connect(*descriptor, (struct sockaddr *)&address, sizeof address) < 0)
        fail("cannot connect", host);
    if (!tls)
        return NULL;
    SSL *ssl = SSL_new(tls);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    SSL_set_fd(ssl, *descriptor);
    if (SSL_connect(ssl) != 1)
        fail("no TLS", host);
    return ssl;
}

static long receive(int descriptor, SSL *ssl, char *buffer, long room)
{
    return ssl ? SSL_read(ssl, buffer, (int)room) : recv(descriptor, buffer, room, 0);
}

/* Asks for a file, and reads the head; what of the body came with it stays in the buffer. Returns its length. */
static long ask(int descriptor, SSL *ssl, const struct file *file, char *buffer)
{
    int length = snprintf(buffer, BUFFER, "GET %s%s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", prefix, file->path, host, port);
    long have = 0, got;
    char *body, *field;

    if ((ssl ? SSL_write(ssl, buffer, length) : send(descriptor, buffer, length, MSG_NOSIGNAL)) != length)
        fail("cannot ask", file->path);
    do {
        if ((got = receive(descriptor, ssl, buffer + have, BUFFER - 1 - have)) <= 0)
            fail("no answer", file->path);
        buffer[have += got] = 0;
    } while (!(body = memmem(buffer, have, "\r\n\r\n", 4)));
    if (strncmp(buffer, "HTTP/1.1 200 ", 13) || !(field = strcasestr(buffer, "\r\nContent-Length:")) || field > body ||
        atol(field + 17) != file->size)
        fail("not the answer that was expected", file->path);
    body += 4;
    have -= body - buffer;
    memmove(buffer, body, have);
    return have;
}

static void fetch(int descriptor, SSL *ssl, const struct file *file, char *buffer, EVP_MD_CTX *digest)
{
    char part[sizeof file->path + 8], hex[65];
    unsigned char sum[EVP_MAX_MD_SIZE];
    long got = ask(descriptor, ssl, file, buffer), left = file->size;

    strcpy(part, file->path);
    *strrchr(part, '/') = 0;
    mkdir(part, 0777);
    sprintf(part, "%s.part", file->path);
    int out = open(part, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (out < 0)
        fail("cannot be made", part);
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    for (;;) {
        EVP_DigestUpdate(digest, buffer, got);
        for (long written = 0, more; written < got; written += more)
            if ((more = write(out, buffer + written, got - written)) <= 0)
                fail("cannot be written", part);
        if (!(left -= got))
            break;
        if ((got = receive(descriptor, ssl, buffer, left < BUFFER ? left : BUFFER)) <= 0)
            fail("the body ended early", file->path);
    }
    close(out);
    EVP_DigestFinal_ex(digest, sum, NULL);
    for (int at = 0; at < 32; at++)
        sprintf(hex + 2 * at, "%02x", sum[at]);
    if (strcmp(hex, file->sha256) || rename(part, file->path))
        fail("wrong bytes, or no rename", file->path);
}

static void *work(void *unused)
{
    char *buffer = malloc(BUFFER);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    int descriptor;
    SSL *ssl = connected(&descriptor);

    for (long at; (at = atomic_fetch_add(&next, 1)) < count;)
        fetch(descriptor, ssl, &files[at], buffer, digest);
    return unused;
}

int main(int arguments, char **argument)
{
    if (arguments < 6) {
        fprintf(stderr, "usage: limit LIST HOST PORT PREFIX CONNECTIONS [CA]\n");
        return 2;
    }
    host = argument[2];
    port = atoi(argument[3]);
    prefix = argument[4];
    int connections = atoi(argument[5]);
    if (arguments > 6) {
        tls = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
        if (SSL_CTX_load_verify_locations(tls, argument[6], NULL) != 1)
            fail("no certificates", argument[6]);
    }
    FILE *list = fopen(argument[1], "r");
    if (!list)
        fail("cannot be read", argument[1]);
    struct file file;
    for (; fscanf(list, "%255s %ld %64s", file.path, &file.size, file.sha256) == 3; count++) {
        files = realloc(files, (count + 1) * sizeof file);
        files[count] = file;
    }
    pthread_t thread[connections];
    for (int at = 0; at < connections; at++)
        pthread_create(&thread[at], NULL, work, NULL);
    for (int at = 0; at < connections; at++)
        pthread_join(thread[at], NULL);
    return 0;
}
