"""Install torch without CUDA into the environment that runs this: `cpu_torch.py project|vllm [--index URL]`.

A package index's torch for Linux brings gigabytes of CUDA, and vLLM for CPUs asks for a CPU build by name. One is taken
from where pip looks anyway (an index or folder that its configuration names), else from PyTorch's own index.
Exit 3: there is none, and one line said what that means. Exit 1: pip failed for another reason, which it gave.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

MACHINES = ("x86_64", "aarch64")
"""Processors that PyTorch's index has CPU builds for under Linux, and vLLM for CPUs is built for."""
HOW = "To have one: make TORCH_INDEX=<index with CPU builds>, or PIP_FIND_LINKS=<folder with the wheel>."
NONE_HERE = 3


@dataclass(frozen=True)
class Use:
    """What torch is for: the lock that says its version, and what becomes of it where there is no CPU build."""

    constraints: str
    without: str
    skipped: bool
    """It is left out then, which is a failure in CI."""


USES = {
    "project": Use("constraints.txt", "Taking the package index's with CUDA: 2.7 GB to download, 4.7 on disk.", False),
    "vllm": Use("constraints-vllm.txt", "vLLM is not installed, and its tests are skipped.", True),
}


def pinned(constraints: str) -> str:
    """The version of torch that a lock pins."""
    return next(line for line in constraints.splitlines() if line.startswith("torch==")).removeprefix("torch==").strip()


def needs_cpu_build(system: str, machine: str) -> bool:
    """Whether the package index's torch brings CUDA here and PyTorch's index has one that does not."""
    return system == "Linux" and machine in MACHINES


def attempts(version: str, index: str) -> list[list[str]]:
    """pip's arguments, one list after the other until one succeeds. No dependency is taken from a second index."""
    wanted = ["--no-deps", "--only-binary", "torch", f"torch=={version}+cpu"]
    further = ["--index-url", index, "--retries", "1", "--timeout", "15"]
    return [wanted, [*further, *wanted]] if index else [wanted]


def reason(errors: str, index: str) -> str | None:
    """Why there is no such build, from what pip wrote; None when it failed for a reason that a person must see."""
    if "No matching distribution found" not in errors:
        return None
    if not index:
        return "pip's own indexes have none"
    silent = "Retrying" in errors or "Could not fetch URL" in errors
    return f"{index} does not answer" if silent else f"{index} has none for this Python and machine"


def missing(use: Use, version: str, why: str, ci: bool) -> tuple[int, str]:
    """The exit status and the line that says it."""
    if use.skipped and ci:
        return 1, f"No CPU build of torch {version}: {why}. vLLM needs one, and in CI nothing is skipped. {HOW}"
    return NONE_HERE, f"No CPU build of torch {version}: {why}. {use.without} {HOW}"


def _has(version: str) -> bool:
    try:
        return metadata.version("torch").partition("+")[0] == version
    except metadata.PackageNotFoundError:
        return False


def _pip(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PIP_QUIET"}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=False)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("use", choices=USES)
    parser.add_argument("--index", default="", help="where to look after pip's own indexes and folders")
    options = parser.parse_args(argv)
    use = USES[options.use]
    version = pinned(Path(use.constraints).read_text(encoding="utf-8"))
    if not needs_cpu_build(platform.system(), platform.machine()):
        why = f"vLLM for CPUs is not built for {platform.system()} on {platform.machine()}"
        status, line = missing(use, version, why, os.environ.get("CI") == "true") if use.skipped else (0, "")
    else:
        status, line = _install(use, version, options.index)
    if line:
        print(line, file=sys.stderr)
    return status


def _install(use: Use, version: str, index: str) -> tuple[int, str]:
    if not use.skipped and _has(version):
        return 0, ""  # Whoever took the one with CUDA keeps it.
    errors = ""
    for arguments in attempts(version, index):
        done = _pip(arguments)
        if done.returncode == 0:
            return 0, ""
        errors = done.stderr
        if reason(errors, index) is None:
            return 1, errors
    return missing(use, version, reason(errors, index) or "", os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main())
