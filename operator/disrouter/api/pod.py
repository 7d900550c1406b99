"""What a cascade's pods may carry beyond their containers: where they run, as whom, with which environment."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictInt, WithJsonSchema, model_validator

from disrouter.model import Model
from disrouter.names import OBJECT_NAME

DATA_KEY = r"^[-._a-zA-Z0-9]+$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
QUALIFIED_NAME = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"

ObjectName = Annotated[str, Field(pattern=OBJECT_NAME, max_length=253)]
QualifiedName = Annotated[str, Field(pattern=QUALIFIED_NAME, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
Text = Annotated[str, Field(max_length=4096)]
PodPatch = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
Labels = Annotated[dict[QualifiedName, LabelValue], Field(max_length=32)]


class SecretKey(Model):
    """A key in a Secret of the cascade's namespace."""

    name: ObjectName
    key: str = Field(pattern=DATA_KEY, max_length=253)


class Sourced(Model):
    """A value in the manifest, or in a Secret where no manifest may hold it."""

    value: Text | None = None
    secret_key_ref: SecretKey | None = None
    """Where a value lies that no manifest may hold."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.value is None) == (self.secret_key_ref is None):
            raise ValueError("give exactly one of value and secretKeyRef")
        return self


class EnvVar(Sourced):
    """An environment variable. Exactly one of `value` and `secretKeyRef`."""

    name: str = Field(pattern=ENV_NAME, max_length=253)


class Toleration(Model):
    """A Kubernetes toleration."""

    key: QualifiedName | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: StrictInt | None = Field(default=None, ge=0)


class PodOptions(Model):
    """Where and as whom pods run. A change replaces the pods it concerns, and only those."""

    node_selector: Labels | None = None
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    image_pull_secrets: tuple[ObjectName, ...] = Field(default=(), max_length=8)
    """Names of Secrets with registry credentials."""
    service_account_name: ObjectName | None = None
    """Default: the namespace's default account; its token is not mounted."""
    priority_class_name: ObjectName | None = None
    labels: Labels | None = None
    """Further labels of the pods; not those of disrouter.io."""
    annotations: Annotated[dict[QualifiedName, Text], Field(max_length=32)] | None = None
    """Further annotations of the pods."""
    template: PodPatch | None = None
    """Strategic merge patch on the pod's spec, applied last: containers, volumes and environment merge by name."""
