"""What every part's tests share: golden files, and the real control plane where its binaries are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from disrouter.api import crd
from support import prometheus, thirdparty
from support.controlplane import ASSETS_VARIABLE, HOW_TO_GET, ControlPlane, assets, control_plane, kserve_crd, llm_crd

_NEEDS = {
    "controlplane": (
        ASSETS_VARIABLE,
        f"needs a Kubernetes control plane's binaries: {HOW_TO_GET}",
    ),
    "vllm": (
        "DISROUTER_VLLM_PYTHON",
        "needs vLLM: `make test` installs it where a CPU build of torch can be had; or export "
        "DISROUTER_VLLM_PYTHON=<python of an environment with vllm>",
    ),
    "litellm": (
        "DISROUTER_LITELLM_PYTHON",
        "needs LiteLLM: `make test` installs it; or export DISROUTER_LITELLM_PYTHON=<python of an environment with it>",
    ),
}
"""Variable that each marker needs, and how to get what it names."""

# No deadline: a busy machine is no bug. In CI the same examples each time: what it finds new is for a person's machine.
hypothesis.settings.register_profile("person", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "person")

_PROGRAMS = {"prometheus": (prometheus.installed, prometheus.HOW_TO_GET)}
"""Markers of tests that run a program of PATH: whether it is there, and how to get it."""

Golden = Callable[[str, Any], None]


class _Plain(yaml.SafeDumper):
    """YAML for people: no anchors, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Plain, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="rewrite golden files instead of comparing with them")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (variable, how) in _NEEDS.items():
        if item.get_closest_marker(marker) is None or os.environ.get(variable):
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(f"{variable} is not set in CI, where nothing is skipped: {how}", pytrace=False)
        pytest.skip(how)
    for marker, (installed, how) in _PROGRAMS.items():
        if item.get_closest_marker(marker) is None or installed():
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(f"nothing is skipped in CI: {how}", pytrace=False)
        pytest.skip(how)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare objects with `golden/<name>.yaml` beside the test; `--regenerate` writes it."""
    folder = Path(str(request.path)).parent / "golden"

    def check(name: str, objects: Any) -> None:
        path = folder / f"{name}.yaml"
        if request.config.getoption("--regenerate"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(yaml.dump_all(objects, Dumper=_Plain, sort_keys=True, width=120))
        assert path.exists(), f"{path} is missing: run pytest --regenerate and read the difference"
        assert list(yaml.safe_load_all(path.read_text())) == objects

    return check


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real control plane with KServe's CRDs, the Gateway API's routes and ours; one for the whole session."""
    binaries = assets()
    assert binaries is not None, "mark the test with pytest.mark.controlplane"
    definitions = (kserve_crd(), llm_crd(), thirdparty.http_routes(), crd())
    with control_plane(binaries, tmp_path_factory.mktemp("plane"), definitions) as running:
        yield running
