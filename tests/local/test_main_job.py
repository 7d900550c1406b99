"""`disrouter up|apply|get|ask|ps|logs|down` with real engines: one manifest in, routed answers out."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from support import tiny_model
from support.home import PATIENCE, Home
from support.local import alive

pytestmark = pytest.mark.timeout(900)
READY_SECONDS = 240.0
"""Engines come up in seconds; on a very busy machine each takes a minute."""
MODEL = {"model": {"uri": "pvc://models/tiny"}}
SMALL = {"name": "small", "cost": 0.1, "selfAwareness": {"mode": "prompted"}, **MODEL}
MEDIUM = {"name": "medium", "cost": 0.4, "selfAwareness": {"mode": "prompted"}, **MODEL}
LARGE = {"name": "large", "cost": 0.9, **MODEL}
PROVIDER = {"name": "remote", "cost": 0.9, "external": {"url": "http://127.0.0.1:9/v1", "model": "m"}}
"""An agent that is a sidecar alone, up in a second; nobody listens where it forwards to."""
ANSWERS = {tiny_model.KNOWN: tiny_model.ANSWER, tiny_model.UNKNOWN: tiny_model.LAST_ANSWER}


class Traffic:
    """Asks all the time, without retries, and remembers what went wrong."""

    def __init__(self, url: str) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._client.close()

    def _ask(self) -> None:
        while not self._ending.is_set():
            for question, answer in (
                (tiny_model.KNOWN, tiny_model.ANSWER),
                (tiny_model.UNKNOWN, tiny_model.LAST_ANSWER),
            ):
                message: Any = {"role": "user", "content": question}
                try:
                    reply = self._client.chat.completions.create(model="pool", messages=[message], temperature=0)
                    assert reply.choices[0].message.content == answer, reply
                except (openai.OpenAIError, AssertionError) as error:
                    self.failures.append(repr(error))
                self.answered += 1


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.run("down")


def test_agents_come_and_go_while_every_request_is_answered(home: Home) -> None:
    tiny_model.build(home.folder / "models" / "tiny")
    home.run("up", home.write(SMALL, LARGE), "--volume", "models=models", "--detach")
    told = home.run("wait", "--timeout", str(READY_SECONDS)).stdout
    assert "pool: Ready, agents 2/2" in told

    known, unknown = home.run("ask", tiny_model.KNOWN), home.run("ask", tiny_model.UNKNOWN, "--stream")
    assert (known.stdout, known.stderr[:7]) == (f"{tiny_model.ANSWER}\n", "[small]")
    assert (unknown.stdout, unknown.stderr[:16]) == (f"{tiny_model.LAST_ANSWER}\n", "[small -> large]")
    pinned = home.run("ask", tiny_model.KNOWN, "--agent", "large", "--scenario", "cost-first")
    assert pinned.stderr.startswith("[large]")
    assert "unknown scenario 'never'; use one of" in home.run("ask", "x", "--scenario", "never", code=1).stderr
    assert "a runtime (pid " in home.run("up", code=1).stderr

    before = home.pids()
    with Traffic(home.cascade()["status"]["url"]) as traffic:
        home.run("apply", "-f", home.write(SMALL, MEDIUM, LARGE))
        home.run("wait", "--timeout", str(READY_SECONDS))
        with_medium = home.pids()
        passed = home.run("ask", tiny_model.UNKNOWN).stderr
        home.run("apply", "-f", home.write(SMALL, LARGE))
        home.wait(lambda: home.pids().keys() == before.keys())
    assert traffic.failures == []
    assert traffic.answered > 10
    assert passed.startswith("[small -> medium -> large]")
    assert home.pids() == before
    assert {name: pid for name, pid in with_medium.items() if not name.startswith("medium/")} == before
    assert home.agents() == ["small", "large"]

    assert "[pool-small-predictor-" in home.run("logs", "small", "--tail", "1").stdout
    assert "2 pods, 4 processes" in home.run("down").stdout
    assert not any(alive(pid) for pid in before.values())


def test_a_surge_asks_the_new_pods_moves_requests_there_and_loses_none(home: Home) -> None:
    tiny_model.build(home.folder / "models" / "tiny")
    home.run("up", home.write(SMALL, LARGE, rollout="surge"), "--volume", "models=models", "--detach")
    home.run("wait", "--timeout", str(READY_SECONDS))
    before, old = home.pids(), _workload(home, "small")
    changed = {**SMALL, "engine": {"env": [{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}]}}
    with Traffic(home.cascade()["status"]["url"]) as traffic:
        home.run("apply", "-f", home.write(changed, LARGE, rollout="surge"))
        home.wait(lambda: _workload(home, "small") != old)
        home.wait(lambda: not alive(before["small/kserve-container"]))
    after = home.pids()
    assert traffic.failures == []
    assert traffic.answered > 10
    assert {name for name in before if after[name] != before[name]} == {
        "small/kserve-container",
        "small/transformer-container",
    }


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_cleanly(home: Home, stop: signal.Signals) -> None:
    up = home.start(home.write(PROVIDER))
    pids = _ready(home)
    up.send_signal(stop)
    told, _ = up.communicate(timeout=PATIENCE)
    assert up.returncode == 130
    assert "READY   http://127.0.0.1:" in told
    assert "curl" in told
    assert told.rstrip().endswith("stopping ...")
    assert not any(alive(pid) for pid in pids)
    assert "nothing runs" in home.run("down").stdout


def test_kill_9_leaves_no_orphan_and_the_next_up_goes_on(home: Home) -> None:
    up = home.start(home.write(PROVIDER))
    pids = _ready(home)
    url = home.cascade()["status"]["url"]
    up.kill()
    up.communicate()
    home.wait(lambda: not any(alive(pid) for pid in pids))
    home.run("up", "--detach")
    runtime = json.loads((home.folder / ".disrouter" / "runtime.json").read_text())["pid"]
    pids = _ready(home)
    assert home.cascade()["status"]["url"] == url
    os.kill(runtime, signal.SIGKILL)
    home.wait(lambda: not any(alive(pid) for pid in pids))


def test_deleting_a_cascade_leaves_nothing_behind(home: Home) -> None:
    home.run("up", home.write(PROVIDER), "--detach")
    pids = _ready(home)
    home.run("delete", "pool")
    home.wait(lambda: not any(alive(pid) for pid in pids))
    objects = home.folder / ".disrouter" / "objects"
    home.wait(lambda: {path.parts[-3] for path in objects.glob("*/*/*.json")} <= {"events"})


def _workload(home: Home, agent: str) -> str:
    """What an agent's requests go to."""
    return next(str(each["workload"]) for each in home.cascade()["status"]["agents"] if each["name"] == agent)


def _ready(home: Home) -> list[int]:
    """Pids once the cascade serves."""
    home.wait((home.folder / ".disrouter" / "runtime.json").exists)
    home.run("wait", "--timeout", str(READY_SECONDS))
    return list(home.pids().values())
