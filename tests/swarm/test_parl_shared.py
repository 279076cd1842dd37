"""Sections of a report: what makes one right is exact, and nothing of it can be had twice."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.messages import ToolCall
from manyeyes.swarm.parl_shared import LEAST_WORDS, NO_FACT, facts_of
from manyeyes.swarm.parl_tools import SharingTool

WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=8)


@given(st.lists(WORD, min_size=LEAST_WORDS, max_size=40), st.integers(10, 99), st.integers(0, 40))
def test_a_number_in_enough_words_is_a_fact_wherever_it_stands(words, number: int, at: int) -> None:
    text = " ".join([*words[:at], str(number), *words[at:]])
    assert facts_of({"C": text}) == {"C": str(number)}
    assert facts_of({"C": f"{text} and {number}"}) == {"C": NO_FACT}
    short = " ".join([str(number), *words[: LEAST_WORDS - 1]])
    assert facts_of({"C": short}) == {"C": NO_FACT}


@given(st.lists(WORD, min_size=LEAST_WORDS, max_size=20))
def test_the_same_words_make_one_section(words) -> None:
    prose = " ".join(words)
    found = facts_of({"C": f"C 41. {prose}", "D": f"D 90. {prose.upper()}!"})
    assert found == {"C": "41", "D": NO_FACT}


@pytest.mark.parametrize(
    ("writes", "name", "arguments", "noted"),
    [
        (False, "put", {"key": "C", "value": 41}, {"put": {"C": "41"}}),
        (True, "write", {"section": "C", "text": "C 41."}, {"written": {"C": "C 41."}}),
    ],
)
def test_what_is_put_down_is_noted(writes: bool, name: str, arguments, noted) -> None:
    tool = SharingTool(writes=writes)
    result = asyncio.run(tool.call(ToolCall.of(name, arguments, index=0)))
    assert not result.failure and result.data == noted
    wrong = asyncio.run(tool.call(ToolCall.of(name, {"key": "C"}, index=1)))
    assert wrong.failure == "bad_arguments" and not wrong.data
    other = asyncio.run(tool.call(ToolCall.of("other", arguments, index=2)))
    assert other.failure == "unknown_tool"
