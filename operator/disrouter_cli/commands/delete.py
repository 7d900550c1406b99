"""Delete a cascade and everything that belongs to it; trained weights stay.

examples:
  disrouter delete qwen
  disrouter delete -f cascade.yaml
"""

from __future__ import annotations

import argparse
import asyncio

from disrouter_cli.errors import CliError
from disrouter_cli.options import add_namespace, add_state, state_folder


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="name of the cascade")
    parser.add_argument("-f", "--file", metavar="FILE", help="delete the cascades of a YAML file")
    add_namespace(parser)
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from disrouter_cli import cluster, manifests
    from disrouter_operator.kube.resources import CASCADES

    if (args.name is None) == (args.file is None):
        raise CliError("say what to delete: a name, or -f FILE")
    store = state_folder(args).store()
    wanted = [(args.name, args.namespace)]
    if args.file is not None:
        documents = [item.content["metadata"] for item in manifests.read(args.file) if item.kind == CASCADES.kind]
        wanted = [(item["name"], item.get("namespace", "default")) for item in documents]
    for name, namespace in wanted:
        cluster.find(store, name, namespace)
        asyncio.run(store.delete(CASCADES, namespace, name))
        print(f"{CASCADES.kind.lower()}.{CASCADES.group}/{name} deleted")
    return 0
