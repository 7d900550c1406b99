"""Check manifests and print every violation with field and remedy.

examples:
  disrouter validate cascade.yaml
  helm template ... | disrouter validate -

Words are read as kubectl reads them (`y` is true, 1e-1 a number), and what the API server would refuse is refused
here. More than that: a key that is given twice, a tag such as !!set, and what only the operator would say.

Exit code 0 if every document is valid, else 1.
"""

from __future__ import annotations

import argparse
import sys


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="YAML file, - for standard input")


def run(args: argparse.Namespace) -> int:
    results = [_valid(file) for file in args.files]
    return 0 if all(results) else 1


def _valid(file: str) -> bool:
    from disrouter_cli import manifests
    from disrouter_cli.errors import BadManifest

    try:
        documents = manifests.read(file)
    except BadManifest as error:
        print(f"error: {error}", file=sys.stderr)
        return False
    valid = True
    for document in documents:
        found = document.violations()
        valid = valid and not found
        count = f"{len(found)} violation{'s' if len(found) > 1 else ''}"
        print(f"{document.origin}: {document.title}: {count if found else 'valid'}")
        for violation in found:
            print(f"  {violation}")
    return valid
