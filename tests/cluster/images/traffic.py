"""Clients of a cascade inside the cluster, with the `openai` package.

    python traffic.py URL MODEL FILE QUESTION...     four clients that ask in turn until FILE is there

Of four clients two stream, and two come on a new connection each time. Nothing is tried again: what is lost is seen. It
prints `begun` once each has asked, and one line of JSON at the end.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import OpenAI

PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Asker:
    """One way of asking."""

    url: str
    model: str
    stream: bool
    keep: bool
    """Keep the connection for the next question."""

    def ask(self, client: OpenAI, question: str) -> tuple[str, str]:
        """Text and path of an answer."""
        reply = client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=[{"role": "user", "content": question}],
            max_tokens=48,
            stream=self.stream,
            extra_headers={} if self.keep else {"connection": "close"},
        )
        parsed: Any = reply.parse()
        if self.stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in parsed if chunk.choices)
        else:
            text = parsed.choices[0].message.content or ""
        return text, reply.headers.get("x-disrouter-path", "")

    def client(self) -> OpenAI:
        """Its connections."""
        return OpenAI(base_url=self.url, api_key="unused", max_retries=0, timeout=60)


@dataclass
class Tally:
    """What became of the questions."""

    paths: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def note(self, text: str, path: str) -> None:
        """An answer."""
        self.paths[path] += 1
        self.texts[text] += 1
        if not text:
            self.failures.append(f"an empty answer by way of {path}")


def until(stop: Path, askers: Sequence[Asker], questions: Sequence[str]) -> Tally:
    """Ask until `stop` is there."""
    tally, begun = Tally(), threading.Barrier(len(askers) + 1)

    def run(asker: Asker) -> None:
        client = asker.client()
        for number, question in enumerate(itertools.cycle(questions)):
            if number == 1:
                begun.wait()
            if number and stop.exists():
                return
            try:
                tally.note(*asker.ask(client, question))
            except Exception as error:  # the package's own, and those of its connections where a stream breaks
                tally.failures.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}")
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=run, args=(asker,)) for asker in askers]
    for thread in threads:
        thread.start()
    begun.wait()
    print("begun", flush=True)
    for thread in threads:
        thread.join()
    return tally


def main() -> None:
    """See above."""
    url, model, stop, *questions = sys.argv[1:]
    askers = [Asker(url, model, stream, keep) for stream in (False, True) for keep in (False, True)]
    tally = until(Path(stop), askers, questions)
    print(json.dumps({"paths": tally.paths, "texts": tally.texts, "failures": tally.failures}))


if __name__ == "__main__":
    main()
