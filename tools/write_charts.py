"""Write what the charts repeat of other files, or check that it is current (`make charts`).

The version comes from the package; the table of values in a chart's README comes from the comments in its values.yaml;
the rules by which Prometheus records the load of agents are the operator's queries.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from disrouter import __version__
from disrouter_operator.manifests.serving import load_queries

CHARTS = tuple(Path("charts") / name for name in ("disrouter", "disrouter-crds"))
BEGIN, END = "<!-- values: written by `make charts` -->", "<!-- end of values -->"
RULES = CHARTS[0] / "rules/load.yaml"
RULES_HEAD = """\
# `spec` of a PrometheusRule, written by `make charts`: what agents have to do, for HPAs that read what is recorded.
"""


class UndocumentedValue(Exception):
    """A value in a chart's values.yaml has no comment, so its README would not explain it."""


@dataclass(frozen=True)
class Value:
    """One value of a chart: where, what it is by default, and what it means."""

    path: str
    default: object
    meaning: str

    def row(self) -> str:
        """Its line of the README's table."""
        default = json.dumps(self.default).replace("|", "\\|")
        return f"| `{self.path}` | `{default}` | {self.meaning.replace('|', chr(92) + '|')} |"


def values(text: str) -> list[Value]:
    """Every value of a values.yaml with its comment.

    A mapping whose own key has a comment is one value; one without is looked into. Raises UndocumentedValue.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = text.splitlines()
    return list(_values(root, lines, "")) if isinstance(root, yaml.MappingNode) else []


def _values(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, value in node.value:
        path, comment = f"{prefix}{key.value}", _comment(lines, key.start_mark.line)
        if comment:
            yield Value(path, yaml.safe_load(yaml.serialize(value)), comment)
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _values(value, lines, f"{path}.")
        else:
            raise UndocumentedValue(f"value {path} has no comment above it (line {key.start_mark.line + 1})")


def _comment(lines: list[str], line: int) -> str:
    """The comment right above a line, joined."""
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].lstrip().lstrip("#").strip())
    return " ".join(found)


def rules() -> str:
    """The load of every agent, as the operator's own queries ask for it, under names that its HPAs use."""
    recorded = (item for metric in load_queries.METRICS for item in load_queries.rules(metric).items())
    expressions = [{"record": name, "expr": query} for name, query in recorded]
    groups = {"groups": [{"name": "disrouter-load", "interval": "15s", "rules": expressions}]}
    return RULES_HEAD + yaml.safe_dump(groups, sort_keys=False, width=1000)


def rendered(root: Path) -> dict[Path, str]:
    """The files below `root` that this module keeps, as they should be."""
    out: dict[Path, str] = {}
    for chart in CHARTS:
        head = (root / chart / "Chart.yaml").read_text()
        out[chart / "Chart.yaml"] = re.sub(r"(?m)^(version|appVersion): .*$", rf"\1: {__version__}", head)
        rows = [value.row() for value in values((root / chart / "values.yaml").read_text())]
        table = "\n".join([BEGIN, "| value | default | meaning |", "|---|---|---|", *rows, END])
        before, _, rest = (root / chart / "README.md").read_text().partition(BEGIN)
        out[chart / "README.md"] = before + table + rest.partition(END)[2]
    out[RULES] = rules()
    return out


def main(argv: list[str] | None = None) -> int:
    """Write the files, or with `--check` say which are stale (exit 1)."""
    parser = argparse.ArgumentParser(prog="tools/write_charts.py", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not up to date")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: here)")
    options = parser.parse_args(argv)
    try:
        new = rendered(options.root)
    except UndocumentedValue as error:
        print(f"charts: {error}", file=sys.stderr)
        return 1
    old = [path for path, text in new.items() if (options.root / path).read_text() != text]
    for path in old:
        if options.check:
            print(f"{path} is not up to date; run `make charts`", file=sys.stderr)
        else:
            (options.root / path).write_text(new[path])
            print(f"wrote {path}")
    return 1 if old and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
