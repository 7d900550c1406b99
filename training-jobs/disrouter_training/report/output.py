"""A report in a folder: `report.txt`, `report.json`, `report.html`, and its pictures as files of their own."""

from __future__ import annotations

import json
from pathlib import Path

from disrouter.artifacts import write_atomically
from disrouter_training.evaluation.analysis import Analysis
from disrouter_training.process.progress import Say
from disrouter_training.report.figures import figures
from disrouter_training.report.page import as_html
from disrouter_training.report.tables import as_json, as_text


def write_report(analysis: Analysis, folder: Path, title: str, say: Say) -> None:
    """Write everything. Without matplotlib the page has tables and no pictures."""
    write_atomically(folder / "report.json", json.dumps(as_json(analysis), indent=1) + "\n")
    write_atomically(folder / "report.txt", as_text(analysis) + "\n")
    pictures: dict[str, tuple[str, bytes]] = {}
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        say("no pictures are drawn without matplotlib: pip install 'disrouter[report]'")
    else:
        pictures = figures(analysis)
    for name, (_, picture) in pictures.items():
        write_atomically(folder / "figures" / name, picture)
    write_atomically(folder / "report.html", as_html(analysis, title, pictures))
    say(f"the report is in {folder}")
