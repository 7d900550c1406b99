"""The Kube protocol over `kubernetes.aio`: one method a verb, paths built from the resource.

The generated API classes are bypassed: for custom objects they choose JSON patch by default and know no status patch
with a precondition. Here every request states its content type.
"""

from __future__ import annotations

import builtins
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from disrouter.names import FIELD_MANAGER, LABEL_CASCADE
from disrouter_operator.errors import Conflict, KubeError, NotLeading, Rejected, Throttled, Unreachable
from disrouter_operator.kube.client import NO_LABELS
from disrouter_operator.kube.rate_limit import TokenBucket
from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.kube.resources import CASCADES, DEPLOYMENTS, Object, Resource, resource_of

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
TIMEOUT_SECONDS = 30.0
PAGE = 500
PATIENCE_SECONDS = 20.0
"""How long a request that is put off waits for the ends of pauses; then whoever asked begins anew, later."""
MOST_SECONDS = 60.0
"""Longest wait that an answer may ask for; API servers ask for a second, or for some more when they are full."""
_METHODS = {"get": "GET", "list": "GET", "discover": "GET", "patch": "PATCH", "delete": "DELETE", "create": "POST"}
_WRITES = frozenset({"patch", "delete", "create"})
_SUBRESOURCES = ("status", "scale")
TOO_MANY = 429
_UNKNOWN_VERSION = frozenset({400, 410, 504})
"""Answers to a list at a version that the API server does not know (any more, or yet)."""
_KINDS: Mapping[int, type[KubeError]] = {400: Rejected, 403: Rejected, 409: Conflict, 422: Rejected}


Record = Callable[[str, str, int, float, float], None]
"""Told of each request: verb and resource as RBAC has them, HTTP status (0: no answer), seconds, seconds held back."""


