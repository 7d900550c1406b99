"""A three-agent cascade over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from disrouter_sidecar.http.client import response_parser
from disrouter_sidecar.http.head_memory import HeadMemory
from disrouter_sidecar.http.server import request_parser
from support.sidecars import Cascade, cascade


@pytest.fixture(autouse=True)
def no_heads_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for parser in (request_parser, response_parser):
        monkeypatch.setattr(parser, "_HEADS", HeadMemory())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Of two cascades that are compared."""
    both = tmp_path / "on", tmp_path / "off"
    for each in both:
        each.mkdir()
    return both


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Cascade]:
    async with cascade(tmp_path) as built:
        yield built
