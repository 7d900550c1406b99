// One HTTP response, read as it comes in, with a check of every character of the answer in it.
#pragma once
#include "common.h"

typedef enum { MORE, COMPLETE, BAD_HTTP, BAD_STATUS, BAD_CONTENT } Verdict;

typedef struct {
  bool streaming;    // what was asked for
  int wanted;        // tokens that the answer must have
  int tokens;        // those that came, each in its place
  bool keep_alive;   // the connection may be used again
  int status;
  // How far the framing has been read.
  enum { HEAD, BODY, SIZE, CHUNK, CHUNK_END, TRAILER } part;
  long left;         // bytes of the body or of the chunk
  bool chunked, done, wrong;
  Buffer text;       // a head or a line of the body that is not complete yet
} Reply;

// Called for every token of the answer with the time at which the engine sent it.
typedef void TokenSeen(void *owner, uint64_t sent_ns);

void reply_begin(Reply *r, int wanted, bool streaming);
// Feed what was received. COMPLETE: the whole response is here, and the answer is exactly the right one.
Verdict reply_feed(Reply *r, const char *bytes, size_t count, TokenSeen *seen, void *owner);
