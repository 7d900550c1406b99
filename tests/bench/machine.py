"""Where it was measured: processor, kernel, versions of what was compared."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.cascade import interpreter

NEEDED = ("httptools", "uvloop", "orjson")


def machine() -> str:
    """One line: processor, cores, kernel, and the Python of sidecars."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = found.group(1) if found else platform.machine()
    python = _python(interpreter())
    return f"{processor}, {os.cpu_count()} cores, Linux {platform.release()}, sidecars by {python}"


def versions(rivals: Path, targets: Iterable[str]) -> dict[str, str]:
    """By target; what the sidecar stands on goes with the sidecar."""
    found = {}
    for name in targets:
        if name == "nginx":
            text = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=False).stderr
            found[name] = text.rsplit("/", 1)[-1].strip()
        elif name == "sidecar":
            packages = [f"{package} {version}" for package in NEEDED if (version := _installed(package))]
            found[name] = f"disrouter {_installed('disrouter') or _source()} on {', '.join(packages)}"
        elif name in ("vllm-router", "litellm"):
            found[name] = _installed_in(rivals, name)
    return found


def _python(program: str) -> str:
    """Which it is, and how its compiler was told to make it."""
    asked = "import platform, sys; print(platform.python_version(), platform.python_compiler(), sep=', ')"
    said = subprocess.run([program, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    return f"Python {said} ({program})"


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _source() -> str:
    """The commit, where the tree is used without being installed."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "from source"


def _installed_in(rivals: Path, package: str) -> str:
    words = [str(rivals / "bin/pip"), "list", "--format", "json", "--disable-pip-version-check"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False).stdout or "[]"
    return next((item["version"] for item in json.loads(listed) if item["name"] == package), "unknown")
