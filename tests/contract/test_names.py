"""Object names fit KServe and the API server whatever a user calls things; addresses resolve without surprises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter import names, uris

labels = st.from_regex(r"[a-z]([-a-z0-9]{0,18}[a-z0-9])?", fullmatch=True)


@given(st.from_regex(r"[a-z][a-z0-9]{0,35}", fullmatch=True), labels, labels)
def test_an_agents_object_fits_kserve(namespace: str, cascade: str, agent: str) -> None:
    name = names.agent_object(namespace, cascade, agent)
    assert names.is_dns_label(name)
    assert len(name) <= 48
    assert len(name) + len(namespace) <= 52


def test_long_names_that_begin_alike_stay_apart() -> None:
    one, two = (names.agent_object("default", "c" * 40, f"agent-{k}") for k in (1, 2))
    assert one != two


def test_short_names_stay_readable() -> None:
    assert names.agent_object("default", "qwen", "small") == "qwen-small"
    assert names.training_job("qwen", "small", "sft", "0123456789") == "qwen-small-sft-0123456789"


def test_a_claims_path_is_below_its_root_and_cannot_climb_out() -> None:
    assert uris.local_path("pvc://models/qwen/a", Path("/v")) == "/v/models/qwen/a"
    assert uris.local_path("hf://Qwen/Qwen2.5-0.5B") == "Qwen/Qwen2.5-0.5B"
    assert uris.local_path("file:///data/x.jsonl") == "/data/x.jsonl"
    with pytest.raises(ValueError, match=r"remove '\.\.'"):
        uris.parse("pvc://models/../secrets")
    with pytest.raises(ValueError, match="use hf://"):
        uris.parse("models/qwen")
