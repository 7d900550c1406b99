"""`make judge`: static judges on charts, examples, the operator's children, Dockerfiles and pins.

Exit 1 on a finding that tests/judges/accepted.yaml does not explain, or an explanation that nothing needs any more.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from judges import manifests, tools, verdict

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ("constraints.txt", "constraints-vllm.txt")


def judged(bin_folder: Path) -> list[verdict.Verdict]:
    """Every judge's verdict; `bin_folder` has their programs."""
    with tempfile.TemporaryDirectory(prefix="disrouter-judged-") as name:
        folder = Path(name)
        files = manifests.write(folder)
        return [
            tools.checkov(bin_folder, folder),
            tools.schemas(bin_folder, files),
            tools.hadolint(bin_folder, sorted((ROOT / "images").glob("*/Dockerfile"))),
            tools.pip_audit(bin_folder, [ROOT / name for name in CONSTRAINTS]),
        ]


def main(bin_folder: str) -> int:
    verdicts, known = judged(Path(bin_folder)), verdict.accepted()
    for each in verdicts:
        if each.not_run:
            print(f"{each.judge}: not run: {each.not_run}")
        else:
            print(f"{each.judge}: {each.looked_at}, {len(each.findings)} findings")
    open_ = verdict.unexplained(verdicts, known)
    for finding in open_:
        print(f"  unexplained: {finding.check} {finding.what}: {finding.says}")
    stale = verdict.idle(verdicts, known)
    for entry in stale:
        print(f"  explains nothing any more: {entry.check} {entry.what}; remove it from {verdict.ACCEPTED.name}")
    print(f"{len(open_)} unexplained findings, {len(known)} explanations")
    return 1 if open_ or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
