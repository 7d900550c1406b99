"""A cascade for what only its last agent can take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.client_requests import Seeing
from support.fake_engine import fake_engine
from support.tiny_cascade import Engine, pair


@pytest.fixture
async def seeing(engine: Engine, tmp_path: Path) -> AsyncIterator[Seeing]:
    """Real vLLM, which takes text alone, and after it a scripted engine."""
    async with fake_engine() as large, pair(engine.url, large.url, tmp_path) as cascade:
        yield Seeing(cascade.url, large)
