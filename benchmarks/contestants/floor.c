/* The floor: a C client that speaks dqlite's wire protocol on raw sockets and only walks what it
 * gets. Usage: floor HOST:PORT DATABASE; orders and answers as in harness.py.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 3, PREPARE = 4, EXEC = 5, EXEC_SQL = 8, QUERY_SQL = 9 };
enum { FAILURE = 0, STMT = 5, ROWS = 7 };
enum { INTEGER = 1, FLOAT = 2, TEXT = 3, BLOB = 4, ISO8601 = 10 };
#define DONE UINT64_MAX
#define PAD(n) (((n) + 7) & ~(size_t)7)

typedef struct { char *at; size_t len, cap; } Bytes;
typedef struct { int fd, reads; uint32_t stmt; Bytes in; size_t used; } Conn;
typedef struct { int type; char *body; size_t len; } Message;

static const char *host_port, *database;

static void die(const char *what) {
    printf("{\"error\": \"%s\"}\n", what);
    exit(1);
}

static void grow(Bytes *b, size_t more) {
    if (b->len + more <= b->cap) return;
    b->cap = (b->len + more) * 2;
    b->at = realloc(b->at, b->cap);
    if (!b->at) die("out of memory");
}

static void put(Bytes *b, const void *data, size_t n) {
    grow(b, PAD(n));
    memcpy(b->at + b->len, data, n);
    memset(b->at + b->len + n, 0, PAD(n) - n);
    b->len += PAD(n);
}

static void put_u64(Bytes *b, uint64_t value) { put(b, &value, 8); }
static void put_text(Bytes *b, const char *text) { put(b, text, strlen(text) + 1); }

static size_t begin(Bytes *b, int type) {
    put_u64(b, (uint64_t)type << 32);
    return b->len;
}

static void end(Bytes *b, size_t start) {
    uint32_t words = (uint32_t)((b->len - start) / 8);
    memcpy(b->at + start - 8, &words, 4);
}

static void put_sql(Bytes *b, int type, const char *sql) {
    size_t start = begin(b, type);
    put_u64(b, 0);
    put_text(b, sql);
    end(b, start);
}

static void flush(Conn *c, Bytes *b) {
    for (size_t sent = 0; sent < b->len;) {
        ssize_t n = send(c->fd, b->at + sent, b->len - sent, 0);
        if (n <= 0) die("send failed");
        sent += (size_t)n;
    }
    b->len = 0;
    c->reads = 0;
}

/* Receive until `n` bytes from `used` on are there. The server writes parts of a result without
 * TCP_NODELAY, so a late ACK would stop it for 40 ms: ACK at once from the second read on. */
static void need(Conn *c, size_t n) {
    if (c->used == c->in.len) c->used = c->in.len = 0;
    if (c->used && c->used + n > c->in.cap) {
        memmove(c->in.at, c->in.at + c->used, c->in.len - c->used);
        c->in.len -= c->used;
        c->used = 0;
    }
    while (c->in.len - c->used < n) {
        int one = 1;
        grow(&c->in, n > 65536 ? n : 65536);
        if (c->reads++) setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
        ssize_t got = recv(c->fd, c->in.at + c->in.len, c->in.cap - c->in.len, 0);
        if (got <= 0) die("the server closed the connection");
        c->in.len += (size_t)got;
    }
}

static Message receive(Conn *c) {
    uint32_t words;
    need(c, 8);
    memcpy(&words, c->in.at + c->used, 4);
    need(c, 8 + (size_t)words * 8);
    Message m = {c->in.at[c->used + 4], c->in.at + c->used + 8, (size_t)words * 8};
    c->used += 8 + m.len;
    if (m.type == FAILURE) die("the server refused a request");
    return m;
}

static uint64_t word(const char *at) {
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

/* Walk the rows of one message; returns 1 when the result is complete. */
static int walk(Message m, long *rows) {
    size_t columns = word(m.body), head = PAD((columns + 1) / 2);
    char *at = m.body + 8;
    for (size_t i = 0; i < columns; i++) at += PAD(strlen(at) + 1);
    for (; (uint8_t)*at != 0xff && (uint8_t)*at != 0xee; (*rows)++) {
        const uint8_t *types = (const uint8_t *)at;
        at += head;
        for (size_t i = 0; i < columns; i++) {
            int type = types[i / 2] >> (i % 2 * 4) & 15;
            if (type == TEXT || type == ISO8601) at += PAD(strlen(at) + 1);
            else if (type == BLOB) at += 8 + PAD(word(at));
            else at += 8;
        }
    }
    return word(at) == DONE;
}

static long query(Conn *c, Bytes *b, const char *sql) {
    long rows = 0;
    put_sql(b, QUERY_SQL, sql);
    flush(c, b);
    while (!walk(receive(c), &rows)) {}
    return rows;
}

static void run(Conn *c, Bytes *b, const char *sql) {
    put_sql(b, EXEC_SQL, sql);
    flush(c, b);
    receive(c);
}

static void dial(Conn *c) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[64];
    int port, one = 1;
    memset(c, 0, sizeof *c);
    if (sscanf(host_port, "%63[^:]:%d", host, &port) != 2) die("bad address");
    to.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, host, &to.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("cannot connect");
}

