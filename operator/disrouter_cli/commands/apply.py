"""Apply a manifest to the runtime of this machine.

examples:
  disrouter apply -f cascade.yaml

Only what the edit changes is touched: a new agent trains alone, the processes of the others stay.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from disrouter_cli.options import add_state, state_folder

if TYPE_CHECKING:
    from disrouter_cli.manifests import Document
    from disrouter_local.store.store import Store


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--file", required=True, action="append", metavar="FILE", help="YAML file, - for stdin")
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from disrouter_cli import manifests

    documents = [document for file in args.file for document in manifests.checked(file)]
    state = state_folder(args)
    apply_documents(state.store(), documents)
    if state.running() is None:
        print(f"no runtime holds {state.root}; start it with `disrouter up`", file=sys.stderr)
    return 0


def apply_documents(store: Store, documents: list[Document]) -> None:
    """Apply each and print what happened, as kubectl does. Raises InvalidCascade for what needs a cluster."""
    from disrouter_cli.manifests import check_for_one_machine

    check_for_one_machine(documents)
    for document in documents:
        print(asyncio.run(_apply(store, document)))


async def _apply(store: Store, document: Document) -> str:
    from disrouter_operator.kube.resources import resource_of

    resource = resource_of(document.content)
    metadata = document.content["metadata"]
    before = await store.get(resource, metadata.get("namespace", "default"), metadata["name"])
    after = await store.apply(document.content)
    outcome = "created"
    if before is not None:
        same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
        outcome = "unchanged" if same else "configured"
    group = f".{resource.group}" if resource.group else ""
    return f"{resource.kind.lower()}{group}/{metadata['name']} {outcome}"
