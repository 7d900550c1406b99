"""Ask a cascade one question; the answer goes to standard output, how it was routed to standard error.

examples:
  disrouter ask "What is 7 * 8?"
  disrouter ask "What is 7 * 8?" --scenario performance-first --stream
  disrouter ask "What is 7 * 8?" --agent large        this agent alone
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

from disrouter import names
from disrouter_cli.errors import CliError
from disrouter_cli.options import add_namespace, add_state, state_folder


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", help="the user's message; - reads it from standard input")
    parser.add_argument("--cascade", help="name of the cascade, where there are several")
    parser.add_argument("--agent", help="ask this agent alone; it answers without the chance to refuse")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--scenario", help="performance-first, balance or cost-first")
    chosen.add_argument(
        "--preference", type=float, metavar="ALPHA", help="0 (performance only) to 1 (cost weighs most)"
    )
    parser.add_argument("--stream", action="store_true", help="print the answer as it comes")
    parser.add_argument("--max-tokens", type=int, help="longest answer in tokens")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds (default 120)")
    add_namespace(parser)
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from openai import APIError, OpenAI

    from disrouter_cli import cluster

    cascade = cluster.find(state_folder(args).store(), args.cascade, args.namespace)
    url = (cascade.get("status") or {}).get("url")
    if not url:
        ready = cluster.condition(cascade, "Ready")
        raise CliError(f"{cascade['metadata']['name']} has no endpoint yet: {ready['reason']} - {ready['message']}")
    client = OpenAI(base_url=url, api_key="none", timeout=args.timeout)
    began = time.monotonic()
    try:
        response = client.chat.completions.with_raw_response.create(**_request(args, cascade["metadata"]["name"]))
        _print_answer(response.parse(), stream=args.stream)
    except APIError as error:
        raise CliError(f"{url}: {_reason(error)}") from None
    print(_route(response.headers, time.monotonic() - began), file=sys.stderr)
    return 0


def _request(args: argparse.Namespace, cascade: str) -> dict[str, Any]:
    question = sys.stdin.read() if args.question == "-" else args.question
    preference = {"scenario": args.scenario, "preference": args.preference}
    given = {name: value for name, value in preference.items() if value is not None}
    request: dict[str, Any] = {
        "model": f"{cascade}/{args.agent}" if args.agent else cascade,
        "messages": [{"role": "user", "content": question}],
        "stream": args.stream,
    }
    if given:
        request["extra_body"] = {"disrouter": given}
    if args.max_tokens is not None:
        request["max_tokens"] = args.max_tokens
    return request


def _print_answer(answer: Any, *, stream: bool) -> None:
    if not stream:
        print(answer.choices[0].message.content or "")
        return
    for chunk in answer:
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()


def _route(headers: Mapping[str, str], seconds: float) -> str:
    path = headers.get(names.HEADER_PATH, "").replace(",", " -> ") or headers.get(names.HEADER_AGENT, "?")
    scenario = headers.get(f"{names.HEADER_PREFIX}scenario", "")
    return f"[{path}] {scenario} {seconds * 1000:.0f} ms"


def _reason(error: Any) -> str:
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return f"{message or error}; `disrouter get -o wide` shows the agents"
