"""A real Prometheus over series that a test made up, or that it read from sidecars: what do queries say at the end?"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.controlplane import free_ports
from support.exposition import samples

INTERVAL = 15
"""Seconds between two scrapes."""
HOW_TO_GET = "needs prometheus and promtool on PATH: `apt-get install prometheus` on Debian"

Labels = Mapping[str, str]
Vector = dict[tuple[tuple[str, str], ...], float]
"""Values by labels."""


def installed() -> bool:
    """Whether this machine has one."""
    return all(shutil.which(each) for each in ("prometheus", "promtool"))


class Scrapes:
    """Series whose last sample is of now, one each `INTERVAL`."""

    def __init__(self, count: int) -> None:
        """`count` scrapes."""
        self.count = count
        self.end = int(time.time()) // INTERVAL * INTERVAL - INTERVAL
        self._lines: dict[tuple[str, str], list[str]] = defaultdict(list)

    def moment(self, place: int) -> int:
        """When a scrape was, in seconds."""
        return self.end - (self.count - 1 - place) * INTERVAL

    def series(self, name: str, labels: Labels, values: Sequence[float]) -> None:
        """One with a value for each of the last scrapes."""
        first = self.count - len(values)
        for place, value in enumerate(values, first):
            self._add(name, labels, value, place)

    def exposition(self, text: str, labels: Labels, place: int) -> None:
        """What a process shows at a scrape, under labels of its target."""
        for sample in samples(text):
            self._add(sample.name, {**sample.labels, **labels}, sample.value, place)

    def _add(self, name: str, labels: Labels, value: float, place: int) -> None:
        pairs = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
        self._lines[name, pairs].append(f"{name}{{{pairs}}} {value} {self.moment(place)}")

    def openmetrics(self) -> str:
        """All of it as promtool reads it."""
        lines = [line for key in sorted(self._lines) for line in self._lines[key]]
        return "\n".join([*lines, "# EOF", ""])


class Prometheus:
    """A server that holds some scrapes."""

    def __init__(self, url: str, moment: int) -> None:
        self._url = url
        self._moment = moment

    def vector(self, query: str) -> Vector:
        """What a query says of the last scrape."""
        asked = urllib.parse.urlencode({"query": query, "time": self._moment})
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/query?{asked}", timeout=30) as response:
                told = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from None
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in told["data"]["result"]}

    def value(self, query: str) -> float:
        """The same of a query that says one number."""
        (only,) = self.vector(query).values()
        return only


@contextmanager
def serving(scrapes: Scrapes, folder: Path) -> Iterator[Prometheus]:
    """Start one on these series."""
    text, data, config = folder / "series.txt", folder / "data", folder / "prometheus.yml"
    text.write_text(scrapes.openmetrics())
    config.write_text("scrape_configs: []\n")
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)]
    done = subprocess.run(made, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    address = f"127.0.0.1:{free_ports(1)[0]}"
    flags = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    with (folder / "log").open("w") as log, subprocess.Popen(["prometheus", *flags], stdout=log, stderr=log) as process:
        try:
            _wait(process, f"http://{address}/-/ready", folder / "log")
            yield Prometheus(f"http://{address}", scrapes.end)
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer: {log.read_text()}")
