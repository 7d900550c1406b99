"""`python -m disrouter_sidecar`: configured by the environment alone.

Exit codes: 0 stopped on request, 1 the port cannot be bound, 2 the environment, or a file that it names, is wrong.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from contextlib import suppress

from disrouter_sidecar.app.process import serve
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import InvalidConfig
from disrouter_sidecar.telemetry import logs
from disrouter_sidecar.telemetry.tracing import tracing_of

KEPT_BYTES = 32 * 1024 * 1024
"""Most memory that is kept though it is free."""
_M_TRIM_THRESHOLD = -1
"""mallopt(3)."""


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    try:
        config = Config.from_env(os.environ)
        tracing = tracing_of(os.environ, config.cascade, config.agent)
    except InvalidConfig as error:
        print(f"disrouter-sidecar: {error}", file=sys.stderr)
        return 2
    request_log = logs.configure(config.log_level)
    _spare_the_collector()
    _keep_freed_memory()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(config, tracing, request_log))
    except InvalidConfig as error:
        print(f"disrouter-sidecar: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"disrouter-sidecar: cannot serve on {config.host}:{config.port}: {error}", file=sys.stderr)
        return 1
    finally:
        tracing.close()
    return 0


def _spare_the_collector() -> None:
    """Collect cycles less often: what is loaded stays, and neither requests nor connections leave cycles."""
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


def _keep_freed_memory() -> None:
    """Give back what the start has left, and let glibc keep some freed memory from now on: the next prompt needs it.

    By default each prompt of 100 KB costs about eighty page faults, half of its CPU time.
    """
    with suppress(AttributeError, OSError):  # another C library
        glibc = ctypes.CDLL(None)
        glibc.malloc_trim(0)
        glibc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; the standard loop does the same with more CPU."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main())
