"""The `Kube` protocol over a folder: what the operator's reconciles, the node and the CLI share on one machine.

Follows the API server where somebody relies on it: resourceVersion changes with content only, generation with anything
outside metadata and status, status is a subresource, a stale resourceVersion is a Conflict, an immutable ConfigMap
stays, a deleted pod lingers with a deletionTimestamp until its node says that it is gone.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from disrouter_local.objects import Clock, is_deleting, key_of, labels_of, stamp, utc_now
from disrouter_local.store import merge
from disrouter_local.store.folder import Folder, Record
from disrouter_operator.errors import Conflict, KubeError, Rejected
from disrouter_operator.kube.client import NO_LABELS
from disrouter_operator.kube.resources import DEPLOYMENTS, PODS, Object, Resource, resource_of

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")
_CONTENT_EXCEPT = ("metadata", "status")


class Store:
    """Objects of one state folder. Methods are coroutines to fit the protocol; each takes about a millisecond."""

    def __init__(
        self, folder: Folder, clock: Clock = utc_now, suffix: Callable[[], str] = lambda: secrets.token_hex(3)
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._suffix = suffix

    @property
    def version(self) -> int:
        """Changes with every write by anyone: what a watcher polls."""
        return self._folder.version

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        record = self._folder.read(resource, namespace, name)
        return record.object if record else None

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        objects = (record.object for record in self._folder.read_all(resource, namespace))
        return [obj for obj in objects if labels.items() <= labels_of(obj).items()]

    async def apply(self, obj: Object) -> Object:
        manifest = _manifest(obj)
        with self._folder.locked():
            record = self._read_same(obj)
            if record is None:
                return self._insert(manifest, manifest)
            before, live = record.applied or {}, record.object
            merged = merge.apply(live, _without_identity(before), _without_identity(manifest))
            _check_immutable(live, merged)
            if merged == live:
                if before != manifest:
                    self._folder.keep(Record(live, manifest))
                return live
            if _content(merged) != _content(live):
                merged["metadata"]["generation"] = live["metadata"].get("generation", 1) + 1
            self._folder.write(Record(merged, manifest))
            return merged

    async def create(self, obj: Object) -> Object:
        manifest = _manifest(obj)
        metadata = manifest["metadata"]
        if not metadata.get("name"):
            metadata["name"] = f"{metadata.pop('generateName', '')}{self._suffix()}"
        with self._folder.locked():
            if self._read(manifest) is not None:
                raise Conflict(f"{_title(manifest)} exists already", 409)
            return self._insert(manifest, None)

    async def patch_status(self, obj: Object) -> Object:
        with self._folder.locked():
            record = self._read_same(obj)
            if record is None:
                raise Conflict(f"{_title(obj)} is gone", 404)
            if record.object.get("status") == obj.get("status"):
                return record.object
            record.object["status"] = deepcopy(obj.get("status"))
            self._folder.write(record)
            return record.object

    async def scale(self, obj: Object) -> Object:
        """As the subresource: no more of the Deployment is written."""
        namespace, name = key_of(obj)
        with self._folder.locked():
            record = self._folder.read(DEPLOYMENTS, namespace, name)
            if record is None:
                raise KubeError(f"Deployment {namespace}/{name} is gone", 404)
            if record.object["spec"].get("replicas") != obj["spec"]["replicas"]:
                record.object["spec"]["replicas"] = obj["spec"]["replicas"]
                record.object["metadata"]["generation"] = record.object["metadata"].get("generation", 1) + 1
                self._folder.write(record)
            return {**obj, "metadata": record.object["metadata"]}

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> None:
        with self._folder.locked():
            record = self._folder.read(resource, namespace, name)
            if record is None or uid not in (None, record.object["metadata"]["uid"]):
                return
            if resource != PODS:
                self._folder.remove(resource, namespace, name)
            elif not is_deleting(record.object):
                record.object["metadata"]["deletionTimestamp"] = stamp(self._clock())
                self._folder.write(record)

    async def remove_pod(self, pod: Object) -> None:
        """The node's last word on a deleted pod: its processes have ended."""
        with self._folder.locked():
            record = self._read(pod)
            if record is not None and record.object["metadata"]["uid"] == pod["metadata"]["uid"]:
                self._folder.remove(PODS, *key_of(pod))

    def _read(self, obj: Object) -> Record | None:
        return self._folder.read(resource_of(obj), *key_of(obj))

    def _read_same(self, obj: Object) -> Record | None:
        """The record of an object, if it is still the one that `obj` was read from."""
        record = self._read(obj)
        if record is not None:
            for field in ("uid", "resourceVersion"):
                wanted, live = obj["metadata"].get(field), record.object["metadata"][field]
                if wanted not in (None, live):
                    raise Conflict(f"{_title(obj)} changed: {field} is {live}, not {wanted}; read it again", 409)
        return record

    def _insert(self, manifest: Object, applied: Object | None) -> Object:
        obj = deepcopy(manifest)
        obj["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": stamp(self._clock()),
        }
        self._folder.write(Record(obj, deepcopy(applied)))
        return obj


def _manifest(obj: Object) -> Object:
    """What a writer may set: no status, nothing that the server assigns, a namespace and a name that can be a path."""
    try:
        resource_of(obj)
    except ValueError as error:
        raise Rejected(str(error), 404) from None
    manifest = deepcopy({name: value for name, value in obj.items() if name != "status"})
    metadata = manifest.setdefault("metadata", {})
    for field in _SERVER_FIELDS:
        metadata.pop(field, None)
    metadata.setdefault("namespace", "default")
    for field in ("namespace", "name"):
        value = metadata.get(field)
        if value is not None and not _NAME.fullmatch(str(value)):
            raise Rejected(f"metadata.{field} {value!r} is not a DNS name; use lower case letters, digits, '-'", 422)
    return manifest


def _without_identity(manifest: Object) -> Object:
    return {name: value for name, value in manifest.items() if name not in ("apiVersion", "kind")}


def _content(obj: Object) -> dict[str, Any]:
    return {name: value for name, value in obj.items() if name not in _CONTENT_EXCEPT}


def _check_immutable(live: Object, merged: Object) -> None:
    if live.get("immutable") and _content(live) != _content(merged):
        raise Rejected(f"{_title(live)} is immutable; give the new content a new name", 422)


def _title(obj: Object) -> str:
    metadata = obj["metadata"]
    return f"{obj.get('kind')} {metadata.get('namespace', 'default')}/{metadata.get('name')}"
