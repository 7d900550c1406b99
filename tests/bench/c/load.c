// A closed-loop load generator: one thread, epoll. It checks every answer to the last character and prints one JSON object.
//
//   load -p PORT [options]
//     -c connections   -d seconds of measuring   -w seconds of warm-up before   -x seconds for what is in flight at the end
//     -n tokens an answer has   -i microseconds between them   -s stream   -b bytes of padding in the prompt
//     -m model   -g microseconds between the starts of the connections   -t microseconds between two requests of one
//     -a K hang up after K tokens (0: as soon as the request is out)   -r read at most so many bytes every 10 ms
#include "reply.h"

#define READ_TICK (10 * 1000 * MICRO)

static struct {
  int port, connections, tokens;
  double seconds, warm_up, grace;
  long pace, padding, stagger, pause, slow_bytes, abort_after;
  bool stream;
  const char *model;
} option = {.connections = 1, .tokens = 1, .seconds = 1, .grace = 3, .abort_after = -1, .model = "engine"};

typedef struct {
  int fd;  // -1: not connected
  enum { IDLE, SENDING, READING } state;
  size_t sent;               // bytes of the request
  uint64_t due;              // when the next request starts, if IDLE
  uint64_t begun, received, first, read_at;
  Reply reply;
} Client;

typedef struct {
  uint32_t *values;  // tenths of a microsecond
  size_t count, capacity;
} Sample;

static int epoll;
static Client *clients;
static char *request;
static size_t request_length;
static uint64_t window_start, window_end;
static Sample first_token, whole_answer, token_delay;
static struct {
  long started, answered, aborted, cut, tokens;                     // from the first request to the last
  long window_answered, window_tokens;                              // in the window alone
  long refused_connection, closed, bad_http, bad_status, bad_content;  // failures
} tally;

