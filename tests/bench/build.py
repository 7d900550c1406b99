"""Compile the engine and the load generator, so that neither is what limits a proxy."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError

SOURCES = Path(__file__).parent / "c"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True)
class Tools:
    """The compiled programs; the head of each source says how they are called."""

    engine: Path
    load: Path


def compile_tools(folder: Path) -> Tools:
    """Compile into `folder`. Raises BenchError without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("no C compiler (cc) on the path; on Debian: apt-get install gcc libc6-dev")
    tools = Tools(folder / "engine", folder / "load")
    for program, sources in ((tools.engine, ["engine.c"]), (tools.load, ["load.c", "reply.c"])):
        paths = [str(SOURCES / name) for name in sources]
        found = subprocess.run(
            [compiler, *FLAGS, "-o", str(program), *paths], capture_output=True, text=True, check=False
        )
        if found.returncode:
            raise BenchError(f"{' '.join(sources)} does not compile:\n{found.stderr}")
    return tools
