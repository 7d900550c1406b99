"""The refusal matcher: what it says never depends on how the text was cut, and what it said it does not take back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from disrouter.refusal import MAX_HELD, MAX_LEAD, REFUSAL, Decision, RefusalMatcher, is_refusal, judge, opens_reasoning
from disrouter.refusal.text import LONGEST_CLOSED, after_reasoning
from support.texts import CUTS, TEXTS, cut

ANSWER, REFUSE, UNDECIDED = Decision.ANSWER, Decision.REFUSE, Decision.UNDECIDED

GAPS = st.sampled_from([" ", "  ", "\n", "\t", "\u00a0"])
APOSTROPHES = st.sampled_from(["'", "’", "‘", "ʼ", "´", "`", "＇"])


def decide(pieces: Sequence[str]) -> Decision:
    """The final decision, checking on the way that none is taken back."""
    matcher = RefusalMatcher()
    seen = UNDECIDED
    for piece in pieces:
        decision = matcher.feed(piece)
        assert seen in (UNDECIDED, decision)
        assert matcher.decision is decision
        seen = decision
    final = matcher.finish()
    assert final is not UNDECIDED
    assert seen in (UNDECIDED, final)
    assert matcher.feed("anything") is final
    assert matcher.finish() is final
    return final


@settings(max_examples=300)
@given(text=TEXTS, places=CUTS)
@example(text="I don't know, but it is Rome", places=[12])
@example(text="I don't know.  ", places=[13, 14])
@example(text="<think>I don't know!</think> I don't know!", places=[3, 9, 25])
@example(text="<think>a</think><think>b</think>I don't know!", places=[17, 20])
@example(text=" " * 65 + "<think>a</think>I don't know!", places=[65])
@example(text="<|im_start|>assistant\nI don't know!", places=[5, 17])
@example(text="I don&#39;t know!", places=[6, 8])
@example(text="&lt;think&gt;a</think>I don't know!", places=[4])
@example(text="I don't know" + " " * 250 + "but Rome", places=[230])
@example(text="I  don't \n know!", places=[2, 3])
@example(text="I don't know!</think>I", places=[13])
def test_any_cut_gives_the_decision_of_the_whole(text: str, places: list[int]) -> None:
    whole = decide([text])
    assert decide(cut(text, places)) is whole
    assert decide(list(text)) is whole
    behind = after_reasoning(text)
    refuses = decide([behind]) is REFUSE
    if behind == text or refuses:  # else only the whole text tells that it began with reasoning
        assert is_refusal(text) is refuses


ENDS = [
    *(lead + REFUSAL[start:] for lead in ("", "</think>") for start in range(len(REFUSAL) + 1)),
    *(
        f"<{tag}></think>{REFUSAL}"[start:]
        for tag in ("think", "thinking", "|a|")
        for start in range(len("<thinking></think>"))
    ),
    *(f"{end}{REFUSAL[start:]}" for end in ("39;", ";", "#39;", "|>", "\n") for start in range(len(REFUSAL) + 1)),
    *(f"{role}\n{REFUSAL}"[start:] for role in ("assistant", "model", "final") for start in range(len(role))),
    *(
        f"{tag}{REFUSAL}"[start:]
        for tag in ("[/INST]", "[/THINK]", "<bos>", "<s>", "</think>", "◁/think▷")
        for start in range(len(tag))
    ),
]
"""Whatever can still make a refusal of a beginning."""


@settings(max_examples=300)
@given(text=TEXTS)
@example(text='"I don')
@example(text="<think>I don't know!</th")
@example(text=" " * MAX_LEAD)
def test_text_is_held_back_only_while_it_can_still_become_a_refusal_and_an_answer(text: str) -> None:
    assume(len(text) < MAX_HELD - len(REFUSAL))
    matcher = RefusalMatcher()
    if matcher.feed(text) is UNDECIDED:
        assert any(is_refusal(text + end) for end in ENDS)
        assert not is_refusal(text + "</think>Rome")


@given(text=TEXTS, more=st.text(max_size=40))
def test_what_is_decided_is_so_whatever_follows(text: str, more: str) -> None:
    matcher = RefusalMatcher()
    decision = matcher.feed(text)
    if decision is not UNDECIDED and after_reasoning(text + more) == text + more:
        assert is_refusal(text + more) is (decision is REFUSE)


LEADS = st.builds("{}{}".format, st.text(alphabet=" \n\t", max_size=8), st.sampled_from(["", '"', "“", "**", "*", "("]))
PHRASES = st.builds("{}{}don{}t{}know".format, st.sampled_from("iI"), GAPS, APOSTROPHES, GAPS)
TAILS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "!", ".", "…", "!!!", '."', "**", "!”", ".)"]),
    st.text(alphabet=" \n", max_size=4),
)


@given(lead=LEADS, phrase=PHRASES, case=st.sampled_from([str, str.upper, str.lower, str.title]), tail=TAILS)
def test_the_phrase_is_a_refusal_in_any_dress(lead: str, phrase: str, case: Callable[[str], str], tail: str) -> None:
    assert is_refusal(lead + case(phrase) + tail)


@pytest.mark.parametrize(
    "text",
    [
        REFUSAL,
        "I don't know",
        "I don’t know.",
        " I DON'T KNOW!\n",
        '"I don\'t know!"',
        "**I don't know!**",
        "<think>2+2... hm</think>\n\nI don't know!",
        "\n<think>\n</think>I don't know",
        "\u200b\ufeffI don't know!",
        "I do\u200bn't know!",
        "<|im_start|>assistant\nI don't know!<|im_end|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\nI don't know.<|eot_id|>",
        "<｜begin▁of▁sentence｜>I don't know!",
        "<start_of_turn>model\nI don't know!",
        "<s> I don't know</s>",
        "assistant\n\nI don't know!",
        "[/INST] I don't know!",
        "I don&#39;t know!",
        "I don&#x27;t know!",
        "I don&rsquo;t&nbsp;know!",
        "I don&amp;#39;t know!",
        "&quot;I don&apos;t know!&quot;",
        "ĠI▁don'tĠknow!",
        "Ｉ ｄｏｎ＇ｔ ｋｎｏｗ！",
        "The year is unclear to me.</think>\n\nI don't know!",
        "[THINK]hm[/THINK]I don't know!",
        "◁think▷hm◁/think▷I don't know!",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>I don't know!",
        "# I don't know!",
        "assistant: I don't know!",
        "MODEL:I don't know!",
        "assistant<|im_sep|>I don't know!",
        "analysis<|message|>hm<|channel|>final<|message|>I don't know!",
        '"*I don\'t know!*"',
        "[I don't know!]",
        *(f"{mark}I don't know!" for mark in "\x07\u034f\u200d\u2800\ufe00\ufe0f\ufffd"),
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)
    if after_reasoning(text) == text:
        assert decide(list(text)) is REFUSE


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "four",
        "I",
        "I don't",
        "I don't kno",
        "I don't know the exact year, but it was Rome.",
        "I don't know. Maybe Rome.",
        "I don't know who wrote it",
        "I don't knowingly lie!",
        "Well, I don't know!",
        "He said: I don't know!",
        "I do not know!",
        "<think>I don't know!</think>four",
        "<think>I don't know!",
        "<thinking>I don't know!",
        "Idon't know!",
        "assistant professor",
        "model 3",
        "<div>I don't know!</div>",
        "I don't know & Rome",
        "<|im_start|>assistant\nRome",
        "A tag like </think> ends it",
        "I don't know <b>that</b>",
        "analysis: I don't know!",
        "analysis\nI don't know!",
        "assistant, I don't know!",
        "\ufdffI don't know!",
        "\ufe10I don't know!",
        "&I don't know!",
        "[4] I don't know!",
    ],
)
def test_answers(text: str) -> None:
    assert not is_refusal(text)
    if after_reasoning(text) == text:
        assert decide(list(text)) is ANSWER


def test_the_canonical_refusal_is_known_at_its_mark_without_waiting_for_the_end() -> None:
    matcher = RefusalMatcher()
    assert [matcher.feed(piece) for piece in ("I", " don", "'t", " know", "!")] == [UNDECIDED] * 4 + [REFUSE]


def test_without_its_mark_only_the_end_tells() -> None:
    matcher = RefusalMatcher()
    assert matcher.feed("I don't know. ") is UNDECIDED
    assert matcher.finish() is REFUSE


@given(st.text(min_size=1, max_size=20))
def test_an_answer_is_known_at_the_first_letter_that_differs(text: str) -> None:
    matcher = RefusalMatcher()
    assert matcher.feed("The " + text) is ANSWER


@pytest.mark.parametrize("filler", ['"', "* ", "( "])
def test_a_lead_of_marks_is_not_held_for_ever(filler: str) -> None:
    matcher = RefusalMatcher()
    marks = 0
    while matcher.feed(filler) is UNDECIDED:
        marks += 1
        assert marks <= MAX_LEAD
    assert matcher.decision is ANSWER


@pytest.mark.parametrize("filler", [" ", "\n", "\u200b", "<|pad|>", "&nbsp;"])
def test_a_lead_that_shows_nothing_is_held_without_end_and_without_memory(filler: str) -> None:
    matcher = RefusalMatcher()
    for _ in range(1000):
        assert matcher.feed(filler) is UNDECIDED
    assert matcher._lead is not None
    assert matcher._lead.rest == ""
    assert matcher.feed(REFUSAL) is REFUSE


@pytest.mark.parametrize("filler", [" ", ".", "! "[1:], "…", '"'])
def test_an_undecided_tail_is_not_held_for_ever(filler: str) -> None:
    matcher = RefusalMatcher()
    matcher.feed("I don't know")
    held = 0
    while matcher.feed(filler) is UNDECIDED:
        held += len(filler)
        assert held <= MAX_HELD
    assert matcher.decision is REFUSE


@given(st.lists(st.text(st.characters(exclude_characters="<&]▷"), max_size=50), max_size=200))
def test_reasoning_is_not_kept_in_memory(pieces: list[str]) -> None:
    matcher = RefusalMatcher()
    matcher.feed("<think>")
    for piece in pieces:
        matcher.feed(piece)
    assert len(matcher._text) < LONGEST_CLOSED
    assert matcher.decision is UNDECIDED
    assert matcher.feed("</think>I don't know!") is REFUSE


@given(lead=LEADS, phrase=PHRASES, length=st.integers(1, 40), case=st.sampled_from([str, str.upper]))
@example(lead='"', phrase="I don't know", length=7, case=str)
@example(lead="", phrase="I \n don’t know", length=10, case=str)
def test_a_refusal_that_a_limit_cuts_off_anywhere_is_a_refusal(
    lead: str, phrase: str, length: int, case: Callable[[str], str]
) -> None:
    assert is_refusal(lead + case(phrase)[:length], truncated=True)


@given(text=TEXTS, places=CUTS)
@example(text="I don't ", places=[3])
@example(text="<think>I don't", places=[3])
def test_truncation_matters_only_inside_the_phrase_and_never_by_the_cut(text: str, places: list[int]) -> None:
    assume(after_reasoning(text) == text)
    matcher = RefusalMatcher()
    for piece in cut(text, places):
        matcher.feed(piece)
    truncated = matcher.finish(truncated=True) is REFUSE
    assert truncated is is_refusal(text, truncated=True)
    assert truncated or not is_refusal(text)
    if truncated and not is_refusal(text):
        assert any(is_refusal(text + REFUSAL[start:]) for start in range(len(REFUSAL))), "no end makes it a refusal"


@pytest.mark.parametrize("text", ["", "  ", '"', "I don't care", "<think>I don't", "It is I don't", "I'd"])
def test_what_a_token_limit_cuts_off_elsewhere_is_an_answer(text: str) -> None:
    assert not is_refusal(text, truncated=True)


def test_white_space_inside_the_phrase_is_not_held_for_ever() -> None:
    matcher = RefusalMatcher()
    matcher.feed("I don't")
    for _ in range(MAX_HELD + 1):
        matcher.feed(" ")
    assert matcher.decision is ANSWER


def test_the_refusal_is_that_of_table_8() -> None:
    assert REFUSAL == "I don't know!"


@pytest.mark.parametrize("text", ["Rome", "I'd say Rome", "I don't know Rome", "I don't", "", "X I don't know!"])
def test_what_is_no_refusal_is_an_answer_once_it_has_ended(text: str) -> None:
    matcher = RefusalMatcher()
    matcher.feed(text)
    assert matcher.finish() is ANSWER


@pytest.mark.parametrize("letter", ["X", "x", "XX"])
def test_a_letter_before_or_after_the_phrase_makes_it_an_answer(letter: str) -> None:
    assert not is_refusal(f"{letter}I don't know!")
    assert not is_refusal(f"I don't know{letter}")
    assert not is_refusal(f"I don't know.{letter}")
    assert not is_refusal(f"I don{letter}t know!")


def test_the_longest_lead_and_the_longest_text_that_are_held_back() -> None:
    assert is_refusal('"' * 64 + REFUSAL)
    assert not is_refusal('"' * 65 + REFUSAL)
    held, decided = (RefusalMatcher().feed("I don't know" + " " * blanks) for blanks in (180, 181))
    assert (held, decided) == (UNDECIDED, REFUSE), "192 characters and one more"


@pytest.mark.parametrize(
    ("text", "decision", "said"),
    [
        ("hm</think>I don't know!", REFUSE, True),
        ("I don't know!</think>four", ANSWER, True),
        ("I don't know!", REFUSE, True),
        ("four", ANSWER, True),
        ("hm</think>", ANSWER, False),
    ],
)
def test_a_reply_that_begins_inside_the_reasoning_of_its_prompt(text: str, decision: Decision, said: bool) -> None:
    matcher = RefusalMatcher(reasoning=True)
    for letter in text:
        matcher.feed(letter)
    assert (matcher.finish(), matcher.said) == (decision, said)
    assert judge(text, reasoning=True) == (decision, said)


def test_reasoning_that_a_limit_cuts_off_says_nothing() -> None:
    assert judge("I think that", truncated=True, reasoning=True) == (ANSWER, False)
    assert judge("<think>I think that", truncated=True) == (ANSWER, False)


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "<|im_end|>", "<think>hm</think>", "&nbsp;"])
def test_a_reply_that_shows_nothing_says_nothing(text: str) -> None:
    assert judge(text) == (ANSWER, False)


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("<｜User｜>Why?<｜Assistant｜><think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n", True),
        ("[INST]Why?[/INST][THINK]", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<|im_start|>assistant\n", False),
        ("What does <think> mean?<|im_start|>assistant\n", False),
        ("", False),
    ],
)
def test_a_prompt_that_ends_in_an_opened_block_of_reasoning_is_known(prompt: str, opens: bool) -> None:
    assert opens_reasoning(prompt) is opens
