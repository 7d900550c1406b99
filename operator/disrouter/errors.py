"""Exceptions of the contract package.

DisrouterError
├── InvalidCascade      the manifest breaks a rule; carries every violation
├── InvalidRouteTable   the route table cannot be used; the reader keeps the old one
├── InvalidRequest      a chat request that cannot be instructed or a bad scenario/preference
└── ArtifactError       a training run's directory is not what its inputs say
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One broken rule: `field` is the path in the manifest, `message` says what is wrong and what to do."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class DisrouterError(Exception):
    """Base of every error that disrouter raises on purpose."""


class InvalidCascade(DisrouterError):
    """The manifest breaks at least one rule."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(str(violation) for violation in self.violations))


class InvalidRouteTable(DisrouterError):
    """The route table cannot be parsed or contradicts itself."""


class InvalidRequest(DisrouterError):
    """A client's request is wrong; `param` names the field or header in OpenAI's error shape."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class ArtifactError(DisrouterError):
    """A run directory is missing, incomplete or belongs to other inputs."""
