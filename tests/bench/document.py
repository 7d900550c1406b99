"""A Markdown file in sections, each written by a command of its own between two marks."""

from __future__ import annotations

import re
from pathlib import Path

TITLE = "# Benchmarks\n"


def write_section(path: Path, name: str, body: str) -> None:
    """Put the section in the place of its old text, or at the end; whatever else the file holds stays."""
    text = path.read_text() if path.exists() else TITLE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(with_section(text, name, body))


def with_section(text: str, name: str, body: str) -> str:
    """`text` with one section replaced or added."""
    begin, end = f"<!-- {name}: written by its command -->", f"<!-- end of {name} -->"
    section = f"{begin}\n{body.strip()}\n{end}"
    old = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if old.search(text):
        return old.sub(lambda _: section, text)
    return f"{text.rstrip()}\n\n{section}\n"
