"""Exceptions of the CLI.

DisrouterError
└── CliError         one line for the user: what, where, what to do; exit code 1
    ├── BadManifest        a file that cannot be read or holds something that disrouter does not apply
    └── NotFound           no such cascade, agent or log
"""

from __future__ import annotations

from disrouter.errors import DisrouterError


class CliError(DisrouterError):
    """A command cannot do what it was asked; the message is for the user."""


class BadManifest(CliError):
    """The file is missing, is no YAML, or holds a kind that disrouter does not apply."""


class NotFound(CliError):
    """Nothing has that name."""
