"""How the tree is built: files and import floors per folder, function sizes per package: `structure.py [--check]`.

A folder's entries are its modules and its sub-folders, each sub-folder as one. An entry stands one floor above the
highest entry that it imports, so the floors of a folder are the steps that a reader goes up in it.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "operator/disrouter",
    "operator/disrouter_operator",
    "operator/disrouter_local",
    "operator/disrouter_cli",
    "images/sidecar/disrouter_sidecar",
    "training-jobs/disrouter_training",
)
MOST_FILES, MOST_FLOORS = 12, 9

Imports = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Folder:
    """One folder of a package."""

    name: str
    files: int
    """Modules besides `__init__`, which is the folder's map."""
    floors: int


@dataclass(frozen=True)
class Sizes:
    """Lines of a package's functions."""

    functions: int
    median: int
    ninetieth: int
    longest: int


def folders(package: Path) -> list[Folder]:
    """All folders of a package, the package itself first."""
    imports = _imports(package)
    found = sorted({path.parent for path in package.rglob("*.py")})
    return [_folder(package, each, imports) for each in found]


def sizes(package: Path) -> Sizes:
    """How long its functions are."""
    lines = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return Sizes(len(lines), round(statistics.median(lines)), lines[int(len(lines) * 0.9)], lines[-1])


def problems(package: Path) -> list[str]:
    """Folders that are too full or too high."""
    found = []
    for folder in folders(package):
        if folder.files > MOST_FILES:
            found.append(f"{folder.name} has {folder.files} files, more than {MOST_FILES}: part it into rooms")
        if folder.floors > MOST_FLOORS:
            found.append(f"{folder.name} stands on {folder.floors} import floors, more than {MOST_FLOORS}")
    return found


def _imports(package: Path) -> Imports:
    """Modules of the package that each of its modules imports."""
    paths = {_module(package, path): path for path in package.rglob("*.py")}
    return {name: frozenset(_imported(path, paths.keys()) - {name}) for name, path in paths.items()}


def _module(package: Path, path: Path) -> str:
    return ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, known: Collection[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in known}


def _folder(package: Path, folder: Path, imports: Imports) -> Folder:
    prefix = _module(package, folder / "__init__.py") + "."
    below: dict[str, set[str]] = {}
    for name, imported in imports.items():
        if name.startswith(prefix):
            entry = name.removeprefix(prefix).partition(".")[0]
            above = below.setdefault(entry, set())
            above |= {each.removeprefix(prefix).partition(".")[0] for each in imported if each.startswith(prefix)}
    graph = {entry: frozenset(each - {entry}) for entry, each in below.items()}
    files = sum(path.stem != "__init__" for path in folder.glob("*.py"))
    return Folder(prefix.removesuffix("."), files, max((_floor(entry, graph, ()) for entry in graph), default=0))


def _floor(entry: str, graph: Imports, above: tuple[str, ...]) -> int:
    """1 for what imports nothing here. Entries that import each other share a floor."""
    under = [_floor(each, graph, (*above, entry)) for each in graph[entry] if each not in above]
    return 1 + max(under, default=0)


def _report() -> Iterator[str]:
    for top in PACKAGES:
        package = ROOT / top
        size = sizes(package)
        lines = f"median {size.median}, p90 {size.ninetieth}, max {size.longest}"
        yield f"{package.name}: {size.functions} functions; lines: {lines}"
        for folder in folders(package):
            yield f"  {folder.name:<48} {folder.files:>3} files {folder.floors:>3} floors"


def main() -> int:
    """Print the report, or with `--check` only what is wrong with it (exit 1)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a folder is too full or too high")
    if parser.parse_args().check:
        wrong = [problem for top in PACKAGES for problem in problems(ROOT / top)]
        print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
        return 1 if wrong else 0
    print("\n".join(_report()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
