"""Objects as JSON files, shared by processes: one lock for writers, atomic replacement for readers.

    <root>/<plural>.<group>/<namespace>/<name>.json    {"object": ..., "applied": ...}
    <root>/version                                     counter: resourceVersion of the newest write

`applied` is the manifest applied last, which `merge` needs. The folder is private to its user: Secrets lie in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from disrouter_local.objects import key_of
from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import Object, Resource, resource_of


@dataclass
class Record:
    """An object and the manifest that was applied to it last, None if it was created otherwise."""

    object: Object
    applied: Object | None = None


class Folder:
    """Files and the lock; what an API server would do with them is `store`'s."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._counter = root / "version"
        self._lock = root / "lock"

    @property
    def version(self) -> int:
        """Changes with every write: cheap to poll."""
        try:
            return int(self._counter.read_text() or 0)
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude every other writer, in this process or another. The first one makes the folder."""
        if not self.root.exists():
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def read(self, resource: Resource, namespace: str, name: str) -> Record | None:
        return _read(self._path(resource, namespace, name))

    def read_all(self, resource: Resource, namespace: str | None) -> list[Record]:
        """Every record of a kind, by namespace and name."""
        base = self.root / _folder(resource)
        pattern = "*/*.json" if namespace is None else f"{namespace}/*.json"
        found = (_read(path) for path in sorted(base.glob(pattern)))
        return [record for record in found if record is not None]

    def write(self, record: Record) -> None:
        """Replace an object under the lock, as the next version."""
        version = self.version + 1
        record.object["metadata"]["resourceVersion"] = str(version)
        self.keep(record)
        _replace(self._counter, str(version))

    def keep(self, record: Record) -> None:
        """Replace a record whose object did not change: no new version."""
        obj = record.object
        path = self._path(resource_of(obj), *key_of(obj))
        _replace(path, json.dumps({"object": obj, "applied": record.applied}, indent=1))

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object under the lock, which is a change like any other."""
        self._path(resource, namespace, name).unlink(missing_ok=True)
        _replace(self._counter, str(self.version + 1))

    def _path(self, resource: Resource, namespace: str, name: str) -> Path:
        return self.root / _folder(resource) / namespace / f"{name}.json"


def _folder(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _read(path: Path) -> Record | None:
    try:
        content = json.loads(path.read_bytes())
        return Record(content["object"], content["applied"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise KubeError(f"{path} is damaged ({error!r}); delete it, and apply the manifest again") from None


def _replace(path: Path, text: str) -> None:
    """Atomic for readers and for a crash of this process; a power cut may lose the last write, never tear it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(path)
