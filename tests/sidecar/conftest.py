"""A three-agent cascade over loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.sidecars import Cascade, cascade


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Cascade]:
    async with cascade(tmp_path) as built:
        yield built
