"""OpenTelemetry: a span for each request and one below it for each agent that is asked, joined from hop to hop.

Off, and never imported, unless the standard environment names an exporter. Off, a client's own trace context passes
through; on, every request carries the span that it belongs to (W3C Trace Context). No span holds words or keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from disrouter_sidecar.errors import InvalidConfig
from disrouter_sidecar.ports import Headers

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TRACE_HEADERS = ("traceparent", "tracestate")
SERVICE = "disrouter-sidecar"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTER = "OTEL_TRACES_EXPORTER"
Attribute = str | int | float | bool


_NAMES = {"model": "gen_ai.request.model", "status": "http.response.status_code"}
"""Facts for which OpenTelemetry's conventions have names."""


class Span(Protocol):
    """What can be said of a piece of work while it is done."""

    def tell(self, name: str, value: Attribute | None) -> None:
        """An attribute; None says nothing."""
        ...

    def sum_up(self, operation: str, facts: Mapping[str, object]) -> None:
        """All that the log tells of a request, and the name of its API."""
        ...


class Tracing(Protocol):
    """Opens spans."""

    def serve(self, name: str, headers: Headers) -> AbstractContextManager[Span]:
        """A request from outside, below the span that its headers name."""
        ...

    def ask(self, agent: str) -> AbstractContextManager[Span]:
        """One agent, asked within the request."""
        ...

    def outgoing(self, headers: Headers) -> Headers:
        """The trace context for what is asked now; `headers` are the client's."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class _Nothing:
    """A span that nobody sees."""

    def __enter__(self) -> Span:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def tell(self, _name: str, _value: Attribute | None, /) -> None:
        return None

    def sum_up(self, _operation: str, _facts: Mapping[str, object], /) -> None:
        return None


_NOTHING = _Nothing()


class Off:
    """`Tracing` without any."""

    def serve(self, _name: str, _headers: Headers, /) -> AbstractContextManager[Span]:
        return _NOTHING

    def ask(self, _agent: str, /) -> AbstractContextManager[Span]:
        return _NOTHING

    def outgoing(self, headers: Headers) -> Headers:
        return {name: value for name in TRACE_HEADERS if (value := headers.get(name)) is not None}

    def close(self) -> None:
        return None


OFF = Off()


class OpenTelemetry:
    """`Tracing` by OpenTelemetry's SDK."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("disrouter_sidecar")
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = trace.SpanKind

    @contextmanager
    def serve(self, name: str, headers: Headers) -> Iterator[Span]:
        """A server span; an error that the client is told of is no failure of the process and no event."""
        parent = self._propagator.extract(headers)
        with self._tracer.start_as_current_span(
            name, parent, self._kinds.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _Told(span)

    @contextmanager
    def ask(self, agent: str) -> Iterator[Span]:
        """A client span. A refusal or a failure is told by the decision, not as an exception."""
        with self._tracer.start_as_current_span(
            f"ask {agent}", kind=self._kinds.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _Told(span)

    def outgoing(self, headers: Headers) -> Headers:
        """The current span's context; the client's own is its parent already."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier or Off().outgoing(headers)

    def close(self) -> None:
        """Bounded by the exporter's own timeout."""
        self._provider.shutdown()


class _Told:
    def __init__(self, span: object) -> None:
        self._span = span

    def tell(self, name: str, value: Attribute | None) -> None:
        if value is not None:
            self._span.set_attribute(name, value)  # type: ignore[attr-defined]

    def sum_up(self, operation: str, facts: Mapping[str, object]) -> None:
        self.tell("gen_ai.operation.name", operation)
        for name, value in facts.items():
            plain = value if isinstance(value, str | int | float) or value is None else str(value)
            self.tell(_NAMES.get(name, f"disrouter.{name}"), plain)


def tracing_of(env: Mapping[str, str], cascade: str, agent: str) -> Tracing:
    """By OpenTelemetry's own variables. Raises InvalidConfig where traces are wanted and the SDK is not installed."""
    if not _wanted(env):
        return Off()
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
