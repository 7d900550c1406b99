"""Server-side apply for one field manager, on plain JSON.

Fields of the manifest win; a field that the previous manifest had and this one lacks is removed; every other field -
defaults, status, what others wrote - stays. Maps are merged by key, lists are replaced: our builders own theirs whole.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

Tree = dict[str, Any]


def apply(live: Tree, before: Tree, manifest: Tree) -> Tree:
    """`live` after `manifest` is applied, where `before` is the manifest applied last. The inputs stay as they are."""
    merged = deepcopy(live)
    _prune(merged, before, manifest)
    _overlay(merged, manifest)
    return merged


def _prune(target: Tree, before: Tree, manifest: Tree) -> None:
    for name, old in before.items():
        if name not in manifest:
            target.pop(name, None)
        elif isinstance(old, dict) and isinstance(manifest[name], dict) and isinstance(target.get(name), dict):
            _prune(target[name], old, manifest[name])


def _overlay(target: Tree, manifest: Tree) -> None:
    for name, value in manifest.items():
        inner = target.get(name)
        if isinstance(value, dict) and isinstance(inner, dict):
            _overlay(inner, value)
        else:
            target[name] = deepcopy(value)
