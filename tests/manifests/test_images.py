"""The Dockerfiles say what the parts need: no container engine is asked, their lines are followed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from disrouter import __version__

ROOT = Path(__file__).parents[2]
SITE = "/opt/disrouter/lib/python3.11/site-packages"
OURS = {"disrouter_operator", "disrouter_sidecar", "disrouter_local", "disrouter_cli", "disrouter_training"}


@dataclass(frozen=True)
class Image:
    """An image: the package that it runs, what that loads at least, and what of other parts it must not."""

    name: str
    package: str
    needs: frozenset[str]
    foreign: frozenset[str]
    module: str = "__main__"
    """What of the package is imported to see what it loads."""

    @property
    def path(self) -> Path:
        return ROOT / "images" / self.name / "Dockerfile"

    def arguments(self, instruction: str) -> list[str]:
        lines = self.path.read_text().replace("\\\n", "").splitlines()
        return [line.removeprefix(instruction + " ").strip() for line in lines if line.startswith(instruction + " ")]

    def copied(self) -> list[str]:
        """What comes from the repository."""
        lines = [line for line in self.arguments("COPY") if not line.startswith("--from")]
        return [part for line in lines for part in line.split()[:-1]]

    def packages(self) -> list[Path]:
        return [ROOT / path for path in self.copied() if (ROOT / path).is_dir()]


IMAGES = [
    Image(
        "operator",
        "disrouter_operator",
        frozenset({"kopf", "kubernetes"}),
        frozenset({"orjson", "uvloop", "torch", "transformers", "kserve"}),
    ),
    Image(
        "sidecar",
        "disrouter_sidecar",
        frozenset({"orjson", "httptools"}),
        frozenset({"aiohttp", "kopf", "kubernetes", "torch", "transformers", "yaml", "requests"}),
        module="app.process",
    ),
    Image(
        "training",
        "disrouter_training",
        frozenset(),
        frozenset({"kopf", "kubernetes", "uvloop", "kserve"}),
        module="cli",
    ),
]


@pytest.fixture(params=IMAGES, ids=lambda image: image.name)
def image(request: pytest.FixtureRequest) -> Image:
    found: Image = request.param
    return found


def test_what_is_copied_exists_and_reaches_the_builder(image: Image) -> None:
    assert "constraints.txt" in image.copied()
    assert [path for path in image.copied() if not (ROOT / path).exists()] == []
    ignored = image.path.with_suffix(".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(image.copied())
    assert "*" in ignored


def test_what_is_installed_is_the_contract_and_the_parts_extra(image: Image) -> None:
    (command,) = re.findall(r"python (requirements\.py [\w ]+) > requirements\.txt", image.path.read_text())
    script, *extras = command.split()
    done = [sys.executable, str(ROOT / "images" / script), *extras]
    printed = subprocess.run(done, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras == [image.name, *(["tracing"] if image.name == "sidecar" else [])]
    chosen = [each for extra in extras for each in project["optional-dependencies"][extra]]
    assert printed == [*project["dependencies"], *chosen]


def test_only_wheels_of_the_pinned_versions_are_installed(image: Image) -> None:
    (install,) = [line for line in image.arguments("RUN") if "pip --python /opt/disrouter install" in line]
    assert "--only-binary=:all:" in install
    assert "--constraint constraints.txt" in install


def test_it_runs_as_a_numeric_user_and_as_the_only_process(image: Image) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.arguments("USER")[-1])
    assert json.loads(image.arguments("ENTRYPOINT")[-1])[1:] == ["-m", image.package]


def test_kubernetes_probes_it_and_the_image_does_not(image: Image) -> None:
    assert image.arguments("HEALTHCHECK") == []


def test_it_is_built_on_an_exact_version_and_stands_on_nothing(image: Image) -> None:
    (base, *_) = image.arguments("ARG")
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-[a-z]+", base)
    assert image.arguments("FROM") == ["${BASE} AS build", "scratch"]
    assert {other.arguments("ARG")[0] for other in IMAGES} == {base}


def test_bytecode_does_not_depend_on_when_it_was_built(image: Image) -> None:
    (compiled,) = [line for line in image.arguments("RUN") if "compileall" in line]
    assert "--invalidation-mode unchecked-hash" in compiled
    assert "PYTHONHASHSEED=0" in " ".join(image.arguments("ENV"))


def test_a_user_that_no_passwd_file_knows_has_a_name_and_a_home(image: Image) -> None:
    """torch's cache asks getpass.getuser(), and others where home is."""
    (environment,) = [line for line in image.arguments("ENV") if line.startswith("PATH=")]
    assert {"HOME=/tmp", "USER=disrouter"} <= set(environment.split())


def test_where_pip_looks_is_told_by_the_builder_and_by_nobody_else(image: Image) -> None:
    assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"} <= set(image.arguments("ARG"))
    assert "index-url" not in image.path.read_text()


def test_what_is_copied_starts_alone(image: Image, tmp_path: Path) -> None:
    """Imported from a folder that holds nothing else of ours, with none of the other parts' libraries loaded."""
    for source in image.packages():
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    entry = f"{image.package}.{image.module}"
    code = (
        f"import sys, pathlib; sys.path.insert(0, sys.argv[1]); import {entry} as entry;"
        "assert pathlib.Path(entry.__file__).is_relative_to(sys.argv[1]);"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert {"disrouter", image.package} | image.needs <= loaded
    assert (image.foreign | (OURS - {image.package})).isdisjoint(loaded)


def test_a_trainers_job_finds_python_on_the_images_path() -> None:
    """The operator's Jobs call `python`; it must be the one that has the packages."""
    (trainer,) = [each for each in IMAGES if each.name == "training"]
    assert any(line.startswith("PATH=/opt/disrouter/bin:") for line in trainer.arguments("ENV"))


def test_triton_which_compiles_where_it_runs_is_not_left_in_an_image_without_a_compiler() -> None:
    (trainer,) = [each for each in IMAGES if each.name == "training"]
    (install,) = [line for line in trainer.arguments("RUN") if "install" in line]
    removed = install.index("uninstall --yes triton")
    assert install.index("--requirement requirements.txt") < removed < install.index("rootfs.py")


def _build(tmp_path: Path, *arguments: str, builders: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """images/build where only these builders answer; they write what they are called with."""
    for name in ("docker", "podman", "buildah"):
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\n[ "$1" = info ] && exit {0 if name in builders else 1}\necho {name} "$@"\n')
        stub.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = [str(ROOT / "images/build"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_images_are_built_by_the_first_builder_that_answers(tmp_path: Path) -> None:
    done = _build(tmp_path, "sidecar", "--", "--pull", builders=("podman", "buildah"))
    (line,) = done.stdout.splitlines()
    assert line.startswith("podman build --file images/sidecar/Dockerfile")
    assert f"--tag ghcr.io/disrouter/sidecar:{__version__} --build-arg VERSION={__version__}" in line
    assert re.search(r"SOURCE_DATE_EPOCH=\d+ --pull \.$", line)


def test_without_a_builder_it_says_so_and_fails_in_a_way_that_ci_can_tell(tmp_path: Path) -> None:
    done = _build(tmp_path, builders=())
    assert done.returncode == 3
    assert "not built: neither docker, podman nor buildah answers here" in done.stderr
