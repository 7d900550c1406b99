"""Helpers of the local runtime's tests: waiting, commands, pods of tiny programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from disrouter_local.pods.process import Command

HTTP_SERVER = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("ANSWER", "hello").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["DISROUTER_PORT"])), Handler).serve_forever()
"""


PATIENCE = 60.0
"""Seconds until a test gives up on what should come about at once, on a machine however busy."""


async def until(holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until `holds()` is true and return what it returned."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (value := holds()):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"did not come true within {seconds} s")
        await asyncio.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
        # One read: the process may end between any two looks at it.
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def python(folder: Path, code: str, *, grace: float = 5.0, **env: str) -> Command:
    """A command that runs Python code and logs into `folder`."""
    return Command(
        argv=(sys.executable, "-u", "-c", code),
        env={"PATH": os.environ["PATH"], **env},
        cwd=folder,
        log=folder / "log" / "out.log",
        grace=grace,
    )


def pod_spec(code: str, **container: Any) -> dict[str, Any]:
    """A pod with one container `main` that runs Python code."""
    return {"containers": [{"name": "main", "command": ["python", "-u", "-c", code], **container}]}