static void put_open(Bytes *b) {
    put_u64(b, 1);
    size_t start = begin(b, OPEN);
    put_text(b, database);
    put_u64(b, 0);
    put_text(b, "");
    end(b, start);
}

static void open_database(Conn *c, Bytes *b) {
    dial(c);
    put_open(b);
    flush(c, b);
    receive(c);
}

static void hang_up(Conn *c) {
    close(c->fd);
    free(c->in.at);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void connect_once(Conn *unused, Bytes *b, long n, long m) {
    Conn c;
    long rows = 0;
    (void)unused, (void)n, (void)m;
    dial(&c);
    put_open(b);
    put_sql(b, QUERY_SQL, "SELECT 1");
    flush(&c, b);
    receive(&c);
    walk(receive(&c), &rows);
    hang_up(&c);
}

static void select1(Conn *c, Bytes *b, long n, long m) {
    (void)n, (void)m;
    query(c, b, "SELECT 1");
}

static void insert(Conn *c, Bytes *b, long n, long m) {
    (void)n, (void)m;
    size_t start = begin(b, EXEC_SQL);
    put_u64(b, 0);
    put_text(b, "INSERT INTO item (name) VALUES (?)");
    put_u64(b, 1 | TEXT << 8);
    put_text(b, "item number 1");
    end(b, start);
    flush(c, b);
    receive(c);
}

static void fetch(Conn *c, Bytes *b, long n, long m) {
    char sql[100];
    snprintf(sql, sizeof sql, "SELECT id, name, price, stock FROM big LIMIT %ld", n);
    do if (query(c, b, sql) != n) die("rows are missing");
    while (--m > 0);
}

static void blob_read(Conn *c, Bytes *b, long n, long m) {
    (void)n, (void)m;
    query(c, b, "SELECT data FROM large");
}

static void blob_write(Conn *c, Bytes *b, long n, long m) {
    static char *data;
    (void)m;
    if (!data) data = calloc(1, (size_t)n);
    size_t start = begin(b, EXEC_SQL);
    put_u64(b, 0);
    put_text(b, "INSERT OR REPLACE INTO written VALUES (1, ?)");
    put_u64(b, 1 | BLOB << 8);
    put_u64(b, (uint64_t)n);
    put(b, data, (size_t)n);
    end(b, start);
    flush(c, b);
    receive(c);
}

static void put_rows(Bytes *b, long first, long rows) {
    static const uint8_t types[4] = {TEXT, FLOAT, INTEGER, INTEGER};
    uint8_t head[256] = {(uint8_t)(rows * 4)};
    for (long i = 0; i < rows * 4; i++) head[1 + i] = types[i % 4];
    put(b, head, (size_t)(1 + rows * 4));
    for (long i = first; i < first + rows; i++) {
        char name[32];
        double price = (double)i * 0.5;
        snprintf(name, sizeof name, "item number %ld", i);
        put_text(b, name);
        put(b, &price, 8);
        put_u64(b, (uint64_t)(i % 100));
        put_u64(b, 7);
    }
}

static const char *insert_of(long rows) {
    static char sql[1024];
    size_t at = (size_t)sprintf(sql, "INSERT INTO many (name, price, stock, batch) VALUES ");
    for (long i = 0; i < rows; i++) at += (size_t)sprintf(sql + at, "%s(?,?,?,?)", i ? "," : "");
    return sql;
}

/* `n` rows in one transaction, `each` a statement, `window` requests sent ahead. */
static void many(Conn *c, Bytes *b, long n, long each, long window, int prepared) {
    long sent = 0;
    run(c, b, "BEGIN");
    while (sent < n) {
        long burst = 0;
        for (; burst < window && sent < n; burst++) {
            long rows = n - sent < each ? n - sent : each;
            int by_id = prepared && rows == each;
            size_t start = begin(b, by_id ? EXEC : EXEC_SQL);
            put_u64(b, by_id ? (uint64_t)c->stmt << 32 : 0);
            if (!by_id) put_text(b, insert_of(rows));
            put_rows(b, sent, rows);
            end(b, start);
            sent += rows;
        }
        flush(c, b);
        while (burst--) receive(c);
    }
    run(c, b, "COMMIT");
}

static void prepare(Conn *c, Bytes *b, long rows) {
    put_sql(b, PREPARE, insert_of(rows));
    flush(c, b);
    c->stmt = (uint32_t)(word(receive(c).body) >> 32);
}

#define MANY(name, each, window, prepared)                    \
    static void many_##name(Conn *c, Bytes *b, long n, long m) { \
        (void)m;                                              \
        if (prepared) prepare(c, b, each);                    \
        many(c, b, n, each, window, prepared);                \
    }
