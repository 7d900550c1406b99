"""Words that are not used any more, each with the word that took its place (docs/glossary.md).

`tools/terms.py` lists where they stand in tracked files; exit 1 if any does. CHANGELOG.md may name what was.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXEMPT = frozenset({"CHANGELOG.md", "docs/glossary.md", "tools/terms.py"})
TEXT = frozenset({".py", ".md", ".yaml", ".yml", ".json", ".toml", ".tpl", ".txt", ""})

RETIRED = {
    # pattern: the word now
    r"\bforced_?[aA]ccuracy\b": "mustAnswerAccuracy",
    r"\banswer_?[rR]ate\b|\banswer rate": "coverage",
    r"\baccuracy_?[wW]hen_?[aA]nswering\b|accuracy when answering": "selectiveAccuracy",
    r"\bSkipRoute\b|decision\.skip|probability\.skip": "jump",
    r"decision=\\?\"(skip|forced)\\?\"|\"decision\": \"(skip|forced)\"": "failover, fallback",
    r"disrouter_forward_errors": "disrouter_failovers",
    r"disrouter_unreadable_probes": "disrouter_unreadable_probability_probes",
    r"disrouter_operator_pass": "disrouter_operator_reconcile",
    r"\btaught: Scenarios|\bScenarios\.(DISCRETE|CONTINUOUS)|scenarios: (continuous|discrete)": "preferenceEncoding",
    r"\bspec\.entry\b|\"entry\": \"": "entrypoint",
    r"\bConvergence\b": "WriteGuard",
    r"\bInquiries\b|\binquir(y|ies)\b": "smoke probe",
    r"\bleftovers\b": "orphans",
    r"\bPlaced\b": "Placement",
    r"\bFreshness\b": "ResourceVersions",
    r"\bWatchman\b|\bwatchman\b": "ReadinessMonitor",
    r"\bclass (View|Stop|Life|Streams)\b": "Context, RouteEntry, TrainingDecision, OpenWatches",
    r"\b(a|the last|the next|each|every) pass (over|reads|writes|asks|is|ends|has|may|that)\b": "reconcile",
    r"\b(Errand|Hearer|Wish|Lasting|ours_of|Visit|Walk)\b": "AttemptContext, ReplyListener, Preference",
    r"\bwish_of_(body|headers)\b": "preference_of_body, preference_of_headers",
    r"cascade[./]walk\b": "cascade/chain_run",
    r"routes[./]parser\b|\bread_table\b": "disrouter.routes",
    r"\b(_still_not|_own_answer|_note_refusal)\b": "_fallback_failed, _record_answer, _record_refusal",
    r"own engine|entry agent": "local engine, entrypoint",
    r"\.(lasting|means)\b": "neighbours, dependencies",
    r"turned_away|\bsum_up\b|\bMAX_TOLD\b|\bLinesHandler\b": "rejected, summarize, ...",
    r"ports\.(Sink|Caller|Asking|Hearer)\b": "BodyListener, ClientListener, PendingRequest, ReplyListener",
    r"logs\.(tell|Tell|Lines)\b": "log_request, RequestLog, LogWriter",
    r"default_scenario": "preference",
    r"\b(Lineup|Keeper|Workshop|TextJudges|QuestionSplit|EXIT_TRY_AGAIN)\b": "ModelSet, CheckpointKeeper, Splits, ...",
    r"\b(BadRow|LeftOut|badRows|leftOut|bad_rows)\b|\bbad rows?\b": "invalid row, filtered row",
    r"\b(prompted_cascade|cost_matched|accuracy_answered)\b": "text_cascade, random_mixture, selective_accuracy",
    r"\bsheets?\b": "split",
    r"\blineup\b": "model set",
    r"\blotter(y|ies)\b|cost-matched": "random mixture",
}
"""Patterns of whole words; a word that is right elsewhere is matched in its old place only."""


def found(files: Iterator[str]) -> Iterator[str]:
    """`file:line: old word (now: new word)` of each."""
    patterns = [(re.compile(pattern), word) for pattern, word in RETIRED.items()]
    for name in files:
        path = ROOT / name
        if name in EXEMPT or path.suffix not in TEXT or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern, word in patterns:
                if match := pattern.search(line):
                    yield f"{name}:{number}: {match[0]!r} (now: {word})"


def tracked() -> Iterator[str]:
    """Names of the repository's files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    yield from listed.stdout.split("\0")[:-1]


def main() -> int:
    """Print what is found."""
    lines = list(found(tracked()))
    print("\n".join(lines), end="\n" if lines else "", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
