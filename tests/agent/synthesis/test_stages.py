"""What each stage lets pass, and why it drops the rest."""

import asyncio
import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.synthesis.answer import Answer, same_words
from manyeyes.agent.synthesis.calls import call_fault
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.desk import desk
from manyeyes.agent.synthesis.domains import as_looked_up
from manyeyes.agent.synthesis.execution import Execution
from manyeyes.agent.synthesis.form import Form
from manyeyes.agent.synthesis.grade import Grade
from manyeyes.agent.synthesis.looks import Looks
from manyeyes.agent.synthesis.mark import name_of
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import Finding, Stage
from manyeyes.agent.tools.forked_python_child import PythonLost
from manyeyes.agent.toolset import Functions, ToolResult
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, Tool, ToolCall, assistant, tool_result
from manyeyes.core.picture import Picture
from manyeyes.data.synthesis.thinking_tools import MISSING, no_entry
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.fakes import RuleGrader
from manyeyes.reward.grm.generative_reward import GenerativeReward

from .teachers import calculated, candidate, sums

TOOLS = tuple(desk({}).tools)
PICTURE = Picture.of(np.zeros((4, 4, 3), np.uint8))


def found(stage: Stage, one: Candidate) -> Finding:
    return asyncio.run(stage(one))


def test_a_plain_answer_has_form() -> None:
    assert found(Form(), candidate(assistant("1"))).passed
    assert found(Form(), candidate(*calculated("0 + 1", "1"), assistant("1"), tools=TOOLS)).passed


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (candidate(assistant("1"), fault="an answer was cut off"), "an answer was cut off"),
        (candidate(assistant(" ")), "an empty answer"),
        (candidate(*calculated("1", "1"), tools=TOOLS), "a turn without a last word"),
        (candidate(assistant("1" * 300)), "too long"),
        (candidate(*calculated("1", "1"), assistant("1")), "a tool that is not declared"),
        (candidate(assistant("1"), seed=sums(1, thinking=True)[0]), "no reasoning"),
        (candidate(assistant("1", reasoning=" "), seed=sums(1, thinking=True)[0]), "no reasoning"),
        (candidate(assistant("So: <think>"), seed=sums(1)[0]), "a mark of a thought"),
        (candidate(assistant("1", reasoning="a</think>b"), seed=sums(1, thinking=True)[0]), "a mark of a thought"),
        (candidate(tool_result(ToolCall.of("f", {}, index=0), "x"), assistant("1")), "which no assistant message"),
    ],
)
def test_what_has_no_form(one: Candidate, says: str) -> None:
    finding = found(Form(longest=200), one)
    assert finding.passed is False and says in finding.why


def test_a_picture_that_a_tool_gave_is_refused_where_words_are_wanted() -> None:
    call = ToolCall.of("find", {"key": "x"}, index=0)
    one = candidate(assistant(calls=(call,)), tool_result(call, PICTURE), assistant("1"), tools=TOOLS)
    assert found(Form(), one).why == "a picture in what must be text"
    assert found(Form(text_only=False), one).passed


@pytest.mark.parametrize(("calls", "why"), [((2, None), "too few calls"), ((0, 0), "too many calls"), ((1, 1), "")])
def test_how_many_calls(calls, why: str) -> None:
    assert found(Form(calls=calls), candidate(*calculated("1", "1"), assistant("1"), tools=TOOLS)).why == why


def test_a_domain_may_ask_for_more() -> None:
    brief = Form(check=lambda one: "" if one.size < 3 else "wordy")
    assert found(brief, candidate(assistant("1"))).passed and found(brief, candidate(assistant("one"))).why == "wordy"


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "x": {"type": "number"},
        "w": {"type": "string", "enum": ["a", "b"]},
        "l": {"type": "array", "items": {"type": "string"}},
        "o": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["n"],
}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ('{"n": 1}', ""),
        ('{"n": 1.0, "x": 2, "w": "a", "l": ["x"], "o": null}', ""),
        ("{n}", "arguments that are no JSON"),
        ("[1]", "arguments should be object"),
        ("{}", "n is missing"),
        ('{"n": true}', "n should be integer"),
        ('{"n": 1.5}', "n should be integer"),
        ('{"n": 1, "m": 2}', "arguments have a name that is not declared"),
        ('{"n": 1, "w": "c"}', "w should be one of 2 values"),
        ('{"n": 1, "l": [1]}', "an item of l should be string"),
        ('{"n": 1, "o": 4}', "o fits no form that is allowed"),
    ],
)
def test_calls_are_what_was_declared(arguments: str, fault: str) -> None:
    call = ToolCall("functions.f:0", "f", arguments)
    assert call_fault(call, [Tool("f", "", SCHEMA)]) == fault
    assert call_fault(call, [Tool("g", "", SCHEMA)]) == "a tool that is not declared"


