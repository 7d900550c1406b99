"""Manifests as files: several YAML documents, each of a kind that disrouter applies."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from disrouter import names
from disrouter.errors import InvalidCascade, Violation
from disrouter_cli import kubectl_yaml
from disrouter_cli.errors import BadManifest
from disrouter_operator.kube.resources import SECRETS
from disrouter_operator.validate import violations

MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Document:
    """One YAML document and where it stands."""

    origin: str
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.content.get("kind"))

    @property
    def title(self) -> str:
        metadata = self.content.get("metadata")
        if not isinstance(metadata, dict):
            return self.kind
        return f"{self.kind} {metadata.get('namespace', 'default')}/{metadata.get('name')}"

    def violations(self) -> list[Violation]:
        """Broken rules, each with field and remedy."""
        return list(_secret_violations(self.content)) if self.kind == SECRETS.kind else violations(self.content)


def read(file: str) -> list[Document]:
    """Documents of a file, `-` for standard input. Raises BadManifest that names file, document and remedy."""
    text = _text(file)
    try:
        contents = [item for item in kubectl_yaml.load_all(text) if item is not None]
    except yaml.YAMLError as error:
        raise BadManifest(f"{file} is not YAML: {_where(error)}; correct it there") from None
    if not contents:
        raise BadManifest(f"{file} is empty; write a {names.KIND}")
    many = len(contents) > 1
    return [_document(f"{file} document {index}" if many else file, item) for index, item in enumerate(contents, 1)]


def checked(file: str) -> list[Document]:
    """Like `read`, but raises InvalidCascade with every violation of every document."""
    documents = read(file)
    found = [
        Violation(f"{document.origin}: {item.field}" if len(documents) > 1 else item.field, item.message)
        for document in documents
        for item in document.violations()
    ]
    if found:
        raise InvalidCascade(found)
    return documents


def check_for_one_machine(documents: Sequence[Document]) -> None:
    """Raises InvalidCascade for what a cluster alone can give: here nobody else keeps a service."""
    found = [
        Violation(
            f"spec.agents[{index}].serviceRef",
            "needs a cluster with KServe, for on one machine nobody else keeps a service; give external with its url",
        )
        for document in documents
        if document.kind == names.KIND
        for index, agent in enumerate(document.content["spec"]["agents"])
        if agent.get("serviceRef") is not None
    ]
    if found:
        raise InvalidCascade(found)


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if file == "-" else _head(Path(file))
        if len(data) > MAX_BYTES:
            raise BadManifest(f"{file} has more than {MAX_BYTES} bytes; a manifest is smaller")
        return data.decode()
    except OSError as error:
        raise BadManifest(f"cannot read {file}: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise BadManifest(f"{file} is not UTF-8 text; write YAML") from None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _document(origin: str, content: Any) -> Document:
    if not isinstance(content, dict):
        raise BadManifest(f"{origin} is a {type(content).__name__}, not an object; begin with apiVersion and kind")
    document = Document(origin, content)
    if document.kind not in (names.KIND, SECRETS.kind):
        raise BadManifest(
            f"{origin}: kind {content.get('kind')!r} is not applied here; use {names.KIND} or {SECRETS.kind}"
        )
    return document


def _secret_violations(secret: dict[str, Any]) -> Iterator[Violation]:
    """What a Secret needs to be kept and read here."""
    if secret.get("apiVersion") != SECRETS.api_version:
        yield Violation("apiVersion", f"is {secret.get('apiVersion')!r}; write {SECRETS.api_version}")
    metadata = secret.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        yield Violation("metadata.name", "is required; add it")
    for field in ("data", "stringData"):
        values = secret.get(field) or {}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            yield Violation(field, "must map keys to strings; quote the values")
        elif field == "data" and not all(map(_is_base64, values.values())):
            yield Violation(field, "holds a value that is not base64 text; encode it, or use stringData")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True).decode()
    except ValueError:
        return False
    return True


def _where(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return str(error).splitlines()[0]
