// What the scripted engine and the load generator share: a clock, sockets and a growing buffer.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 512
#define SECOND 1000000000ull
#define MICRO 1000ull

// One token of an answer: " @", its number in the answer, and when the engine sent it (CLOCK_MONOTONIC, ns).
#define INDEX_DIGITS 5
#define TIME_DIGITS 16
#define TOKEN_LENGTH (2 + INDEX_DIGITS + TIME_DIGITS)

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static inline void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static inline void watch(int epoll, int how, int fd, uint32_t events, void *owner) {
  struct epoll_event event = {events, {.ptr = owner}};
  if (epoll_ctl(epoll, how, fd, &event) < 0) die("epoll_ctl");
}

typedef struct {
  char *data;
  size_t start, end, capacity;  // bytes in [start, end) are waiting
} Buffer;

static inline size_t waiting(const Buffer *b) { return b->end - b->start; }

// Room for `more` bytes behind the waiting ones, which move to the front first.
static inline char *room(Buffer *b, size_t more) {
  if (b->start) {
    memmove(b->data, b->data + b->start, waiting(b));
    b->end -= b->start;
    b->start = 0;
  }
  if (b->end + more > b->capacity) {
    b->capacity = (b->end + more) * 2;
    b->data = realloc(b->data, b->capacity);
    if (!b->data) die("realloc");
  }
  return b->data + b->end;
}

static inline void append(Buffer *b, const char *bytes, size_t count) {
  memcpy(room(b, count), bytes, count);
  b->end += count;
}
