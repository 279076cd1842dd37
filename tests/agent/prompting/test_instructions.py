"""Verifiable constraints: each tells a good answer from a bad one, and no drawn set contradicts itself."""

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case
from manyeyes.agent.prompting.constraint import mentions
from manyeyes.agent.prompting.constraints import CONSTRAINTS
from manyeyes.agent.prompting.instructions import FRAMES, Instructions, constructed, held, worded
from manyeyes.agent.prompting.languages import LANGUAGES
from manyeyes.agent.prompting.module import Presentation
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Functions
from manyeyes.core.errors import ConfigError

SHOWN = Presentation("", "Why?")
BROKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "words_at_most": ({"count": 3}, ["one two three four", ""]),
    "words_at_least": ({"count": 3}, ["one two", ""]),
    "words_between": ({"low": 2, "high": 3}, ["one", "one two three four"]),
    "sentences": ({"count": 2}, ["One.", "One. Two. Three.", "It is 3.5 of 4.5"]),
    "paragraphs": ({"count": 2}, ["one\ntwo", "one\n\ntwo\n\nthree"]),
    "bullets": ({"count": 2}, ["- one", "- one\n- two\n- three", "-one\n-two"]),
    "numbered": ({"count": 2}, ["1. one", "1. one\n3. three", "2. two\n1. one", "1. one\n2. two\n3. three"]),
    "sections": ({"count": 2}, ["Section 1\none", "Section 2\none\nSection 1\ntwo", "one\ntwo"]),
    "two_parts": ({}, ["one", "one\n******\n", "one\n******\ntwo\n******\nthree", "one ****** two"]),
    "json_object": ({"keys": ["answer"]}, ["answer", '{"answer": 1, "b": 2}', '["answer"]', "[" * 100_000,
                                           '```json\n{"answer": 1}\n```']),
    "upper_case": ({}, ["Abc", "123"]),
    "lower_case": ({}, ["Abc", "123"]),
    "title": ({}, ["Joy\n<<Joy>>", "<<>>\nx", "<< Joy"]),
    "starts_with": ({"phrase": "In short"}, ["Well, in short", ""]),
    "ends_with": ({"phrase": "That is all"}, ["That is all, folks", "That is all."]),
    "postscript": ({}, ["P.S. one\ntwo", "P.S.", ""]),
    "quoted": ({}, ['"', '"one" two', "'one'"]),
    "fenced": ({}, ["one", "```\none\n```\ntwo", "```\none\n```\n```\ntwo\n```"]),
    "includes": ({"word": "method", "times": 2}, ["method", "methods methodical", "method methods"]),
    "excludes": ({"words": ["very", "just"]}, ["It is VERY good", "just", ""]),
    "without_mark": ({"mark": "comma"}, ["one, two", "一，二"]),
    "without_letter": ({"letter": "q"}, ["Quite", "aqua"]),
    "bold": ({"count": 2}, ["**one** two", "** one ** ** two **", "****"]),
    "placeholders": ({"count": 2}, ["[one]", "[] []", "[one\n] [two\n]"]),
    "language": ({"code": "fr", "name": "French"}, ["This is the answer.", "42", ""]),
}  # fmt: skip


def asked(name: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "params": params, "wording": 0}


def drawn_params(name: str, seed: int) -> dict[str, Any]:
    return CONSTRAINTS[name].draw(np.random.default_rng(seed))


def test_there_are_at_least_fifteen_kinds_and_every_kind_is_tried_here() -> None:
    assert len(CONSTRAINTS) >= 15 and BROKEN.keys() == CONSTRAINTS.keys()


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_accepts_its_constructed_answer(name: str) -> None:
    for seed in range(30):
        one = asked(name, drawn_params(name, seed))
        assert held(one, constructed([one])), (one, constructed([one]))
        assert json.loads(json.dumps(one)) == one


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_rejects_answers_that_break_it(name: str) -> None:
    params, answers = BROKEN[name]
    assert held(asked(name, params), constructed([asked(name, params)]))
    for answer in answers:
        assert not held(asked(name, params), answer), answer


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_every_wording_names_its_parameters(name: str) -> None:
    constraint = CONSTRAINTS[name]
    params = drawn_params(name, 3)
    told = [constraint.asked(params, wording=number) for number in range(len(constraint.wordings))]
    assert len(set(told)) == len(told) >= 3 and not any("{" in one for one in told)
    for key, value in params.items():
        if key != "code":
            assert all(str(one) in words for words in told for one in (value if isinstance(value, list) else [value]))


