"""One question to a cascade, whole and streamed. Prints the two replies as JSON: text, and path of agents.

    python asking.py URL MODEL QUESTION [SCENARIO]

By the standard library alone, because it is asked again and again; traffic.py asks as clients do.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any


def ask(url: str, body: dict[str, Any], *, stream: bool) -> tuple[str, str]:
    """Text and path; what went wrong, and no path, where there is no answer."""
    data = json.dumps(body | {"stream": stream}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            text = streamed(reply.read()) if stream else json.load(reply)["choices"][0]["message"]["content"]
            return text, reply.headers["x-disrouter-path"] or ""
    except (OSError, ValueError, LookupError) as error:
        return f"{type(error).__name__}: {error}", ""


def streamed(body: bytes) -> str:
    """The text of a stream of events."""
    events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event.get("choices"))


def main() -> None:
    """See above."""
    url, model, question, *scenario = sys.argv[1:]
    body: dict[str, Any] = {"model": model, "max_tokens": 48, "messages": [{"role": "user", "content": question}]}
    if scenario:
        body["disrouter"] = {"scenario": scenario[0]}
    print(json.dumps([ask(url, body, stream=stream) for stream in (False, True)]))


if __name__ == "__main__":
    main()
