"""What is measured: the engine itself, the sidecar, and the proxies to compare with, each in its best plain set-up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.cascade import CASCADE, sidecars
from bench.errors import MissingRival
from bench.processes import Command, free_ports

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_max_body_size 8m; client_body_buffer_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 2048; keepalive_requests 100000000; keepalive_timeout 600s; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""
LITELLM = """
model_list:
- model_name: engine
  litellm_params: {{model: openai/engine, api_base: "http://127.0.0.1:{engine}/v1", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""
INSTALL_RIVALS = "make .venv-rivals/.ready"


@dataclass(frozen=True)
class Place:
    """Where targets are set up: a scratch folder, the engine's two ports, and the rivals' environment."""

    folder: Path
    answering: int
    refusing: int
    rivals: Path


@dataclass(frozen=True)
class Target:
    """Where requests go, under which model name, and what has to run for it."""

    name: str
    port: int
    model: str = "engine"
    commands: tuple[Command, ...] = ()
    start_seconds: float = 30.0


def direct(place: Place) -> Target:
    """No proxy at all: what engine and load generator can do."""
    return Target("direct", place.answering)


def nginx(place: Place) -> Target:
    """A plain reverse proxy: one worker, keep-alive on both sides, nothing buffered, no log."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise MissingRival("nginx", "apt-get install nginx-light (on Debian)")
    [port], folder = free_ports(1), place.folder / "nginx"
    folder.mkdir(exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, engine=place.answering, port=port))
    return Target("nginx", port, commands=(Command((program, "-c", str(config), "-e", str(folder / "error.log"))),))


def sidecar(place: Place) -> Target:
    """One sidecar that instructs, asks, decides and relays."""
    ports = free_ports(1)
    commands = sidecars(place.folder / "sidecar", ports, [place.answering], last_decides=True)
    return Target("sidecar", ports[0], CASCADE, commands)


def chain(place: Place) -> Target:
    """Three sidecars, of which two refuse."""
    ports, engines = free_ports(3), [place.refusing, place.refusing, place.answering]
    commands = sidecars(place.folder / "chain", ports, engines, last_decides=False)
    return Target("chain", ports[0], CASCADE, commands)


def vllm_router(place: Place) -> Target:
    """vLLM's own router, in Rust, with one worker behind it."""
    program = _rival(place, "vllm-router")
    port, metrics = free_ports(2)
    words = (
        program, "--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(metrics),
        "--worker-urls", f"http://127.0.0.1:{place.answering}", "--policy", "round_robin",
        "--max-concurrent-requests", "4096", "--log-level", "warning",
    )  # fmt: skip
    return Target("vllm-router", port, commands=(Command(words),), start_seconds=60.0)


def litellm(place: Place) -> Target:
    """LiteLLM's proxy with one worker, without database and keys."""
    program, [port] = _rival(place, "litellm"), free_ports(1)
    config = place.folder / "litellm.yaml"
    config.write_text(LITELLM.format(engine=place.answering))
    words = (program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Target("litellm", port, commands=(Command(words, env),), start_seconds=120.0)


RIVALS = ("nginx", "vllm-router", "litellm")
"""Without one of these the others are still measured."""
MAKERS: dict[str, Callable[[Place], Target]] = {
    "direct": direct,
    "nginx": nginx,
    "sidecar": sidecar,
    "chain": chain,
    "vllm-router": vllm_router,
    "litellm": litellm,
}


def _rival(place: Place, name: str) -> str:
    program = place.rivals / "bin" / name
    if not program.exists():
        raise MissingRival(name, INSTALL_RIVALS)
    return str(program)