def test_results_must_be_what_tools_give() -> None:
    stage = Execution(lambda seed: desk({}))
    assert found(stage, candidate(assistant("1"))).passed, "nothing was called"
    assert found(stage, candidate(*calculated("2 * 3", "6"), *calculated("1 + 1", "2", index=1), assistant("6"))).passed
    made_up = found(stage, candidate(*calculated("2 * 3", "7"), assistant("7")))
    assert (made_up.passed, made_up.why) == (False, "a call gives something else when made again")
    assert made_up.notes["gave"] == "6"


def test_what_depends_on_chance_is_dropped() -> None:
    numbers = itertools.count()

    async def draw() -> str:
        return str(next(numbers))

    call = ToolCall.of("draw", {}, index=0)
    one = candidate(assistant(calls=(call,)), tool_result(call, "0"), assistant("0"))
    stage = Execution(lambda seed: Functions([draw]))
    assert found(stage, one).passed and not found(stage, one).passed


def test_failed_calls_are_dropped_unless_some_are_allowed() -> None:
    failed = calculated("2 *", "Error: expected a sum of at most 200 characters, such as 347 + 58")
    one = candidate(*failed, *calculated("2 * 1", "2", index=1), assistant("2"))
    assert found(Execution(lambda seed: desk({})), one).why == "a call failed"
    assert found(Execution(lambda seed: desk({}), failures=1), one).passed


def test_tools_keep_their_memory_over_a_dialogue_and_close_after_it() -> None:
    class Counter(Functions):
        """Counts its calls; says whether it was closed."""

        closed = 0
        seen = 0

        def __init__(self) -> None:
            async def count() -> str:
                self.seen += 1
                return str(self.seen)

            super().__init__([count])

        async def close(self) -> None:
            Counter.closed += 1

    calls = [ToolCall.of("count", {}, index=index) for index in range(2)]
    said = [piece for n, call in enumerate(calls, 1) for piece in (assistant(calls=(call,)), tool_result(call, str(n)))]
    assert found(Execution(lambda seed: Counter()), candidate(*said, assistant("2"))).passed and Counter.closed == 1


def test_a_sandbox_that_is_gone_is_no_verdict() -> None:
    class Gone(Functions):
        async def open(self) -> None:
            raise SandboxUnavailable("nothing confines code here")

    finding = found(Execution(lambda seed: Gone(())), candidate(*calculated("1", "1"), assistant("1")))
    assert (finding.passed, finding.why) == (None, "no sandbox")


@pytest.mark.parametrize("failure", ["crash", "timeout"])
def test_what_fails_only_when_it_is_made_again_is_no_verdict(failure) -> None:
    class Tired(Functions):
        async def call(self, call: ToolCall) -> ToolResult:
            return ToolResult.failed(failure, "the machine is busy")

    for stage in (Execution(lambda seed: Tired(())), Looks(lambda seed: [Tired(())])):
        assert found(stage, candidate(*calculated("1 + 1", "2"), assistant("2"))).passed is None


def rooms(*totals: int) -> Looks:
    """Desks at which `total` is to be found, one for each."""
    return Looks(lambda seed: [desk({"total": str(total)}) for total in totals])


def looked_up(result: str) -> tuple[Message, Message]:
    call = ToolCall.of("find", {"key": "total"}, index=1)
    return assistant(calls=(call,)), tool_result(call, result)


def test_a_candidate_must_have_looked() -> None:
    guess, sight = candidate(*calculated("3", "3"), assistant("3")), candidate(*looked_up("3"), assistant("3"))
    assert found(rooms(1, 2), guess) == Finding(False, "its calls give the same whatever the picture")
    assert found(rooms(1, 2), sight).passed and found(rooms(3, 2), sight).passed, "one that differs is enough"
    assert not found(rooms(3, 3), sight).passed
    both = candidate(*looked_up("3"), *calculated("7", "7", index=2), assistant("7"))
    assert not found(rooms(1, 2), both).passed, "the last call is where the answer comes from"


def test_without_a_room_nobody_looked() -> None:
    class Gone(Functions):
        async def call(self, call: ToolCall) -> ToolResult:
            raise PythonLost("nothing confines code here")

    for stage in (Looks(lambda seed: [Gone(())]), Execution(lambda seed: Gone(()))):
        finding = found(stage, candidate(*calculated("3", "3"), assistant("3")))
        assert (finding.passed, finding.why) == (None, "no sandbox")


