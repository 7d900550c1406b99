"""OpenTelemetry: a span for each request and one below it for each agent that is asked, joined from hop to hop.

Off, and never imported, unless the standard environment names an exporter. Off, a client's own trace context passes
through; on, every request carries the span that it belongs to (W3C Trace Context). No span holds texts or keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from disrouter_sidecar.errors import InvalidConfig
from disrouter_sidecar.headers import Headers

if TYPE_CHECKING:
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

TRACE_HEADERS = ("traceparent", "tracestate")
SERVICE = "disrouter-sidecar"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTER = "OTEL_TRACES_EXPORTER"
Attribute = str | int | float | bool


_NAMES = {"model": "gen_ai.request.model", "status": "http.response.status_code"}
"""Facts for which OpenTelemetry's conventions have names."""


class Span(Protocol):
    """One piece of work, until `end`."""

    @property
    def seen(self) -> bool:
        """Whether it is exported."""
        ...

    def ask(self, agent: str) -> Span:
        """One agent, asked within it."""
        ...

    def outgoing(self, headers: Headers) -> Headers:
        """The trace context for what is asked within it; `headers` are the client's."""
        ...

    def set_attribute(self, name: str, value: Attribute | None) -> None:
        """Set an attribute; None is ignored."""
        ...

    def summarize(self, operation: str, facts: Mapping[str, object]) -> None:
        """Set the fields of a request's log line, and the name of its API."""
        ...

    def end(self) -> None:
        """The work is done."""
        ...


class Tracing(Protocol):
    """Opens spans."""

    def serve(self, operation: str, cascade: str, headers: Headers) -> Span:
        """A request from outside, below the span that its headers name."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class _NoSpan:
    """A span that is not exported."""

    seen = False

    def ask(self, _agent: str, /) -> Span:
        return self

    def outgoing(self, headers: Headers) -> Headers:
        if TRACE_HEADERS[0] not in headers and TRACE_HEADERS[1] not in headers:
            return _NO_HEADERS
        return {name: value for name in TRACE_HEADERS if (value := headers.get(name)) is not None}

    def set_attribute(self, _name: str, _value: Attribute | None, /) -> None:
        return None

    def summarize(self, _operation: str, _facts: Mapping[str, object], /) -> None:
        return None

    def end(self) -> None:
        return None


_NO_SPAN = _NoSpan()
_NO_HEADERS: Headers = {}


class Off:
    """`Tracing` without any."""

    def serve(self, _operation: str, _cascade: str, _headers: Headers, /) -> Span:
        return _NO_SPAN

    def close(self) -> None:
        return None


OFF = Off()


class OpenTelemetry:
    """`Tracing` by OpenTelemetry's SDK."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("disrouter_sidecar")
        self._propagator = TraceContextTextMapPropagator()

    def serve(self, operation: str, cascade: str, headers: Headers) -> Span:
        """A server span."""
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(f"{operation} {cascade}", self._propagator.extract(headers), SpanKind.SERVER)
        return _OpenTelemetrySpan(self._tracer, self._propagator, span)

    def close(self) -> None:
        """Bounded by the exporter's own timeout."""
        self._provider.shutdown()


class _OpenTelemetrySpan:
    """A span of OpenTelemetry's; a refusal or a failure is an attribute, not an exception."""

    seen = True

    def __init__(self, tracer: Tracer, propagator: TextMapPropagator, span: OtelSpan) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer = tracer
        self._propagator = propagator
        self._span = span
        self._context = set_span_in_context(span)

    def ask(self, agent: str) -> Span:
        """A client span below this one."""
        from opentelemetry.trace import SpanKind

        span = _OpenTelemetrySpan(
            self._tracer, self._propagator, self._tracer.start_span(f"ask {agent}", self._context, SpanKind.CLIENT)
        )
        span.set_attribute("disrouter.agent", agent)
        return span

    def outgoing(self, headers: Headers) -> Headers:
        """This span's context; the client's own is its parent already."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._context)
        return carrier or _NO_SPAN.outgoing(headers)

    def set_attribute(self, name: str, value: Attribute | None) -> None:
        if value is not None:
            self._span.set_attribute(name, value)

    def summarize(self, operation: str, facts: Mapping[str, object]) -> None:
        self.set_attribute("gen_ai.operation.name", operation)
        for name, value in facts.items():
            plain = value if isinstance(value, str | int | float) or value is None else str(value)
            self.set_attribute(_NAMES.get(name, f"disrouter.{name}"), plain)

    def end(self) -> None:
        self._span.end()


def tracing_of(env: Mapping[str, str], cascade: str, agent: str) -> Tracing:
    """By OpenTelemetry's own variables. Raises InvalidConfig where traces are wanted and the SDK is not installed."""
    if not _wanted(env):
        return OFF
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        message = "traces are asked for (OTEL_*) and OpenTelemetry is not installed: pip install 'disrouter[tracing]'"
        raise InvalidConfig(message) from None
    named = {"service.name": env.get("OTEL_SERVICE_NAME") or SERVICE}
    own = {"disrouter.cascade": cascade, "disrouter.agent": agent}
    provider = TracerProvider(resource=Resource.create({**named, **own}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetry(provider)


def _wanted(env: Mapping[str, str]) -> bool:
    exporter = env.get(_EXPORTER, "").strip().lower()
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter == "otlp" or any(env.get(name) for name in _ENDPOINTS)
