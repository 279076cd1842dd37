import contextlib
import io
import re

import numpy as np
import pytest

from manyeyes.core.chat import render
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.synthesis.thinking import Thinking
from manyeyes.data.synthesis.thinking_families import FAMILIES, families, problem
from manyeyes.data.synthesis.thinking_problem import Problem, lettered
from manyeyes.data.synthesis.thinking_trace import TERSE, WORDY, told
from manyeyes.model.config import tiny

LINE = re.compile(r"\b(\d+) ([-+*/]) (\d+) = (\d+)")


def drawn(family: str, count: int, *, level: int = 2) -> list[Problem]:
    return [problem(family, stream(7, f"test/{family}", i), level=level, split="train") for i in range(count)]


def printed(code: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})  # our own generator's code
    return out.getvalue().strip()


def items(question: str) -> list[list[str]]:
    """The lines of a list, without their letters or bullets."""
    return [line.split()[1:] for line in question.splitlines()[1:]]


def changed(value: int, rows: list[list[str]]) -> str:
    for row in rows:
        match row:
            case ["add", by] | [by, "come"]:
                value += int(by)
            case ["take", by] | [by, "go"]:
                value -= int(by)
            case ["times", by]:
                value *= int(by)
            case _:
                raise AssertionError(row)
    return str(value)


def solved(family: str, question: str) -> str:
    """The answer from the question's words alone, by other means than the generator's."""
    head, rows = question.splitlines()[0], items(question)
    numbers = [int(found) for found in re.findall(r"\d+", head)]
    match family:
        case "sum":
            return str(sum(int(row[0]) for row in rows))
        case "chain" | "story":
            return changed(numbers[0], rows)
        case "equation":
            factor, offset, right = numbers
            return next(str(x) for x in range(100) if factor * x + offset == right)
        case "largest":
            return str(max(int(row[0]) for row in rows))
        case "smallest":
            return str(min(int(row[0]) for row in rows))
        case "count" | "parity":
            found = rows.count([re.findall(r"\w+", head)[-1]])
            return str(found) if family == "count" else ("odd" if found % 2 else "even")
        case "hops":
            to = {row[0]: row[1] for row in rows}
            here = re.findall(r"\w+", head)[-1]
            for _ in range(numbers[0]):
                here = to[here]
            return here
        case "most":
            return max(rows, key=lambda row: int(row[1]))[0]
        case "prices":
            cost = {row[0]: int(row[1]) for row in rows}
            (wanted,) = re.findall(r"What do (.*) cost", head)
            return str(sum(cost[colour] for colour in wanted.split(" and ")))
        case _:
            return printed(question.partition("\n")[2])


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_another_solver_and_lines_hold(family: str) -> None:
    for level in {1, 2, 3, FAMILIES[family].highest}:
        for one in drawn(family, 40, level=level):
            assert one.answer == solved(family, one.question), one.question
            for a, sign, b, result in LINE.findall("\n".join(step.line for step in one.steps)):
                assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b), "/": int(a) / int(b)}[
                    sign
                ] == int(result)


@pytest.mark.parametrize("family", FAMILIES)
def test_higher_levels_are_longer(family: str) -> None:
    steps = [np.mean([len(one.steps) for one in drawn(family, 60, level=level)]) for level in (1, 3)]
    questions = [np.mean([len(one.question) for one in drawn(family, 60, level=level)]) for level in (1, 3)]
    assert steps[1] > steps[0] or questions[1] > questions[0]


def test_a_wordier_trace_is_longer_and_holds_every_line_in_order() -> None:
    for family in FAMILIES:
        (one,) = drawn(family, 1)
        traces = [told(one, stream(3, family, wordiness), wordiness=wordiness) for wordiness in range(TERSE, WORDY + 1)]
        assert [len(trace) for trace in traces] == sorted({len(trace) for trace in traces})
        for trace in traces:
            place = -1
            for step in one.steps:
                place = trace.index(step.line, place + 1)


def test_terse_is_the_lines_alone() -> None:
    one = drawn("sum", 1)[0]
    assert told(one, stream(0, "t"), wordiness=TERSE) == "\n".join(step.line for step in one.steps)
    with pytest.raises(ConfigError, match="wordiness"):
        told(one, stream(0, "t"), wordiness=9)


def test_questions_are_of_one_split_only() -> None:
    train = {Thinking(size=800, seed=1).dialogue(i).messages[0].text for i in range(800)}
    test = {Thinking(size=800, seed=2, split="test").dialogue(i).messages[0].text for i in range(800)}
    assert not train & test and len(train) > 700 and len(test) > 500


def test_an_entry_is_always_the_same_and_modes_come_in_their_shares() -> None:
    some = Thinking(size=1000, instant=0.2)
    assert some.dialogue(17) == Thinking(size=50, instant=0.2).dialogue(17)
    ones = [some.dialogue(i) for i in range(1000)]
    assert 150 < sum(not one.thinking for one in ones) < 250
    assert all((one.messages[1].reasoning is not None) == one.thinking for one in ones)
    assert len({one.name for one in ones}) == 1000


def test_lengths_vary_widely_within_a_family() -> None:
    some = Thinking(size=300, families=("sum",), levels=(2,), instant=0.0)
    lengths = [len(some.dialogue(i).messages[1].reasoning or "") for i in range(300)]
    assert np.percentile(lengths, 90) > 4 * np.percentile(lengths, 10)
    brief = Thinking(size=300, families=("sum",), levels=(2,), instant=0.0, wordiness=(1, 0, 0, 0, 0))
    assert max(len(brief.dialogue(i).messages[1].reasoning or "") for i in range(300)) < 60


def test_reasoning_is_learned_and_fits_a_row() -> None:
    tokenizer, some = Tokenizer.tiny(), Thinking(size=64, instant=0.0)
    for i in range(64):
        one = some.dialogue(i)
        out = render(one.messages, tokenizer, rules=tiny().rules, thinking=one.thinking, as_sampled=True)
        assert (one.messages[1].reasoning or "") in tokenizer.decode(out.ids[out.weights > 0].tolist())
        assert out.length <= 768 and not out.visuals


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="no family is called sums"):
        Thinking(size=1, families=("sums",))
    with pytest.raises(ConfigError, match="five weights"):
        Thinking(size=1, wordiness=(1.0, 1.0))
    with pytest.raises(ConfigError, match="share"):
        Thinking(size=1, instant=2.0)
    with pytest.raises(ConfigError, match="capability"):
        families(("sum",), "coding")
    for family, of in FAMILIES.items():
        for level in (0, of.highest + 1):
            with pytest.raises(ConfigError, match=f"{family} has levels 1 to {of.highest}, got {level}"):
                problem(family, stream(0, "t"), level=level, split="train")
    with pytest.raises(ConfigError, match="branch has levels 1 to 4, got 5"):
        Thinking(size=1, families=("sum", "branch"), levels=(1, 5))
    with pytest.raises(ValueError, match="shorter|longer"):
        lettered(range(9))
    with pytest.raises(IndexError):
        Thinking(size=1).dialogue(1)


def test_a_split_without_content_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    only = drawn("sum", 1)[0]
    monkeypatch.setitem(FAMILIES, "sum", FAMILIES["sum"]._replace(draw=lambda rng, level: only))
    with pytest.raises(DataError, match="level 1"):
        problem("sum", stream(0, "t"), level=1, split="test")