class ApiServer:
    """A cluster's API server, spoken to through a configured `ApiClient` that the caller closes.

    `limit` holds requests back, and all of them when the API server puts one off (429 and when to come again), which
    is then sent again. Without one they go out at once, and a 429 is an answer as any other. `versions` is told of
    every version that is read or written, and lets lists by label come from the API server's cache, which costs it no
    read of every object in etcd.

    Nothing is written unless `leads`; writes raise NotLeading otherwise. Losing the lease ends the process, but one
    that was held up (stopped, starved, told to wait) may wake in the middle of a reconcile, so it is asked last.
    """

    def __init__(
        self,
        client: ApiClient,
        limit: TokenBucket | None = None,
        versions: ResourceVersions | None = None,
        record: Record = lambda *_: None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._limit = limit
        self._freshness = versions or ResourceVersions()
        self._record = record
        self._leads = leads

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """See `Kube.get`."""
        try:
            found = await self._request("get", resource, resource.path(namespace, name))
        except KubeError as error:
            if error.status == 404:
                return None
            raise
        if resource == CASCADES or LABEL_CASCADE in (found["metadata"].get("labels") or {}):
            self._freshness.read(resource, found)  # of others' objects no watch of ours tells
        return found

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        """See `Kube.list`. By label: at least as new as the watch and our own writes, else the newest."""
        query = [("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items()))] if labels else []
        floor = self._freshness.floor(resource, namespace) if labels and namespace is not None else None
        items = await self._list(resource, namespace, query, floor)
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        found = [head | item for item in items]
        for obj in found:
            self._freshness.read(resource, obj)
        return found

    async def serves(self, resource: Resource) -> bool:
        """Whether the kind is installed, for those that come with a CRD."""
        try:
            answer = await self._request("discover", resource, resource.root)
        except KubeError as error:
            if error.status == 404:
                return False
            raise
        return any(each.get("name") == resource.plural for each in answer.get("resources") or [])

    async def reach(self, resource: Resource, namespace: str | None) -> None:
        """List one object of a kind, to see whether that may be done."""
        await self._request("list", resource, resource.path(namespace), query=[("limit", "1")])

    async def apply(self, obj: Object) -> Object:
        """See `Kube.apply`."""
        # Strict: a custom resource would lose a field that its definition does not know, without a word.
        query = [("fieldManager", FIELD_MANAGER), ("force", "true"), ("fieldValidation", "Strict")]
        live = await self._request("patch", resource_of(obj), _path_of(obj), query=query, body=obj, content_type=APPLY)
        self._freshness.wrote(resource_of(obj), live)
        return live

    async def scale(self, obj: Object) -> Object:
        """See `Kube.scale`."""
        path = f"{DEPLOYMENTS.path(obj['metadata']['namespace'], obj['metadata']['name'])}/scale"
        query, body = [("fieldManager", FIELD_MANAGER)], {"spec": obj["spec"]}
        live = await self._request("patch", DEPLOYMENTS, path, query=query, body=body, content_type=MERGE_PATCH)
        self._freshness.wrote(DEPLOYMENTS, live)
        return live

    async def patch_status(self, obj: Object) -> Object:
        """See `Kube.patch_status`. A JSON patch, because a merge patch cannot drop what the status no longer says."""
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/status", "value": obj["status"]},
        ]
        query = [("fieldManager", FIELD_MANAGER)]
        path, resource = f"{_path_of(obj)}/status", resource_of(obj)
        live = await self._request("patch", resource, path, query=query, body=patch, content_type=JSON_PATCH)
        self._freshness.wrote(resource, live)
        return live

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> None:
        """See `Kube.delete`."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("delete", resource, resource.path(namespace, name), body=body)
        except KubeError as error:
            gone = error.status == 404 or (error.status == 409 and uid is not None)
            if not gone:
                raise

    async def create(self, obj: Object) -> Object:
        """See `Kube.create`."""
        resource = resource_of(obj)
        path = resource.path(obj["metadata"]["namespace"])
        live = await self._request("create", resource, path, query=[("fieldManager", FIELD_MANAGER)], body=obj)
        self._freshness.wrote(resource, live)
        return live

    async def _list(
        self, resource: Resource, namespace: str | None, query: builtins.list[tuple[str, str]], floor: str | None
    ) -> builtins.list[Object]:
        path = resource.path(namespace)
        if floor is not None and namespace is not None:
            # No `limit`: with one, the API server reads etcd. A cascade has few children.
            cached = [*query, ("resourceVersion", floor), ("resourceVersionMatch", "NotOlderThan")]
            try:
                return list((await self._request("list", resource, path, query=cached))["items"])
            except KubeError as error:
                if error.status not in _UNKNOWN_VERSION:
                    raise
                self._freshness.forget(resource, namespace)
        items: builtins.list[Object] = []
        page = [*query, ("limit", str(PAGE))]
        while True:
            answer = await self._request("list", resource, path, query=page)
            items += answer["items"]
            token = answer["metadata"].get("continue")
            if not token:
                return items
            page = [*query, ("limit", str(PAGE)), ("continue", token)]

    async def _request(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        query: builtins.list[tuple[str, str]] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Object:
        left, end = PATIENCE_SECONDS, math.inf
        while True:
            try:
                return await self._once(
                    verb, resource, path, left, query=query or [], body=body, content_type=content_type
                )
            except Throttled as error:
                if self._limit is None:
                    raise
                self._limit.hold(error.retry_after)
                end = min(end, time.monotonic() + PATIENCE_SECONDS)
                left = end - time.monotonic()

    async def _once(
        self,
        verb: str,
        resource: Resource,
        path: str,
        patience: float,
        *,
        query: builtins.list[tuple[str, str]],
        body: Any,
        content_type: str,
    ) -> Object:
        held = await self._token(f"{_METHODS[verb]} {path}", patience)
        if verb in _WRITES and not self._leads():
            raise NotLeading("this replica may not lead any more, so it writes nothing")
        started, status = time.monotonic(), 0
        try:
            answer, status = await self._send(_METHODS[verb], path, query, body, content_type)
            return answer
        except KubeError as error:
            status = error.status
            raise
        finally:
            below = next((name for name in _SUBRESOURCES if path.endswith(f"/{name}")), None)
            what = resource.plural if below is None else f"{resource.plural}/{below}"
            self._record(verb, what, status, time.monotonic() - started, held)

    async def _token(self, what: str, patience: float) -> float:
        if self._limit is None:
            return 0.0
        try:
            return await self._limit.take(patience)
        except TimeoutError:
            text = f"not sent, because the API server puts requests off for longer than {PATIENCE_SECONDS:.0f} s"
            raise KubeError(f"{what}: 429: {text}", TOO_MANY) from None

    async def _send(
        self, method: str, path: str, query: builtins.list[tuple[str, str]], body: Any, content_type: str
    ) -> tuple[Object, int]:
        try:
            answer, status, _ = await self._client.call_api(
                path,
                method,
                query_params=query,
                header_params={"Accept": JSON, "Content-Type": content_type},
                body=body,
                response_types_map=dict.fromkeys((200, 201, 202), "object"),
                auth_settings=["BearerToken"],
                _return_http_data_only=False,
                _request_timeout=TIMEOUT_SECONDS,
            )
        except ApiException as error:
            raise _translate(method, path, error) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            words = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise Unreachable(f"{method} {path}: the API server did not answer: {words}") from error
        return dict(answer), int(status)


def _path_of(obj: Object) -> str:
    return resource_of(obj).path(obj["metadata"]["namespace"], obj["metadata"]["name"])


def _translate(method: str, path: str, error: ApiException) -> KubeError:
    text = f"{method} {path}: {error.status}: {_reason(error)}"
    pause = _retry_after(error)
    if error.status == TOO_MANY and pause is not None:
        return Throttled(text, pause)
    return _KINDS.get(error.status, KubeError)(text, error.status)


def _retry_after(error: ApiException) -> float | None:
    """Seconds that the header asks for, at least one: priority and fairness says so in whole seconds (apiserver's
    filters/priority-and-fairness.go). None without it: a webhook has denied one object with that status."""
    said = str((error.headers or {}).get("Retry-After", ""))
    return min(MOST_SECONDS, max(1.0, float(said))) if said.isdecimal() else None


def _reason(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