@given(seed=st.integers(0, 2**32), most=st.integers(0, 8), language=st.sampled_from(["", *LANGUAGES]))
def test_a_drawn_set_never_contradicts_itself(seed: int, most: int, language: str) -> None:
    essential = "\\boxed{42}" if seed % 2 else ""
    module = Instructions(least=0, most=most, essential=essential)
    shown = Presentation("", "Why?", language=language)
    choice = module.draw(np.random.default_rng(seed), shown)
    answer = constructed(choice["constraints"], language=language, essential=essential)
    assert all(held(one, answer) for one in choice["constraints"]) and essential in answer
    aspects = [CONSTRAINTS[one["name"]].aspect for one in choice["constraints"]]
    assert len(aspects) == len(set(aspects)) <= most and not (language and "language" in aspects)


def test_as_many_are_drawn_as_are_wanted_and_every_kind_comes() -> None:
    module = Instructions(least=3, most=3)
    drawn = [module.draw(np.random.default_rng(seed), SHOWN)["constraints"] for seed in range(300)]
    assert all(len(one) == 3 for one in drawn)
    assert {one["name"] for many in drawn for one in many} == CONSTRAINTS.keys()


@pytest.mark.parametrize("frame", range(len(FRAMES)))
def test_what_is_asked_stands_in_the_prompt(frame: int) -> None:
    module = Instructions()
    many = [asked(name, params) for name, (params, _) in BROKEN.items()][:4]
    for where in ("prompt", "system"):
        shown = module.apply(SHOWN, {"constraints": many, "frame": frame, "where": where})
        text = shown.system if where == "system" else shown.prompt
        assert all(CONSTRAINTS[one["name"]].asked(one["params"], wording=0) in text for one in many)
        assert worded(many, frame) in text and "Why?" in shown.prompt


def test_the_reward_is_the_share_that_was_kept_and_its_parts_say_which() -> None:
    many = [asked("lower_case", {}), asked("ends_with", {"phrase": "That is all"})]
    choice = {"instructions": {"constraints": many, "frame": 0, "where": "prompt"}}
    for module, rewards in ((Instructions(weight=0.5), (0.5, 0.25)), (Instructions(all_or_nothing=True), (1.0, 0.0))):
        here, task = Environment(lambda ctx: Functions([]), modules=(module,)).varied(Task("t", "Why?"), choice)
        assert here.judge is not None
        for answer, reward in zip(("so. that is all", "So. That is all"), rewards, strict=True):
            verdict = asyncio.run(here.judge(Case(task, Outcome("done", answer))))
            assert verdict.reward == reward and verdict.parts["instructions/ends_with"] == 1.0
            assert verdict.parts["instructions/lower_case"] == float(answer.islower())


def test_checks_take_no_longer_than_the_answer_is_long() -> None:
    """A thousand times the length takes nowhere near a million times as long."""
    bad = [
        "[" + "a" * 200_000,
        "." * 200_000 + "x",
        "**" + "a" * 200_000,
        "\n " * 100_000,
        "<<" * 100_000,
        "```\n" * 50_000,
    ]
    began = time.process_time()
    for text in bad:
        for name, (params, _) in BROKEN.items():
            held(asked(name, params), text)
    assert time.process_time() - began < 20


def test_odd_wishes_are_refused() -> None:
    odd: list[dict[str, Any]] = [
        {"kinds": ("rhyme",)}, {"least": 3, "most": 2}, {"kinds": ("title",), "most": 2}, {"weight": -1.0},
    ]  # fmt: skip
    for wrong in odd:
        with pytest.raises(ConfigError):
            Instructions(**wrong)
    assert Instructions(least=0, most=0).draw(np.random.default_rng(0), SHOWN)["constraints"] == []


@given(seed=st.integers(0, 2**32), language=st.sampled_from(["", "zh", "ja", "ko"]))
def test_words_are_not_counted_where_no_blanks_part_them(seed: int, language: str) -> None:
    module = Instructions(kinds=("words_at_least", "words_at_most", "words_between", "language"), least=2, most=2)
    drawn = module.draw(np.random.default_rng(seed), Presentation("", "Why?", language=language))["constraints"]
    codes = {language, *(one["params"].get("code", "") for one in drawn)}
    counted = any(CONSTRAINTS[one["name"]].aspect == "length" for one in drawn)
    assert not (counted and codes & {"zh", "ja"}) and (counted or codes & {"zh", "ja"})


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("这是evidence，而evidence也是。", 2),
        ("証拠（evidence）です", 1),
        ("evidencé, preevidence", 0),
        ("EVIDENCE-evidence", 2),
    ],
)
def test_a_word_is_found_in_a_text_of_another_script(text: str, times: int) -> None:
    assert mentions(text, "evidence") == times
