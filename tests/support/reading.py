"""Looks at a cluster as `kubectl get -o json` does, without starting a process for each."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 60.0
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SELECTOR = "--selector="


@dataclass(frozen=True)
class _Kind:
    """Where objects of a kind are, and the head that a list leaves out of each."""

    root: str
    plural: str
    namespaced: bool
    head: dict[str, str]

    def path(self, namespace: str) -> str:
        return f"{self.root}/namespaces/{namespace}/{self.plural}" if self.namespaced else f"{self.root}/{self.plural}"


class Reader:
    """Reads as the administrator whose token it has."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._url, self._token = url, token
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._kinds: dict[str, _Kind] = {}

    def get(self, kinds: str, namespace: str, *arguments: str) -> Any:
        """One object by name, or a list of one or several kinds (`a,b`) with `--selector=`, as kubectl prints it."""
        names = [each for each in arguments if not each.startswith("-")]
        options = [each for each in arguments if each.startswith("-")]
        assert len(names) < 2, f"a look names one object, not {names}"
        assert all(each.startswith(_SELECTOR) for each in options), f"of {options} only {_SELECTOR} is known here"
        if names:
            return _shown(self._read(f"{self._kind(kinds).path(namespace)}/{names[0]}"))
        query = urllib.parse.urlencode({"labelSelector": ",".join(each.removeprefix(_SELECTOR) for each in options)})
        found = [(kind, self._read(f"{kind.path(namespace)}?{query}")) for kind in map(self._kind, kinds.split(","))]
        return {"items": [_shown(kind.head | item) for kind, listed in found for item in listed["items"]]}

    def _kind(self, name: str) -> _Kind:
        """By plural, singular, short or full name; looks again for one that it has not met, as kinds come and go."""
        assert self.knows(name), f"the server has no kind {name}"
        return self._kinds[name.lower()]

    def knows(self, name: str) -> bool:
        """Whether the server has the kind."""
        if name.lower() not in self._kinds:
            self._kinds = self._discovered()
        return name.lower() in self._kinds

    def _discovered(self) -> dict[str, _Kind]:
        found: dict[str, _Kind] = {}
        for root in ("/api", "/apis"):
            for group in self._read(root, _DISCOVERY)["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:
                    where = "/".join(each for each in (root, name, version["version"]) if each)
                    for resource in version["resources"]:
                        for title, kind in _named(resource, name, version["version"], where):
                            found.setdefault(title, kind)
        return found

    def _read(self, path: str, accept: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        request = urllib.request.Request(self._url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=self._context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"GET {path}: {error.code}: {error.read().decode()[:2000]}") from None
        except (OSError, HTTPException) as error:
            raise AssertionError(f"GET {path}: the API server did not answer: {error!r}") from None


def _shown(obj: dict[str, Any]) -> dict[str, Any]:
    """As kubectl shows it: who wrote which field is left out."""
    obj["metadata"].pop("managedFields", None)
    return obj


def _named(resource: dict[str, Any], group: str, version: str, root: str) -> list[tuple[str, _Kind]]:
    head = {"apiVersion": f"{group}/{version}" if group else version, "kind": resource["responseKind"]["kind"]}
    kind = _Kind(root, resource["resource"], resource["scope"] == "Namespaced", head)
    singular = resource.get("singularResource") or head["kind"].lower()
    titles = (kind.plural, singular, *resource.get("shortNames", ()), f"{kind.plural}.{group}")
    return [(title, kind) for title in titles]
