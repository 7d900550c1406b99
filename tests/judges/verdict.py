"""What a judge found, and the one list of findings that were looked at and accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import yaml

ACCEPTED = Path(__file__).parent / "accepted.yaml"


@dataclass(frozen=True)
class Finding:
    """A judge's objection to an object or a line."""

    check: str
    what: str
    says: str


@dataclass(frozen=True)
class Accepted:
    """A check that does not apply to what the pattern matches, and why."""

    check: str
    what: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        return finding.check == self.check and fnmatch(finding.what, self.what)


@dataclass(frozen=True)
class Verdict:
    """One judge's result. `not_run` says why it could not judge."""

    judge: str
    looked_at: str = ""
    findings: tuple[Finding, ...] = ()
    not_run: str = ""


def accepted(path: Path = ACCEPTED) -> list[Accepted]:
    """The reviewed list; each entry needs a reason."""
    return [Accepted(**entry) for entry in yaml.safe_load(path.read_text())]


def unexplained(verdicts: Sequence[Verdict], known: Sequence[Accepted]) -> list[Finding]:
    """Findings that no entry of the list covers."""
    found = [finding for verdict in verdicts for finding in verdict.findings]
    return [finding for finding in found if not any(entry.covers(finding) for entry in known)]


def idle(verdicts: Sequence[Verdict], known: Sequence[Accepted]) -> list[Accepted]:
    """Entries that cover nothing any more."""
    found = [finding for verdict in verdicts for finding in verdict.findings]
    return [entry for entry in known if not any(entry.covers(finding) for finding in found)]
