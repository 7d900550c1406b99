#include "reply.h"

#define HEAD_LIMIT 16384

static const char CONTENT[] = "\"content\":", DONE[] = "data: [DONE]";

void reply_begin(Reply *r, int wanted, bool streaming) {
  Buffer text = r->text;
  text.start = text.end = 0;
  *r = (Reply){.streaming = streaming, .wanted = wanted, .keep_alive = true, .left = -1, .text = text};
}

// Digits at `from`, or -1 if one of them is none.
static long long digits(const char *from, int count) {
  long long value = 0;
  for (int i = 0; i < count; i++) {
    if (from[i] < '0' || from[i] > '9') return -1;
    value = value * 10 + (from[i] - '0');
  }
  return value;
}

// Check one string of the answer: whole tokens, each the next in number.
static void read_tokens(Reply *r, const char *text, size_t length, TokenSeen *seen, void *owner) {
  for (; length; text += TOKEN_LENGTH, length -= TOKEN_LENGTH) {
    if (length < TOKEN_LENGTH || text[0] != ' ' || text[1] != '@') break;
    long long index = digits(text + 2, INDEX_DIGITS), sent = digits(text + 2 + INDEX_DIGITS, TIME_DIGITS);
    if (index != r->tokens || sent < 0) break;
    r->tokens++;
    seen(owner, (uint64_t)sent);
  }
  r->wrong |= length > 0;
}

// A line of an event stream, or a whole JSON body: every value of "content" in it belongs to the answer.
static void read_line(Reply *r, const char *line, size_t length, TokenSeen *seen, void *owner) {
  const char *end = line + length, *at = line;
  if (r->streaming && length >= sizeof DONE - 1 && !memcmp(line, DONE, sizeof DONE - 1)) r->done = true;
  while ((at = memmem(at, (size_t)(end - at), CONTENT, sizeof CONTENT - 1))) {
    at += sizeof CONTENT - 1;
    while (at < end && *at == ' ') at++;
    if (at == end || *at != '"') continue;  // null
    at++;
    const char *close = memchr(at, '"', (size_t)(end - at));
    if (!close) break;
    read_tokens(r, at, (size_t)(close - at), seen, owner);
    at = close;
  }
}

// Bytes of the body without their framing: cut them into lines, and keep what is not a line yet.
static void read_body(Reply *r, const char *bytes, size_t count, TokenSeen *seen, void *owner) {
  const char *end = bytes + count, *newline;
  while ((newline = memchr(bytes, '\n', (size_t)(end - bytes)))) {
    if (waiting(&r->text)) {
      append(&r->text, bytes, (size_t)(newline - bytes));
      read_line(r, r->text.data, r->text.end, seen, owner);
      r->text.end = 0;
    } else {
      read_line(r, bytes, (size_t)(newline - bytes), seen, owner);
    }
    bytes = newline + 1;
  }
  if (bytes < end) append(&r->text, bytes, (size_t)(end - bytes));
}

static Verdict finish(Reply *r, TokenSeen *seen, void *owner) {
  if (waiting(&r->text)) read_line(r, r->text.data, r->text.end, seen, owner);
  if (r->status != 200) return BAD_STATUS;
  bool exact = r->tokens == r->wanted && !r->wrong && (r->done || !r->streaming);
  return exact ? COMPLETE : BAD_CONTENT;
}

// Returns the bytes of the head in `bytes`, 0 if more are needed, or -1.
static long read_head(Reply *r, const char *bytes, size_t count) {
  size_t before = waiting(&r->text);
  append(&r->text, bytes, count);
  char *head = r->text.data, *end = memmem(head, r->text.end, "\r\n\r\n", 4);
  if (!end) return r->text.end > HEAD_LIMIT ? -1 : 0;
  if (strncmp(head, "HTTP/1.1 ", 9)) return -1;
  r->status = atoi(head + 9);
  for (char *line = head; line < end; line = (char *)memchr(line, '\n', (size_t)(end + 4 - line)) + 1) {
    if (!strncasecmp(line, "content-length:", 15)) r->left = atol(line + 15);
    if (!strncasecmp(line, "transfer-encoding: chunked", 26)) r->chunked = true;
    if (!strncasecmp(line, "connection: close", 17)) r->keep_alive = false;
  }
  size_t length = (size_t)(end - head) + 4;
  r->text.end = 0;
  r->part = r->chunked ? SIZE : BODY;
  if (r->chunked) r->left = 0;
  return r->chunked || r->left >= 0 ? (long)(length - before) : -1;
}

static int hexadecimal(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 32;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

Verdict reply_feed(Reply *r, const char *bytes, size_t count, TokenSeen *seen, void *owner) {
  const char *end = bytes + count;
  if (r->part == HEAD) {
    long used = read_head(r, bytes, count);
    if (used <= 0) return used ? BAD_HTTP : MORE;
    bytes += used;
    if (r->part == BODY && r->left == 0) return finish(r, seen, owner);
  }
  while (bytes < end) {
    if (r->part == BODY || r->part == CHUNK) {
      size_t take = (size_t)(end - bytes) < (size_t)r->left ? (size_t)(end - bytes) : (size_t)r->left;
      read_body(r, bytes, take, seen, owner);
      bytes += take;
      r->left -= (long)take;
      if (r->left) return MORE;
      if (r->part == BODY) return bytes == end ? finish(r, seen, owner) : BAD_HTTP;
      r->part = CHUNK_END;
    } else if (r->part == SIZE) {
      int digit = hexadecimal(*bytes);
      if (digit >= 0)
        r->left = r->left * 16 + digit;
      else if (*bytes == '\n')
        r->part = r->left ? CHUNK : TRAILER;
      else if (*bytes != '\r')
        return BAD_HTTP;
      bytes++;
    } else {  // the line end behind a chunk, or behind the last one
      bool last = r->part == TRAILER;
      if (*bytes != '\r' && *bytes != '\n') return BAD_HTTP;
      if (*bytes++ != '\n') continue;
      if (last) return bytes == end ? finish(r, seen, owner) : BAD_HTTP;
      r->part = SIZE;
      r->left = 0;
    }
  }
  return MORE;
}
