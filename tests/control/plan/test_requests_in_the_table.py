"""What the manifest says of requests, and of what engines can do with them, reaches the sidecars in the route table."""

from __future__ import annotations

import pytest

from disrouter.routes import AliasRoute, Capabilities, Timeouts
from support import clusters
from support.scenes import serving


async def test_what_the_manifest_says_of_requests_and_engines_is_in_the_table() -> None:
    manifest = clusters.example(
        timeouts={"whole": 60, "keepAlive": 5},
        undecidable="answer",
        keptDecisions=100,
        aliases=[{"name": "gpt-4o"}, {"name": "meta-llama/Llama-3.1-8B", "agent": "medium"}],
        cors={"origins": ["https://app.example.com", "http://localhost:3000"]},
    )
    small, medium, large = manifest["spec"]["agents"]
    small["capabilities"] = {"images": False, "audio": False, "tools": True, "structuredOutput": True}
    small["selfAwareness"] = {"mode": "prompted", "deferralTool": True}
    small["maxInflight"] = 8
    assert medium["engine"] == {"args": ["--max-model-len=8192"]}
    large["capabilities"] = {"contextLength": 200_000}
    large["selfAwareness"] = {"mode": "none", "promptOpensReasoning": True}
    table = (await serving(manifest, "small", "medium", "large")).table()
    assert table.timeouts == Timeouts(whole=60, keep_alive=5)
    assert (table.undecidable, table.kept_decisions) == ("answer", 100)
    assert table.aliases == {"gpt-4o": AliasRoute(), "meta-llama/Llama-3.1-8B": AliasRoute(agent="medium")}
    assert table.cors_origins == ["https://app.example.com", "http://localhost:3000"]
    assert {name: route.capabilities for name, route in table.agents.items()} == {
        "small": Capabilities(images=False, audio=False, tools=True, structured_output=True),
        "medium": Capabilities(context_length=8192),
        "large": Capabilities(context_length=200_000),
    }
    assert {name: route.max_inflight for name, route in table.agents.items()} == {
        "small": 8,
        "medium": None,
        "large": None,
    }
    said = {name: (route.deferral_tool, route.prompt_opens_reasoning) for name, route in table.agents.items()}
    assert said == {"small": (True, False), "medium": (False, False), "large": (False, True)}


async def test_an_alias_comes_and_goes_with_its_agent() -> None:
    manifest = clusters.example(
        aliases=[{"name": "any"}, *({"name": f"a-{n}", "agent": n} for n in ("small", "large"))]
    )
    manifest["spec"]["agents"][0]["selfAwareness"] = {"mode": "trained", "untrained": "hold"}
    scene = await serving(manifest, "medium", "large")
    assert set(scene.table().agents) == {"medium", "large"}
    assert scene.table().aliases == {"any": AliasRoute(), "a-large": AliasRoute(agent="large")}
    await scene.train("small", 0.1)
    scene.serve("small")
    await scene.run()
    assert scene.table().aliases["a-small"] == AliasRoute(agent="small")


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        (["--max-model-len=8192"], 8192),
        (["--dtype=half", "--max-model-len", "8192", "--enforce-eager"], 8192),
        (["--max_model_len=8192"], 8192),
        (["--max-model-len=4096", "--max-model-len", "8192"], 8192),
        (["--max-model-len=8192", "--max-model-len=auto"], None),
        (["--max-model-len=8k"], None),
        (["--max-model-len=-1"], None),
        (["--max-model-len=0"], None),
        (["--max-model-len=100000001"], None),
        (["--max-model-len="], None),
        (["--max-model-len"], None),
        (["--max-model-length=8192", "8192"], None),
        ([], None),
    ],
    ids=str,
)
async def test_the_context_that_an_engine_is_told_is_in_the_table(arguments: list[str], length: int | None) -> None:
    manifest = clusters.example()
    manifest["spec"]["agents"][0]["engine"] = {"args": arguments}
    scene = await serving(manifest, "small", "medium", "large")
    assert scene.table().agents["small"].capabilities == Capabilities(context_length=length)


async def test_a_context_of_the_manifest_outranks_the_engines() -> None:
    manifest = clusters.example()
    manifest["spec"]["agents"][0] |= {
        "engine": {"args": ["--max-model-len=8192"]},
        "capabilities": {"contextLength": 4096},
    }
    scene = await serving(manifest, "small", "medium", "large")
    assert scene.table().agents["small"].capabilities == Capabilities(context_length=4096)
