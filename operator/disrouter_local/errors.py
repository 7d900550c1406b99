"""Exceptions of the local runtime.

DisrouterError
└── LocalError
    ├── AlreadyRunning   another runtime holds this state folder
    ├── CannotStart      a process cannot be started as it is
    └── InvalidPod       a pod asks for what one machine cannot give
"""

from __future__ import annotations

from disrouter.errors import DisrouterError


class LocalError(DisrouterError):
    """Base of the local runtime's errors."""


class AlreadyRunning(LocalError):
    """Another runtime holds the state folder."""


class CannotStart(LocalError):
    """A command cannot be started: not found, not executable, or its folder is missing."""


class InvalidPod(LocalError):
    """A pod asks for something that this node does not offer; the message says what and what to use."""
