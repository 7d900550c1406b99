"""A log that nobody reads: nothing stands still, memory is bounded, and what was dropped is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import aiohttp

from disrouter_sidecar.telemetry.background_writer import MAX_BACKLOG, BackgroundWriter
from disrouter_sidecar.telemetry.logs import LogWriter
from support.origin import origin, saying
from support.sidecar_process import process

MANY = 2000
"""Requests whose lines are several times what a pipe holds."""
FULL_PIPE = 2 * 1024 * 1024
"""Bytes, more than any pipe holds."""
CHAT = {"model": "qwen", "messages": [{"role": "user", "content": "2+2?"}]}


async def test_a_sidecar_whose_log_nobody_reads_goes_on(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        async with (
            origin(saying("four")) as engine,
            process(tmp_path, engine.url, {}, env={"DISROUTER_LOG_LEVEL": "info"}, stderr=writing) as running,
            aiohttp.ClientSession() as http,
        ):
            for _ in range(MANY):
                async with http.post(f"{running.url}/v1/chat/completions", json=CHAT) as response:
                    assert response.status == 200
            assert await running.end() == 0, "and ends"
    finally:
        os.close(writing)
        os.close(reading)


def test_lines_come_in_order_and_all_of_them_by_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        writer = LogWriter(stream)
        for number in range(1000):
            writer.log("chat", {"number": number})
        writer.close()
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == list(range(1000))


def test_what_is_dropped_is_said_where_it_is_missing() -> None:
    reading, writing = os.pipe()
    writer = BackgroundWriter(writing, lambda count: b"<%d dropped>" % count)
    writer.write(b"x" * FULL_PIPE)
    assert not writer.drain(0.2), "nobody reads yet"
    half = b"y" * (MAX_BACKLOG // 2)
    for text in (half, half, b"lost", b"lost too"):
        writer.write(text)
    with os.fdopen(reading, "rb") as pipe:
        expected = b"x" * FULL_PIPE + half + half + b"<2 dropped>"
        assert pipe.read(len(expected)) == expected
        assert writer.drain(10)
        writer.write(b"last")
        assert pipe.read(4) == b"last"
        os.close(writing)


def test_a_descriptor_that_is_closed_stops_nobody(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.close(descriptor)
    writer = BackgroundWriter(descriptor, lambda _: b"")
    writer.write(b"into nothing")
    assert writer.drain(10)
