"""Write the CustomResourceDefinition from the models, or check that the files are current (`make crds`).

Two files hold it: `crds/` for `kubectl apply -f`, and the chart `disrouter-crds`, where an annotation keeps Helm from
deleting the resource - and with it every cascade - on uninstall.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from disrouter.api import crd
from disrouter.names import GROUP, PLURAL

HEADER = "# Generated from the models in operator/disrouter/api by `make crds`; do not edit.\n"
FILES = {
    Path("crds") / f"{GROUP}_{PLURAL}.yaml": {},
    Path("charts/disrouter-crds/templates") / f"{GROUP}_{PLURAL}.yaml": {"helm.sh/resource-policy": "keep"},
}


class _Plain(yaml.SafeDumper):
    """YAML for people: what stands in two places is written out in both."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the signature is PyYAML's
        return True


def rendered(annotations: dict[str, str]) -> str:
    """The CRD as YAML, with these annotations."""
    definition: dict[str, Any] = crd()
    if annotations:
        definition["metadata"]["annotations"] = dict(annotations)
    return HEADER + yaml.dump(definition, Dumper=_Plain, sort_keys=False, width=120)


def stale(root: Path) -> list[Path]:
    """Files below `root` that are missing or differ from what the models say."""
    return [
        path
        for path, annotations in FILES.items()
        if not (root / path).is_file() or (root / path).read_text() != rendered(annotations)
    ]


def main(argv: list[str] | None = None) -> int:
    """Write the files, or with `--check` say which are stale (exit 1)."""
    parser = argparse.ArgumentParser(prog="tools/write_crds.py", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not up to date")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: here)")
    options = parser.parse_args(argv)
    old = stale(options.root)
    if options.check:
        for path in old:
            print(f"{path} differs from the models; run `make crds`", file=sys.stderr)
        return 1 if old else 0
    for path in old:
        (options.root / path).parent.mkdir(parents=True, exist_ok=True)
        (options.root / path).write_text(rendered(FILES[path]))
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
