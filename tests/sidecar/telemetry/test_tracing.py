"""Spans from the client's trace through every hop, with the decisions; nothing of it where it is off."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from disrouter_sidecar.telemetry.tracing import OFF, OpenTelemetry, tracing_of
from support.fake_engine import Script
from support.sidecars import REFUSAL, Cascade, cascade

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def traced(tmp_path: Path, exporter: InMemorySpanExporter) -> AsyncIterator[Cascade]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with cascade(tmp_path) as three:
        for agent in three.agents.values():
            agent.service.tracing = OpenTelemetry(provider)
        yield three
    provider.shutdown()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_trace_goes_from_the_client_through_every_hop(
    traced: Cascade, exporter: InMemorySpanExporter, stream: bool
) -> None:
    traced.scripts(REFUSAL, Script(status=500, body=b"broken"), "four")
    response = await traced.ask(headers={**CONTEXT, "x-request-id": "abc"}, stream=stream)
    await response.read()
    spans = exporter.get_finished_spans()
    assert {format(span.context.trace_id, "032x") for span in spans if span.context} == {TRACE}
    served = {
        str(span.attributes["disrouter.agent"]): span for span in spans if span.attributes and span.name == "chat qwen"
    }
    asked = [span for span in spans if span.name.startswith("ask")]
    assert set(served) == {"small", "medium", "large"}
    assert sorted(f"{span.name} {(span.attributes or {})['disrouter.decision']!s}" for span in asked) == [
        "ask large answer", "ask large answer", "ask medium answer", "ask medium failover", "ask small refuse",
    ]  # fmt: skip
    entry = served["small"].attributes or {}
    assert entry["gen_ai.operation.name"] == "chat"
    assert entry["gen_ai.request.model"] == "qwen"
    assert entry["disrouter.path"] == "small,medium,large"
    assert entry["disrouter.request_id"] == "abc"
    assert entry["http.response.status_code"] == 200
    parent = served["small"].parent
    assert parent is not None
    assert format(parent.span_id, "016x") == PARENT
    by_id = {span.context.span_id: span for span in spans if span.context}
    for name, before in (("medium", "ask medium"), ("large", "ask large")):
        above = served[name].parent
        assert above is not None
        assert by_id[above.span_id].name == before
    sent = traced.entry.engine.headers[0]["traceparent"]
    assert sent.split("-")[1] == TRACE
    assert sent.split("-")[2] != PARENT


async def test_no_words_and_no_keys_are_in_a_span(traced: Cascade, exporter: InMemorySpanExporter) -> None:
    traced.scripts(REFUSAL, "secret answer", "unused")
    question = [{"role": "user", "content": "secret question"}]
    await traced.ask(headers={"authorization": "Bearer secret-key"}, messages=question)
    await traced.post(b'{"secret question"')
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "invalid_request" in told
    assert "secret" not in told


async def test_off_the_clients_context_passes_through(three: Cascade) -> None:
    three.scripts(REFUSAL, "four", "unused")
    await three.ask(headers={**CONTEXT, "tracestate": "a=b"})
    for name in ("small", "medium"):
        headers = three.agents[name].engine.headers[0]
        assert (headers["traceparent"], headers["tracestate"]) == (CONTEXT["traceparent"], "a=b")


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An OTLP receiver over HTTP."""
    received: list[ExportTraceServiceRequest] = []

    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receive) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def test_spans_reach_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with collector() as (url, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        tracing = tracing_of({"OTEL_EXPORTER_OTLP_ENDPOINT": url}, "qwen", "small")
        served = tracing.serve("chat", "qwen", {})
        span = served.ask("small")
        span.set_attribute("disrouter.decision", "answer")
        span.set_attribute("nothing", None)
        span.end()
        served.end()
        tracing.close()
    resources = [each for request in received for each in request.resource_spans]
    attributes = {pair.key: pair.value.string_value for pair in resources[0].resource.attributes}
    assert attributes["service.name"] == "disrouter-sidecar"
    assert attributes["disrouter.agent"] == "small"
    spans = [span for each in resources for scope in each.scope_spans for span in scope.spans]
    assert sorted(span.name for span in spans) == ["ask small", "chat qwen"]


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
    ],
)
def test_it_is_off_unless_an_exporter_is_named(env: dict[str, str]) -> None:
    tracing = tracing_of(env, "qwen", "small")
    assert tracing is OFF, "which the fast path looks for"
    span = tracing.serve("x", "y", {})
    span.set_attribute("a", 1)
    span.ask("y").end()
    OFF.close()
