"""Which torch the environments of `make` get: a CPU build where there is one, and one line where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest

from cpu_torch import USES, attempts, missing, needs_cpu_build, pinned, reason

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/cpu_torch.py"
INDEX = "https://packages.example/cpu"
NONE = "ERROR: No matching distribution found for torch==2.0+cpu"


def test_every_lock_pins_one_version_of_torch_in_whatever_build() -> None:
    versions = {pinned((ROOT / use.constraints).read_text()) for use in USES.values()}
    assert len(versions) == 1
    assert "+" not in versions.pop()


@pytest.mark.parametrize(
    ("system", "machine", "needed"),
    [("Linux", "x86_64", True), ("Linux", "aarch64", True), ("Linux", "ppc64le", False), ("Darwin", "arm64", False)],
)
def test_a_cpu_build_is_sought_where_the_index_brings_cuda(system: str, machine: str, needed: bool) -> None:
    assert needs_cpu_build(system, machine) is needed


def test_pips_own_places_come_first_and_the_index_gives_torch_alone() -> None:
    first, second = attempts("2.0", INDEX)
    assert INDEX not in first
    assert second[second.index("--index-url") + 1] == INDEX
    assert all("--no-deps" in each and each[-1] == "torch==2.0+cpu" for each in (first, second))
    assert attempts("2.0", "") == [first]


@pytest.mark.parametrize(
    ("errors", "index", "expected"),
    [
        (f"WARNING: Retrying (Retry(total=0)) after connection broken\n{NONE}", INDEX, f"{INDEX} does not answer"),
        (NONE, INDEX, f"{INDEX} has none for this Python and machine"),
        (NONE, "", "pip's own indexes have none"),
        ("ERROR: Could not install packages: No space left on device", INDEX, None),
    ],
)
def test_the_reason_is_read_from_pip(errors: str, index: str, expected: str | None) -> None:
    assert reason(errors, index) == expected


def test_without_one_vllm_is_skipped_but_not_in_ci() -> None:
    status, line = missing(USES["vllm"], "2.0", "why", ci=False)
    assert (status, "\n" in line) == (3, False)
    assert "tests are skipped" in line
    status, line = missing(USES["vllm"], "2.0", "why", ci=True)
    assert status == 1
    assert "in CI nothing is skipped" in line


def test_without_one_the_project_says_the_size_and_how_to_avoid_it() -> None:
    for ci in (False, True):
        status, line = missing(USES["project"], "2.0", "why", ci)
        assert (status, "\n" in line) == (3, False)
        assert "GB to download" in line
        assert "TORCH_INDEX=" in line


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index of packages with a CPU build of torch in it: an empty package of that name and version."""
    version = pinned((ROOT / USES["vllm"].constraints).read_text())
    folder = tmp_path / "index/torch"
    folder.mkdir(parents=True)
    name, info = f"torch-{version}+cpu-py3-none-any.whl", f"torch-{version}+cpu.dist-info"
    with ZipFile(folder / name, "w") as wheel:
        wheel.writestr("torch.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}+cpu\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a>')

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _run(folder: Path, index: str) -> subprocess.CompletedProcess[str]:
    """The tool on a machine whose own index has nothing; pip puts what it finds into a folder."""
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    own |= {"PIP_INDEX_URL": folder.as_uri(), "PIP_TARGET": str(folder / "packages")}
    command = [sys.executable, str(TOOL), "vllm", "--index", index]
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the package index's torch is a CPU build")


@linux
def test_torch_is_taken_from_an_index_that_answers(tmp_path: Path, index: str) -> None:
    done = _run(tmp_path, index)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.glob("packages/torch-*+cpu.dist-info"))


@linux
def test_an_index_that_does_not_answer_is_said_in_one_line(tmp_path: Path) -> None:
    done = _run(tmp_path, "http://127.0.0.1:9")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "http://127.0.0.1:9 does not answer" in done.stderr
