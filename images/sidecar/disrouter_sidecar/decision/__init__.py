"""What a reply is worth: an answer, a refusal, nothing, or nothing that can be judged. Pure functions of its bytes.

- `verdict`            the words for it
- `stream`             from a stream's first events
- `whole`              from a whole reply
- `sse`                server-sent events out of bytes in any pieces
- `encodings`          compressed bytes, undone within a bound
- `lenient_json`       JSON as engines write it
- `probability_probe`  how likely is a refusal, by the first token
"""
