"""The endpoints as an OpenAPI document, made from the same tables that serve it.

Only what the sidecar itself reads is described; every other field of OpenAI's APIs passes through to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from disrouter.names import HEADER_PREFERENCE, HEADER_SCENARIO
from disrouter.scenario import Scenario
from disrouter_sidecar.openai import Dialect, PassThrough
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.pass_through.form import FORM
from disrouter_sidecar.openai.pass_through.request import MODEL
from disrouter_sidecar.openai.preference import EXTENSION

Schema = dict[str, Any]
VERSION = "3.1.0"
_ERROR = {"$ref": "#/components/schemas/Error"}
_SCENARIOS = [scenario.value for scenario in Scenario]
_PREFERENCE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT_OR_PARTS: Schema = {"type": ["string", "array", "null"], "items": {"type": "object"}}
_MESSAGE: Schema = {
    "type": "object",
    "required": ["role"],
    "properties": {"role": {"type": "string"}, "content": _TEXT_OR_PARTS},
}
_MESSAGES: Schema = {"type": "array", "items": _MESSAGE, "minItems": 1}
_TOKENS: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
_SUBJECTS: Mapping[str, tuple[str, Schema]] = {
    "/chat/completions": ("messages", _MESSAGES),
    "/messages": ("messages", _MESSAGES),
    "/completions": (
        "prompt",
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                _TOKENS,
                {"type": "array", "items": _TOKENS, "minItems": 1},
            ]
        },
    ),
    "/responses": (
        "input",
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {"type": "object", "properties": {"content": _TEXT_OR_PARTS}},
                    "minItems": 1,
                },
            ]
        },
    ),
}
"""What each API asks about, by its path."""
_EXTENSION: Schema = {
    "type": ["object", "null"],
    "properties": {
        "scenario": {"type": ["string", "null"], "enum": [*_SCENARIOS, None]},
        "preference": {"anyOf": [_PREFERENCE, {"type": "null"}]},
    },
    "additionalProperties": False,
}
_OBJECT: Schema = {"type": "object"}
_EVENTS: Schema = {
    "type": "object",
    "description": "Each server-sent event; its `data` is a piece of the answer as JSON, an `error`, or `[DONE]`.",
    "properties": {"data": {"type": "string"}},
}
_MODEL_ID: Schema = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_ERROR_SCHEMA: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": ["string", "null"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}


def document(dialects: Sequence[Dialect], pass_through: Sequence[PassThrough], version: str) -> Schema:
    """The whole document; `version` is the package's."""
    text = {"text/plain": {"schema": {"type": "string"}}}
    paths: dict[str, Schema] = {f"/v1{dialect.path}": {"post": _ask(dialect)} for dialect in dialects}
    paths |= {f"/v1{api.path}": {"post": _pass(api)} for api in pass_through}
    paths["/v1/models"] = {"get": _get("The cascade and its agents.", _content(_OBJECT))}
    paths["/v1/models/{model}"] = {"get": _get("One of them.", _content(_OBJECT)) | {"parameters": [_MODEL_ID]}}
    paths["/openapi.json"] = {"get": _open("This document.", _content(_OBJECT))}
    paths["/healthz"] = {"get": _open("The process lives.", text)}
    ready = _open("A request would be served.", text)
    ready["responses"]["503"] = {"description": "Not yet, or not any more.", "content": text}
    paths["/readyz"] = {"get": ready}
    paths["/metrics"] = {"get": _open("Prometheus metrics.", text)}
    return {
        "openapi": VERSION,
        "info": {"title": "disrouter", "version": version, "description": "One endpoint, many models: docs/api.md."},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR_SCHEMA},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _ask(dialect: Dialect) -> Schema:
    subject, schema = _SUBJECTS[dialect.path]
    body = {
        "type": "object",
        "required": ["model", subject],
        "properties": {
            "model": {"type": "string", "minLength": 1, "description": "`<cascade>`, `<cascade>/<agent>` or an alias."},
            subject: schema,
            "stream": {"type": ["boolean", "null"]},
            EXTENSION: _EXTENSION,
        },
    }
    answer = {**_content(_OBJECT), "text/event-stream": {"schema": _EVENTS}}
    return {
        **_get("An agent's answer, whole or with `stream` as events.", answer),
        "operationId": dialect.name,
        "parameters": [
            {"name": HEADER_SCENARIO, "in": "header", "schema": {"type": "string", "enum": _SCENARIOS}},
            {"name": HEADER_PREFERENCE, "in": "header", "schema": _PREFERENCE},
        ],
        "requestBody": {"required": True, "content": _content(body)},
    }


def _pass(api: PassThrough) -> Schema:
    model = {"type": "string", "minLength": 1, "description": "`<cascade>/<agent>`, or the alias of an agent."}
    content = _content({"type": "object", "required": [MODEL], "properties": {MODEL: model}})
    if api.form:
        content[FORM] = content[JSON]
    return {
        **_get("What the engine of the agent that `model` names has replied.", {"*/*": {}}),
        "operationId": api.name,
        "requestBody": {"required": True, "content": content},
    }


def _get(description: str, content: Schema) -> Schema:
    """An operation that asks for an API key where the cascade has some."""
    return {**_open(description, content), "security": [{}, {"key": []}]}


def _open(description: str, content: Schema) -> Schema:
    failed = {"description": "What is wrong, in OpenAI's shape.", "content": _content(_ERROR)}
    return {"responses": {"200": {"description": description, "content": content}, "default": failed}}


def _content(schema: Schema) -> Schema:
    return {JSON: {"schema": schema}}