MANY(single, 1, 1, 1)
MANY(pipelined, 1, 64, 1)
MANY(multirow, 60, 1, 0)
MANY(multirow_prepared, 60, 8, 1)

typedef struct { long calls; pthread_barrier_t *barrier; } Client;

static void *client(void *argument) {
    Client *job = argument;
    Conn c;
    Bytes b = {0};
    open_database(&c, &b);
    pthread_barrier_wait(job->barrier);
    for (long i = 0; i < job->calls; i++) query(&c, &b, "SELECT 1");
    pthread_barrier_wait(job->barrier);
    hang_up(&c);
    free(b.at);
    return NULL;
}

static void clients(long n, long k) {
    pthread_t threads[256];
    pthread_barrier_t barrier;
    Client job = {n, &barrier};
    if (k > 256) die("too many clients");
    pthread_barrier_init(&barrier, NULL, (unsigned)k + 1);
    for (long i = 0; i < k; i++) pthread_create(&threads[i], NULL, client, &job);
    pthread_barrier_wait(&barrier);
    double start = now(), used = cpu();
    pthread_barrier_wait(&barrier);
    double wall = now() - start;
    used = cpu() - used;
    for (long i = 0; i < k; i++) pthread_join(threads[i], NULL);
    printf("{\"wall\": %.9f, \"cpu\": %.6f, \"calls\": %ld}\n", wall, used, n * k);
}

typedef void Action(Conn *, Bytes *, long, long);
static const struct { const char *name; Action *action; int repeats; } actions[] = {
    {"connect", connect_once, 1},        {"select1", select1, 1},
    {"insert", insert, 1},               {"fetch", fetch, 0},
    {"blob_read", blob_read, 0},         {"blob_write", blob_write, 0},
    {"many_single", many_single, 0},     {"many_pipelined", many_pipelined, 0},
    {"many_multirow", many_multirow, 0}, {"many_multirow_prepared", many_multirow_prepared, 0},
};

static void obey(Conn *c, Bytes *b, const char *op, long n, long m) {
    size_t i = 0, count = sizeof actions / sizeof *actions;
    while (i < count && strcmp(actions[i].name, op)) i++;
    if (i == count) {
        printf("{\"error\": \"does not do this\"}\n");
        return;
    }
    long repeats = actions[i].repeats ? n : 1;
    double *laps = malloc(sizeof *laps * (size_t)repeats), used = cpu(), wall = 0;
    for (long lap = 0; lap < repeats; lap++) {
        double start = now();
        actions[i].action(c, b, n, m);
        wall += laps[lap] = now() - start;
    }
    used = cpu() - used;
    printf("{\"wall\": %.9f, \"cpu\": %.6f, \"calls\": %ld, \"laps\": [", wall, used,
           n * (m ? m : 1));
    for (long lap = 0; lap < repeats && actions[i].repeats; lap++)
        printf("%s%.9f", lap ? ", " : "", laps[lap]);
    printf("]}\n");
    free(laps);
}

int main(int argc, char **argv) {
    char line[256], op[32];
    long n, m;
    Conn c;
    Bytes b = {0};
    if (argc != 3) die("usage: floor HOST:PORT DATABASE");
    host_port = argv[1];
    database = argv[2];
    open_database(&c, &b);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "[\"%31[^\"]\", %ld, %ld]", op, &n, &m) != 3) die("bad order");
        if (!strcmp(op, "clients")) clients(n, m);
        else obey(&c, &b, op, n, m);
        fflush(stdout);
    }
    hang_up(&c);
    return 0;
}
