"""One real vLLM for all tests of this package, and a cascade in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.tiny_cascade import Cascade, Engine, pair, tiny_engine


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One start for the package."""
    with tiny_engine(tmp_path_factory.mktemp("engine")) as started:
        yield started


@pytest.fixture
async def cascade(engine: Engine, tmp_path: Path) -> AsyncIterator[Cascade]:
    """Both agents ask the same vLLM: the first is instructed, the last is not and knows more."""
    async with pair(engine.url, engine.url, tmp_path) as built:
        yield built