@pytest.mark.parametrize(
    ("said", "truth", "score"),
    [
        ("-5", "5", 0), ("5", "-5", 0), ("\u22125", "-5", 1), ("5.0", "5", 1), ("1,200", "1200", 1),
        ("12,00", "1200", 0),
        (".5", "0.50", 1), ("1e3", "1000", 1), ("-3 degrees", "3 degrees", 0), ("-$3", "$3", 0), ("five", "5", 1),
        ("3-5 cats", "3-5 cats", 1), ("The cat.", "cat", 1), ("minus 5 C", "5 C", 0), ("x = -2", "x = 2", 0),
    ],
)  # fmt: skip
def test_numbers_are_compared_as_numbers(said: str, truth: str, score: int) -> None:
    assert same_words(said, truth, sums(1)[0]) == score


@pytest.mark.parametrize(
    "said",
    ["There is no entry for red.", "no entry", "No entry found.", "Not found", "none", "None.", "N/A", "Missing",
     "I looked.\nThe answer is: there is no entry", "No entry for 'red'", "red is not listed", "nothing found"],
)  # fmt: skip
def test_that_nothing_was_found_may_be_said_in_many_ways(said: str) -> None:
    assert as_looked_up(said, no_entry("red"), NOT_THERE) == 1.0


@pytest.mark.parametrize("said", ["0", "no", "", "42", "no entry for blue", "no entry, so 42", "I do not want to look"])
def test_something_else_is_no_word_that_nothing_was_found(said: str) -> None:
    assert as_looked_up(said, no_entry("red"), NOT_THERE) == 0.0
    there = replace(NOT_THERE, data={"entries": {"red": "42"}})
    assert as_looked_up("no entry", "42", there) == 0.0 and as_looked_up("42", "42", there) == 1.0


NOT_THERE = Seed("find", ("How many red boxes are there?",), (no_entry("red"),), data={"entries": {"red": MISSING}})


def test_functions_are_known_by_their_names_and_by_plain_values_that_they_were_given() -> None:
    names = [name_of(one) for one in (close, partial(close, least=1), partial(close, least=2), partial(close, 1))]
    assert len(set(names)) == 4
    assert name_of(partial(close, least=object())) == name_of(close), "what is not plain is not known again"
    assert name_of(partial(close, {"a": [1]}, least=2)) == name_of(partial(partial(close, {"a": [1]}), least=2))
    with pytest.raises(ConfigError, match="lambda.* give it one"):
        name_of(lambda: None)


def close(*given: object, least: object = 0) -> float:
    """A score."""
    return 0.0


def test_a_mark_changes_with_what_a_verdict_rests_on() -> None:
    one = grading(lambda criterion, work: 1.0)
    marks = [Form(), Form(longest=9), Answer(), Answer(least=0.5), replace(one, least=0.4), replace(one, kind="coding")]
    more = Grade(GenerativeReward({"other": RuleGrader(lambda criterion, work: 1.0)}))
    assert len({stage.mark for stage in (*marks, one, more)}) == 8
    assert one.mark == grading(lambda criterion, work: 0.0).mark, "graders are known by their names"


@pytest.mark.parametrize(("said", "score"), [("1", 1.0), ("So:\nThe answer is: one.", 1.0), ("2", 0.0)])
def test_the_answer_is_compared_with_the_truth(said: str, score: float) -> None:
    finding = found(Answer(), candidate(assistant(said)))
    assert finding.score == score and finding.passed == (score == 1.0)


def test_the_worst_turn_counts_and_turns_without_a_truth_do_not() -> None:
    seed = Seed("talk", ("a", "b", "c"), (None, "2", "3"))
    said = [piece for text in ("anything", "2", "4") for piece in (assistant(text),)]
    one = Candidate(seed, "one", 0, tuple(said))
    assert found(Answer(), one).score == 0.0
    assert found(Answer(least=0.0), one).passed
    assert found(Answer(), candidate(assistant("?"), seed=Seed("open", ("Say something.",)))) == Finding(True)


def test_partial_credit_may_pass() -> None:
    half = Answer(score=lambda said, truth, seed: 0.5, least=0.5)
    assert found(half, candidate(assistant("nearly"))) == Finding(True, "", 0.5)


def grading(rule, **config) -> Grade:
    return Grade(GenerativeReward({"g": RuleGrader(rule)}, config=GrmConfig(**config)))


def test_graders_let_pass_what_is_good() -> None:
    stage = grading(lambda criterion, work: 1.0 if "because" in work else 0.0)
    good, bad = (found(stage, candidate(assistant(said))) for said in ("1, because 0 + 1", "1"))
    assert good.passed and good.score == 1.0 and good.notes["votes"] == 2
    assert (bad.passed, bad.why, bad.score) == (False, "graded too low", 0.0)


def test_too_few_votes_are_no_verdict() -> None:
    silent = RuleGrader(lambda criterion, work: 1.0, reply=lambda number: "I would rather not say.")
    finding = found(Grade(GenerativeReward({"g": silent})), candidate(assistant("1")))
    assert (finding.passed, finding.why, finding.score) == (None, "too few votes", None)
