"""The engine's preStop hook: held until the sidecar beside it has drained, and no longer than that."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pytest

from disrouter_operator.manifests.serving.engine_container import hold

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of connections")


@contextmanager
def _held(folder: Path, port: int, seconds: int) -> Iterator[tuple[subprocess.Popen[bytes], IO[str], IO[str]]]:
    """The hook on `port`; each second that it waits is written to one pipe and lasts until the other says so."""
    waits, goes = folder / "waits", folder / "goes"
    for pipe in (waits, goes):
        os.mkfifo(pipe)
    sleep = folder / "sleep"
    sleep.write_text(f"#!/bin/sh\necho waits > {waits}\nread _ < {goes}\n")
    sleep.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    process = subprocess.Popen(hold(port, seconds), env=environment)
    with _pipe(waits, "r") as waiting, _pipe(goes, "w") as going:
        try:
            yield process, waiting, going
        finally:
            process.kill()
            process.wait()


def _pipe(path: Path, mode: str) -> IO[str]:
    """Opened for both directions, so that neither side waits for the other to open its end."""
    return os.fdopen(os.open(path, os.O_RDWR), mode, buffering=1)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_engine_is_held_until_nothing_listens_and_nobody_is_connected(
    tmp_path: Path, family: socket.AddressFamily
) -> None:
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")
    with closing(server) as listener:
        port = listener.getsockname()[1]
        with _held(tmp_path, port, 67) as (process, waiting, going):
            waiting.readline()  # while it listens
            with socket.create_connection((host, port)) as client:
                accepted, _ = listener.accept()
                listener.close()
                going.write("on\n")
                waiting.readline()  # while a request is in flight
                accepted.close()
                client.close()
                going.write("on\n")
                assert process.wait(60) == 0


def test_the_engine_is_held_no_longer_than_the_grace_period_allows(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with closing(listener), _held(tmp_path, listener.getsockname()[1], 2) as (process, waiting, going):
        for _ in range(2):
            waiting.readline()
            going.write("on\n")
        assert process.wait(60) == 0


def test_an_engine_without_a_sidecar_ends_at_once(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with _held(tmp_path, port, 67) as (process, _, _):
        assert process.wait(60) == 0
