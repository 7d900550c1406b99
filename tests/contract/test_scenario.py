"""PreferenceEncoding say what the paper says, and a chat is instructed the same way wherever it is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter.errors import InvalidRequest
from disrouter.scenario import (
    PROMPTED_SUFFIX,
    Scenario,
    alpha_of,
    instruct,
    nearest,
    parse_scenario,
    prompt_of,
    reject_threshold,
)


def test_alphas_are_those_of_section_2() -> None:
    assert [scenario.alpha for scenario in Scenario] == [0.2, 0.5, 0.8]


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.0, "performance-first"), (0.34, "performance-first"), (0.35, "performance-first"),
                            (0.36, "balance"), (0.65, "balance"), (0.66, "cost-first"), (1.0, "cost-first")]
)  # fmt: skip
def test_the_nearest_scenario_is_used_and_a_tie_is_careful(alpha: float, expected: str) -> None:
    assert nearest(alpha) == expected


def test_a_preference_outside_the_range_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"\[0, 1\], got 1.2"):
        nearest(1.2)


@pytest.mark.parametrize("text", ["Cost First", "cost_first", " cost-first "])
def test_a_scenario_is_forgiving_about_its_spelling(text: str) -> None:
    assert parse_scenario(text) is Scenario.COST_FIRST


def test_an_unknown_scenario_names_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="performance-first, balance, cost-first"):
        parse_scenario("cheap")


def test_thresholds_are_those_of_the_paper() -> None:
    assert reject_threshold(0.2, gamma=1.0) == pytest.approx(0.8), "delta of section 3.2.2"
    assert reject_threshold(0.5) == pytest.approx(0.5**0.5)
    assert reject_threshold(0.8, gamma=1.0) == pytest.approx(0.2)


def test_a_stated_preference_is_told_in_two_decimals_and_means_what_it_is_told_as() -> None:
    assert prompt_of(0.346).startswith("Scenario: Preference 0.35. On a scale from 0, ")
    assert alpha_of(0.346) == 0.35
    assert prompt_of(0.2) != prompt_of(Scenario.PERFORMANCE_FIRST), "a number is stated even where a scenario has it"
    (message,) = instruct([{"role": "user", "content": "2+2?"}], 1.0)
    assert message["content"] == f"{prompt_of(1.0)}\n2+2?"


def test_a_stated_preference_outside_the_range_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"\[0, 1\], got -0.1"):
        prompt_of(-0.1)


def test_the_first_user_message_starts_with_the_instruction_and_the_rest_is_untouched() -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "and 3+3?"},
    ]
    out = instruct(chat, Scenario.BALANCE)
    assert out[1]["content"] == f"{Scenario.BALANCE.prompt}\n2+2?"
    assert [out[0], *out[2:]] == [chat[0], *chat[2:]]
    assert chat[1]["content"] == "2+2?"


def test_content_in_parts_gets_a_text_part_in_front() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    (message,) = instruct([{"role": "user", "content": [image]}], Scenario.COST_FIRST)
    assert message["content"] == [{"type": "text", "text": f"{Scenario.COST_FIRST.prompt}\n"}, image]


def test_a_prompted_agent_is_told_the_words_of_the_refusal() -> None:
    (message,) = instruct([{"role": "user", "content": "x"}], Scenario.BALANCE, prompted=True)
    assert message["content"] == f"{Scenario.BALANCE.prompt}{PROMPTED_SUFFIX}\nx"
    assert PROMPTED_SUFFIX.endswith("I don't know!")


def test_a_chat_without_a_user_is_instructed_by_the_system() -> None:
    out = instruct([{"role": "assistant", "content": "hello"}], Scenario.BALANCE)
    assert out[0] == {"role": "system", "content": Scenario.BALANCE.prompt}


def test_content_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="string or a list of parts"):
        instruct([{"role": "user", "content": 7}], Scenario.BALANCE)


@given(
    st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text()}))
)
def test_nothing_a_client_sent_is_lost(chat: list[dict[str, str]]) -> None:
    out = instruct(chat, Scenario.BALANCE)
    tail = out[len(out) - len(chat) :]
    for before, after in zip(chat, tail, strict=True):
        assert after["role"] == before["role"]
        assert after["content"].endswith(before["content"])
