"""The Kube protocol over `kubernetes.aio`: one method a verb, paths built from the resource.

The generated API classes are bypassed: for custom objects they choose JSON patch by default and know no status patch
with a precondition. Here every request states its content type.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from disrouter.names import FIELD_MANAGER
from disrouter_operator.errors import Conflict, KubeError, Rejected, Unreachable
from disrouter_operator.kube import NO_LABELS
from disrouter_operator.resources import Object, Resource, resource_of

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
JSON = "application/json"
TIMEOUT_SECONDS = 30.0
PAGE = 500
_KINDS: Mapping[int, type[KubeError]] = {400: Rejected, 403: Rejected, 409: Conflict, 422: Rejected}


class ApiServer:
    """A cluster's API server, spoken to through a configured `ApiClient` that the caller closes."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """See `Kube.get`."""
        try:
            return await self._request("GET", _path(resource, namespace, name))
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        """See `Kube.list`. Reads page by page."""
        query = [("limit", str(PAGE))]
        if labels:
            query.append(("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items())))
        items: list[Object] = []
        token = ""
        while True:
            page = query + ([("continue", token)] if token else [])
            answer = await self._request("GET", _path(resource, namespace), query=page)
            items += answer["items"]
            token = answer["metadata"].get("continue") or ""
            if not token:
                head = {"apiVersion": resource.api_version, "kind": resource.kind}
                return [head | item for item in items]

    async def apply(self, obj: Object) -> Object:
        """See `Kube.apply`."""
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._request("PATCH", _path_of(obj), query=query, body=obj, content_type=APPLY)

    async def patch_status(self, obj: Object) -> Object:
        """See `Kube.patch_status`. A JSON patch, because a merge patch cannot drop what the status no longer says."""
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/status", "value": obj["status"]},
        ]
        query = [("fieldManager", FIELD_MANAGER)]
        return await self._request("PATCH", f"{_path_of(obj)}/status", query=query, body=patch, content_type=JSON_PATCH)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> None:
        """See `Kube.delete`."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", _path(resource, namespace, name), body=body)
        except KubeError as error:
            gone = error.status == 404 or (error.status == 409 and uid is not None)
            if not gone:
                raise

    async def create(self, obj: Object) -> Object:
        """See `Kube.create`."""
        path = _path(resource_of(obj), obj["metadata"]["namespace"])
        return await self._request("POST", path, query=[("fieldManager", FIELD_MANAGER)], body=obj)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: builtins.list[tuple[str, str]] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Object:
        try:
            answer = await self._client.call_api(
                path,
                method,
                query_params=query or [],
                header_params={"Accept": JSON, "Content-Type": content_type},
                body=body,
                response_types_map=dict.fromkeys((200, 201, 202), "object"),
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_SECONDS,
            )
        except ApiException as error:
            raise _translate(method, path, error) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{method} {path}: the API server did not answer: {error!r}") from error
        return dict(answer)


def _path(resource: Resource, namespace: str | None, name: str | None = None) -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    scope = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{root}/{resource.version}{scope}/{resource.plural}" + (f"/{name}" if name is not None else "")


def _path_of(obj: Object) -> str:
    return _path(resource_of(obj), obj["metadata"]["namespace"], obj["metadata"]["name"])


def _translate(method: str, path: str, error: ApiException) -> KubeError:
    kind = _KINDS.get(error.status, KubeError)
    return kind(f"{method} {path}: {error.status}: {_reason(error)}", error.status)


def _reason(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
