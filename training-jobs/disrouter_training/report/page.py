"""A report as one HTML file that needs nothing else: tables, and pictures inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

from disrouter_training.evaluation.analysis import Analysis
from disrouter_training.evaluation.bootstrap import DRAWS
from disrouter_training.report.tables import Table, all_tables

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .8rem; white-space: nowrap; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #e4e4e4; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
tr.ours td { background: #e8f1f8; font-weight: 600; } th { background: #f6f6f6; }
figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption { color: #555; font-size: .85rem; }
"""


def as_html(analysis: Analysis, title: str, figures: Mapping[str, tuple[str, bytes]]) -> str:
    """The whole report. `figures` are captions and PNGs by name."""
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(introduction(analysis))}</p>",
        *(_picture(caption, picture) for caption, picture in figures.values()),
        *(_table(name, table, analysis.whole.headline) for name, table in all_tables(analysis)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def introduction(analysis: Analysis) -> str:
    """What was measured and how to read it."""
    counts = ", ".join(f"{count} {name}" for name, count in analysis.questions.items())
    seeds = "one seed" if analysis.seeds == 1 else f"{analysis.seeds} seeds"
    return (
        f"{len(analysis.agents)} agents, {seeds} of training; questions: {counts}. The headline cascade, "
        f"{analysis.whole.headline}, thresholds, calibration and every baseline's settings were chosen on the "
        f"{analysis.tuned_on} questions. Means are over all questions of a set; intervals are 95 % percentiles of "
        f"{DRAWS} bootstrap draws over questions and seeds, and differences are paired by question. The "
        "random mixture is that of two single agents which costs what the headline cascade costs and is best on those "
        "questions. Cost counts the answering agent, as in the paper; AutoMix and rows that say `all asked` "
        "count every agent that was asked."
    )


def _picture(caption: str, picture: bytes) -> str:
    data = base64.b64encode(picture).decode()
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _table(title: str, table: Table, headline: str) -> str:
    head, *rows = table
    lines = [f"<h2>{escape(title)}</h2>", '<div class="scroll"><table>', _row(head, "th")]
    lines += [_row(row, "td", ours=row[0] == headline) for row in rows]
    return "\n".join([*lines, "</table></div>"])


def _row(cells: list[str], tag: str, *, ours: bool = False) -> str:
    marked = ' class="ours"' if ours else ""
    return f"<tr{marked}>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
