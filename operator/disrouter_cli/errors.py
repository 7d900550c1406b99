"""Exceptions of the CLI.

DisrouterError
└── CliError         one line for the user: what, where, what to do; exit code 1
    ├── BadManifest        a file that cannot be read or holds something that disrouter does not apply
    ├── NotFound           no such cascade, agent or log
    └── UndocumentedValue  a chart's value without a comment (`make charts`)
"""

from __future__ import annotations

from disrouter.errors import DisrouterError


class CliError(DisrouterError):
    """A command cannot do what it was asked; the message is for the user."""


class BadManifest(CliError):
    """The file is missing, is no YAML, or holds a kind that disrouter does not apply."""


class NotFound(CliError):
    """Nothing has that name."""


class UndocumentedValue(CliError):
    """A value in a chart's values.yaml has no comment, so its README would not explain it."""
