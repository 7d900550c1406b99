// A scripted engine that speaks like vLLM's server: one thread, epoll, faster than any proxy in front of it.
//
//   engine PORT:REFUSES ...      REFUSES 0: never, 1: every request, K: every K-th request of this port
//
// The request says what comes back: `max_tokens` tokens, `seed` microseconds between two of them (0: as fast as the
// socket takes them). GET /stats tells what happened so far; any other GET is answered with 200.
#include "common.h"

#define HEAD_LIMIT 65536
#define MODEL "\"created\":1760000000,\"model\":\"engine\""
#define ID "chatcmpl-0123456789abcdef0123456789abcdef"

static const char *const REFUSAL[] = {"I", " don't", " know", "!"};
#define REFUSAL_TOKENS 4

typedef struct {
  int fd;
  unsigned long refuses_every, requests;
} Port;

typedef struct Connection {
  int fd;
  Port *port;
  Buffer in, out;
  bool watching_out;
  // The stream that is being sent, if `streaming`.
  bool streaming, usage, refuses;
  int place;  // in `streams`
  int tokens, sent;
  uint64_t started, pace;
} Connection;

static int epoll;
static Connection **streams;  // those with tokens still to send
static int stream_count, stream_capacity;
static struct {
  unsigned long requests, refusals, tokens, cut, open;
} stats;

static void start_stream(Connection *c) {
  if (stream_count == stream_capacity) {
    stream_capacity = stream_capacity ? stream_capacity * 2 : 256;
    streams = realloc(streams, (size_t)stream_capacity * sizeof *streams);
    if (!streams) die("realloc");
  }
  c->streaming = true;
  c->sent = 0;
  c->started = now_ns();
  c->place = stream_count;
  streams[stream_count++] = c;
}

static void end_stream(Connection *c) {
  Connection *last = streams[--stream_count];
  streams[c->place] = last;
  last->place = c->place;
  c->streaming = false;
}

static void hang_up(Connection *c) {
  if (c->streaming) {
    stats.cut++;
    end_stream(c);
  }
  stats.open--;
  close(c->fd);
  free(c->in.data);
  free(c->out.data);
  free(c);
}

// Send what waits, as far as the socket takes it. False: the peer is gone.
static bool flush(Connection *c) {
  while (waiting(&c->out)) {
    ssize_t took = send(c->fd, c->out.data + c->out.start, waiting(&c->out), MSG_NOSIGNAL);
    if (took < 0 && errno != EAGAIN) return false;
    if (took < 0) break;
    c->out.start += (size_t)took;
  }
  bool blocked = waiting(&c->out) > 0;
  if (blocked != c->watching_out) {
    watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | (blocked ? EPOLLOUT : 0), c);
    c->watching_out = blocked;
  }
  return true;
}

static void token_text(char *to, const Connection *c, int index) {
  if (c->refuses)
    strcpy(to, REFUSAL[index]);
  else
    sprintf(to, " @%0*d%0*llu", INDEX_DIGITS, index, TIME_DIGITS, (unsigned long long)now_ns());
}

static void append_event(Connection *c, const char *event, int length) {
  char frame[16];
  append(&c->out, frame, (size_t)sprintf(frame, "%x\r\n", (unsigned)length));
  append(&c->out, event, (size_t)length);
  append(&c->out, "\r\n", 2);
}

static void append_delta(Connection *c, const char *role, const char *text, const char *finish) {
  char event[512];
  int length = sprintf(event,
                       "data: {\"id\":\"" ID "\",\"object\":\"chat.completion.chunk\"," MODEL
                       ",\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\"%s\"},\"logprobs\":null,"
                       "\"finish_reason\":%s,\"token_ids\":null}]}\n\n",
                       role, text, finish);
  append_event(c, event, length);
}