static void add(Sample *s, uint64_t ns) {
  if (s->count == s->capacity) {
    s->capacity = s->capacity ? s->capacity * 2 : 65536;
    s->values = realloc(s->values, s->capacity * sizeof *s->values);
    if (!s->values) die("realloc");
  }
  uint64_t tenths = ns / 100;
  s->values[s->count++] = tenths > UINT32_MAX ? UINT32_MAX : (uint32_t)tenths;
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void print_sample(const char *name, Sample *s) {
  qsort(s->values, s->count, sizeof *s->values, ascending);
  if (!s->count) return;
  printf(",\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f", name, s->values[(s->count - 1) / 2] / 10.0, name,
         s->values[(s->count - 1) * 99 / 100] / 10.0);
}

static bool in_window(uint64_t t) { return t >= window_start && t <= window_end; }

static void on_token(void *owner, uint64_t sent_ns) {
  Client *c = owner;
  tally.tokens++;
  if (!c->first) c->first = c->received;
  if (!in_window(c->received)) return;
  tally.window_tokens++;
  if (option.stream && c->received > sent_ns) add(&token_delay, c->received - sent_ns);
}

static void hang_up(Client *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

static void rest(Client *c, uint64_t now) {
  c->state = IDLE;
  c->due = now + (uint64_t)option.pause * MICRO;
}

static void fail(Client *c, long *reason) {
  ++*reason;
  hang_up(c);
  rest(c, now_ns() + 1000 * MICRO);  // a dead target is not hammered
}

static void give_up(Client *c) {
  tally.aborted++;
  hang_up(c);
  rest(c, now_ns());
}

static void complete(Client *c) {
  uint64_t now = now_ns();
  tally.answered++;
  if (in_window(now)) {
    tally.window_answered++;
    if (in_window(c->begun)) {
      add(&first_token, c->first - c->begun);
      add(&whole_answer, now - c->begun);
    }
  }
  if (!c->reply.keep_alive) hang_up(c);
  rest(c, now);
}

static void listen_for(Client *c, bool writable) {
  watch(epoll, EPOLL_CTL_MOD, c->fd, (option.slow_bytes ? 0 : EPOLLIN) | (writable ? EPOLLOUT : 0), c);
}

static void send_request(Client *c) {
  ssize_t took = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL);
  if (took < 0 && errno != EAGAIN && errno != ENOTCONN) {
    fail(c, errno == ECONNREFUSED ? &tally.refused_connection : &tally.closed);
    return;
  }
  c->sent += took > 0 ? (size_t)took : 0;
  bool out = c->sent == request_length;
  if (out && option.abort_after == 0) {
    give_up(c);
    return;
  }
  if (out) c->state = READING;
  listen_for(c, !out);
}

static void begin(Client *c) {
  tally.started++;
  reply_begin(&c->reply, option.tokens, option.stream);
  c->state = SENDING;
  c->sent = 0;
  c->first = 0;
  c->begun = c->read_at = now_ns();
  if (c->fd >= 0) {
    send_request(c);
    return;
  }
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  if (option.slow_bytes) {
    int small = 4096;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  no_delay(c->fd);
  struct sockaddr_in address = loopback(option.port);
  connect(c->fd, (struct sockaddr *)&address, sizeof address);
  watch(epoll, EPOLL_CTL_ADD, c->fd, EPOLLIN | EPOLLOUT, c);
}

static void receive(Client *c) {
  static char bytes[262144];
  size_t limit = option.slow_bytes ? (size_t)option.slow_bytes : sizeof bytes;
  ssize_t got = recv(c->fd, bytes, limit, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0 && c->state == IDLE) {  // closed between two requests, which HTTP allows
    hang_up(c);
    return;
  }
  if (got <= 0 || c->state == IDLE) {
    fail(c, got < 0 && errno == ECONNREFUSED ? &tally.refused_connection : got <= 0 ? &tally.closed : &tally.bad_http);
    return;
  }
  c->received = now_ns();
  Verdict verdict = reply_feed(&c->reply, bytes, (size_t)got, on_token, c);
  if (verdict == COMPLETE) complete(c);
  if (verdict == BAD_HTTP) fail(c, &tally.bad_http);
  if (verdict == BAD_STATUS) fail(c, &tally.bad_status);
  if (verdict == BAD_CONTENT) fail(c, &tally.bad_content);
  if (verdict == MORE && option.abort_after >= 0 && c->reply.tokens >= option.abort_after) give_up(c);
}

// Start what is due and let slow readers read. Returns how many requests are in flight, and when to look again.
static int tick(uint64_t now, uint64_t *next) {
  int busy = 0;
  for (int i = 0; i < option.connections; i++) {
    Client *c = &clients[i];
    if (c->state == IDLE && now >= window_end) continue;
    if (c->state == IDLE && c->due <= now) begin(c);
    if (c->state == READING && option.slow_bytes && c->read_at <= now) {
      c->read_at = now + READ_TICK;
      receive(c);
    }
    if (c->state == IDLE && c->due < *next) *next = c->due;
    if (c->state == READING && option.slow_bytes && c->read_at < *next) *next = c->read_at;
    busy += c->state != IDLE;
  }
  return busy;
}

static void run(void) {
  struct epoll_event events[EVENTS];
  uint64_t limit = window_end + (uint64_t)(option.grace * 1e9);
  for (;;) {
    uint64_t now = now_ns(), next = now < window_end ? window_end : limit;
    int busy = tick(now, &next);
    if (now >= window_end && (!busy || now >= limit)) {
      tally.cut = busy;
      return;
    }
    now = now_ns();
    uint64_t wait = next > now ? next - now : 0;
    struct timespec pause = {(time_t)(wait / SECOND), (long)(wait % SECOND)};
    int ready = epoll_pwait2(epoll, events, EVENTS, &pause, NULL);
    for (int i = 0; i < ready; i++) {
      Client *c = events[i].data.ptr;
      if (c->state == SENDING && (events[i].events & EPOLLOUT)) send_request(c);
      bool slow = option.slow_bytes && c->state == READING;
      if (c->fd >= 0 && !slow && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) receive(c);
    }
  }
}

static void make_request(void) {
  char *body = malloc((size_t)option.padding + 1024);
  request = malloc((size_t)option.padding + 2048);
  if (!body || !request) die("malloc");
  size_t length = (size_t)sprintf(body, "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"What is 2+2? ",
                                  option.model);
  for (long i = 0; i < option.padding; i++) body[length++] = i % 8 == 7 ? ' ' : 'x';
  length += (size_t)sprintf(body + length, "\"}],\"max_tokens\":%d,\"seed\":%ld,\"temperature\":0.7,\"stream\":%s}",
                            option.tokens, option.pace, option.stream ? "true" : "false");
  request_length = (size_t)sprintf(request,
                                   "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                   "User-Agent: OpenAI/Python 2.0.0\r\nAccept: application/json\r\n"
                                   "Content-Type: application/json\r\nAuthorization: Bearer none\r\n"
                                   "Content-Length: %zu\r\n\r\n",
                                   option.port, length);
  memcpy(request + request_length, body, length);
  request_length += length;
  free(body);
}

static void read_options(int count, char **words) {
  int letter;
  while ((letter = getopt(count, words, "p:c:d:w:x:n:i:sb:m:g:t:a:r:")) > 0) switch (letter) {
      case 'p': option.port = atoi(optarg); break;
      case 'c': option.connections = atoi(optarg); break;
      case 'd': option.seconds = atof(optarg); break;
      case 'w': option.warm_up = atof(optarg); break;
      case 'x': option.grace = atof(optarg); break;
      case 'n': option.tokens = atoi(optarg); break;
      case 'i': option.pace = atol(optarg); break;
      case 's': option.stream = true; break;
      case 'b': option.padding = atol(optarg); break;
      case 'm': option.model = optarg; break;
      case 'g': option.stagger = atol(optarg); break;
      case 't': option.pause = atol(optarg); break;
      case 'a': option.abort_after = atol(optarg); break;
      case 'r': option.slow_bytes = atol(optarg); break;
      default: exit(2);
    }
  if (!option.port) {
    fprintf(stderr, "usage: load -p PORT [options]; the head of load.c says which\n");
    exit(2);
  }
}

static void print_result(void) {
  long failed = tally.refused_connection + tally.closed + tally.bad_http + tally.bad_status + tally.bad_content;
  printf("{\"started\":%ld,\"answered\":%ld,\"aborted\":%ld,\"cut\":%ld,\"failed\":%ld,\"tokens\":%ld", tally.started,
         tally.answered, tally.aborted, tally.cut, failed, tally.tokens);
  printf(",\"refused_connection\":%ld,\"closed\":%ld,\"bad_http\":%ld,\"bad_status\":%ld,\"bad_content\":%ld",
         tally.refused_connection, tally.closed, tally.bad_http, tally.bad_status, tally.bad_content);
  printf(",\"requests_per_s\":%.1f,\"tokens_per_s\":%.1f", (double)tally.window_answered / option.seconds,
         (double)tally.window_tokens / option.seconds);
  print_sample("first_token", &first_token);
  print_sample("whole_answer", &whole_answer);
  print_sample("token_delay", &token_delay);
  printf("}\n");
}

int main(int count, char **words) {
  signal(SIGPIPE, SIG_IGN);
  read_options(count, words);
  make_request();
  epoll = epoll_create1(0);
  clients = calloc((size_t)option.connections, sizeof *clients);
  if (!clients) die("calloc");
  uint64_t now = now_ns();
  window_start = now + (uint64_t)(option.warm_up * 1e9);
  window_end = window_start + (uint64_t)(option.seconds * 1e9);
  for (int i = 0; i < option.connections; i++) {
    clients[i].fd = -1;
    clients[i].due = now + (uint64_t)i * (uint64_t)option.stagger * MICRO;
  }
  run();
  print_result();
  return 0;
}
