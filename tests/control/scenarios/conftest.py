"""A world for each scenario: one control plane, a namespace each, and only the rights of the chart's role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from support import operators
from support.controlplane import ControlPlane
from support.scenarios import Step, base, play
from support.world import Strict, User, started

Play = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session")
def account(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's login."""
    return operators.service_account(plane, tmp_path_factory.mktemp("account"))


@pytest.fixture
async def scenario(plane: ControlPlane, account: Path, request: pytest.FixtureRequest) -> AsyncIterator[Play]:
    """Play steps on a cascade that serves; `spec` replaces fields of the base manifest's."""
    async with await operators.api_client(plane.kubeconfig) as admin, await operators.api_client(account) as operator:

        async def run(steps: list[Step], **spec: Any) -> None:
            namespace = request.node.callspec.id if hasattr(request.node, "callspec") else request.node.name
            name = f"d1-{namespace.replace('_', '-')}"[:36].rstrip("-")
            world = await started(User(admin), Strict(operator), name, operators.SETTINGS, base(**spec))
            await world.serve("small", "medium", "large")
            await world.settle()
            await play(world, steps)

        yield run