// The next token of a stream, each in a write of its own as vLLM's server does it. False: the peer is gone.
static bool send_token(Connection *c) {
  static const char head[] =
      "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
      "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
  char text[64], event[512];
  if (c->sent == 0) {
    append(&c->out, head, sizeof head - 1);
    append_delta(c, "\"role\":\"assistant\",", "", "null");
    if (!flush(c)) return false;
  }
  token_text(text, c, c->sent++);
  stats.tokens++;
  bool last = c->sent == c->tokens;
  append_delta(c, "", text, last ? "\"stop\"" : "null");
  if (last) {
    if (c->usage)
      append_event(c, event,
                   sprintf(event,
                           "data: {\"id\":\"" ID "\",\"object\":\"chat.completion.chunk\"," MODEL
                           ",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"total_tokens\":%d,"
                           "\"completion_tokens\":%d}}\n\n",
                           11 + c->tokens, c->tokens));
    append_event(c, "data: [DONE]\n\n", 14);
    append(&c->out, "0\r\n\r\n", 5);
    end_stream(c);
  }
  return flush(c);
}

static bool send_body(Connection *c, const char *body, size_t length) {
  char head[256];
  int count = sprintf(head,
                      "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
                      "content-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                      length);
  append(&c->out, head, (size_t)count);
  append(&c->out, body, length);
  return flush(c);
}

static bool send_whole(Connection *c) {
  char *body = malloc(512 + (size_t)c->tokens * (TOKEN_LENGTH + 1));
  if (!body) die("malloc");
  int length = sprintf(body, "{\"id\":\"" ID "\",\"object\":\"chat.completion\"," MODEL
                             ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
  for (int index = 0; index < c->tokens; index++) {
    token_text(body + length, c, index);
    length += (int)strlen(body + length);
  }
  length += sprintf(body + length,
                    "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":11,"
                    "\"total_tokens\":%d,\"completion_tokens\":%d}}",
                    11 + c->tokens, c->tokens);
  bool alive = send_body(c, body, (size_t)length);
  free(body);
  return alive;
}

static bool answer_get(Connection *c, const char *head) {
  char body[256];
  if (!strncmp(head, "GET /stats", 10))
    sprintf(body, "{\"requests\":%lu,\"refusals\":%lu,\"tokens\":%lu,\"cut\":%lu,\"open\":%lu,\"streaming\":%d}",
            stats.requests, stats.refusals, stats.tokens, stats.cut, stats.open, stream_count);
  else
    strcpy(body, "{\"object\":\"list\",\"data\":[{\"id\":\"engine\",\"object\":\"model\",\"created\":1760000000,"
                 "\"owned_by\":\"vllm\",\"root\":\"engine\",\"parent\":null}]}");
  return send_body(c, body, strlen(body));
}

// Start of the value of a top-level field, or NULL. Good for the bodies of this bench, which never quote field names.
static const char *field(const char *body, size_t length, const char *name) {
  const char *at = memmem(body, length, name, strlen(name));
  if (!at) return NULL;
  at += strlen(name);
  while (*at == ' ') at++;
  return at;
}

static bool is_true(const char *value) { return value && !strncmp(value, "true", 4); }

// Act on one request; `body` ends with a NUL. False: the peer is gone.
static bool handle(Connection *c, const char *head, const char *body, size_t length) {
  if (!strncmp(head, "GET ", 4)) return answer_get(c, head);
  const char *tokens = field(body, length, "\"max_tokens\":"), *pace = field(body, length, "\"seed\":");
  Port *port = c->port;
  stats.requests++;
  port->requests++;
  c->refuses = port->refuses_every && port->requests % port->refuses_every == 0;
  stats.refusals += c->refuses;
  c->tokens = c->refuses ? REFUSAL_TOKENS : tokens ? atoi(tokens) : 8;
  if (c->tokens < 1 || c->tokens > 99999) c->tokens = 1;
  c->pace = pace ? strtoull(pace, NULL, 10) * MICRO : 0;
  c->usage = is_true(field(body, length, "\"include_usage\":"));
  if (!is_true(field(body, length, "\"stream\":"))) return send_whole(c);
  start_stream(c);
  return true;
}

// Take whole requests from what came in, one at a time: the next waits for the end of a stream.
static bool take_requests(Connection *c) {
  while (!c->streaming && waiting(&c->in)) {
    char *head = c->in.data + c->in.start, *end = memmem(head, waiting(&c->in), "\r\n\r\n", 4);
    if (!end) return waiting(&c->in) < HEAD_LIMIT;
    size_t length = 0, head_length = (size_t)(end - head) + 4;
    for (char *line = head; line < end; line = (char *)memchr(line, '\n', (size_t)(end + 4 - line)) + 1)
      if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, NULL, 10);
    if (waiting(&c->in) < head_length + length) return true;
    char *body = head + head_length, kept = body[length];  // there is always room for one byte more
    body[length] = 0;
    bool alive = handle(c, head, body, length);
    body[length] = kept;
    c->in.start += head_length + length;
    if (!alive) return false;
  }
  return true;
}

static bool receive(Connection *c) {
  for (;;) {
    size_t space = 16384;
    char *to = room(&c->in, space + 1);
    ssize_t got = recv(c->fd, to, space, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got < 0) break;
    c->in.end += (size_t)got;
    if ((size_t)got < space) break;
  }
  return take_requests(c);
}

static void accept_all(Port *port) {
  int fd;
  while ((fd = accept4(port->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    no_delay(fd);
    Connection *c = calloc(1, sizeof *c);
    if (!c) die("calloc");
    c->fd = fd;
    c->port = port;
    stats.open++;
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c);
  }
}

// Send every token that is due; a stream whose reader is slow waits. Returns when the next is due.
static uint64_t send_due(void) {
  uint64_t now = now_ns(), next = now + 60 * SECOND;
  for (int i = stream_count - 1; i >= 0; i--) {
    Connection *c = streams[i];
    if (waiting(&c->out)) continue;
    uint64_t due = c->started + c->pace * (uint64_t)c->sent;
    if (due <= now) {
      if (!send_token(c) || (!c->streaming && !take_requests(c))) {
        hang_up(c);
        continue;
      }
      if (!c->streaming || waiting(&c->out)) continue;
      due = c->started + c->pace * (uint64_t)c->sent;
    }
    if (due < next) next = due;
  }
  return next;
}

static Port *listen_on(const char *spec) {
  Port *port = calloc(1, sizeof *port);
  if (!port) die("calloc");
  const char *colon = strchr(spec, ':');
  port->refuses_every = colon ? strtoul(colon + 1, NULL, 10) : 0;
  struct sockaddr_in address = loopback(atoi(spec));
  port->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int one = 1;
  setsockopt(port->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(port->fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(port->fd, 4096) < 0) die(spec);
  watch(epoll, EPOLL_CTL_ADD, port->fd, EPOLLIN, port);
  return port;
}

int main(int count, char **specs) {
  if (count < 2) {
    fprintf(stderr, "usage: engine PORT:REFUSES ...\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  epoll = epoll_create1(0);
  Port **ports = calloc((size_t)count, sizeof *ports);
  for (int i = 1; i < count; i++) ports[i - 1] = listen_on(specs[i]);
  struct epoll_event events[EVENTS];
  for (;;) {
    uint64_t next = send_due(), now = now_ns(), rest = next > now ? next - now : 0;
    struct timespec pause = {(time_t)(rest / SECOND), (long)(rest % SECOND)};
    int ready = epoll_pwait2(epoll, events, EVENTS, &pause, NULL);
    for (int i = 0; i < ready; i++) {
      bool is_port = false;
      for (int p = 0; p < count - 1; p++) is_port |= events[i].data.ptr == ports[p];
      if (is_port) {
        accept_all(events[i].data.ptr);
        continue;
      }
      Connection *c = events[i].data.ptr;
      bool alive = !(events[i].events & EPOLLOUT) || flush(c);
      if (alive && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) alive = receive(c);
      if (!alive) hang_up(c);
    }
  }
}
