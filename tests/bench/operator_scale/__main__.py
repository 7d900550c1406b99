"""How the operator scales, beside the least that does the same creations.

    python -m bench.operator_scale [--quick] [--write docs/benchmarks.md]

Every size gets a control plane of its own; within it, rival and operator create the same children one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from bench.document import write_section
from bench.operator_scale import measure
from bench.operator_scale.report import section

T = TypeVar("T")
FULL, QUICK = (1, 10, 100, 1000), (1, 10, 50)


async def main() -> None:
    """Measure and print; with --write also record."""
    parser = argparse.ArgumentParser(prog="bench.operator_scale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"sizes {QUICK} instead of {FULL}")
    parser.add_argument("--write", type=Path, help="Markdown file whose section is replaced")
    options = parser.parse_args()
    sizes, rest = (QUICK, 5.0) if options.quick else (FULL, 60.0)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        results = [
            await _told(f"{cascades} cascades", measure.size(cascades, Path(name) / str(cascades), rest))
            for cascades in sizes
        ]
        sick = sizes[-2]
        poison = await _told(f"poison among {sick}", measure.poison(sick, Path(name) / "poison"))
    text = section(results, poison)
    print(text)
    if options.write:
        write_section(options.write, "operator", text)


async def _told(what: str, work: Awaitable[T]) -> T:
    started = time.perf_counter()
    found = await work
    print(f"{what}: measured in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found


if __name__ == "__main__":
    asyncio.run(main())
