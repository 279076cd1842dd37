"""A teacher, a user's turns, and tools that are really called."""

import asyncio
from collections.abc import Sequence

import pytest

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ModelError, Reply, Sampling, Usage
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.desk import desk
from manyeyes.agent.synthesis.memory import Heard, Memory
from manyeyes.agent.synthesis.proposing import propose
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.agent.toolset import Functions
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.data.dialogue_thoughts import told_apart

from .teachers import adds, sums, teacher


class Speaks:
    """A model that gives one reply, or raises."""

    name = "speaks"

    def __init__(self, reply: Reply | ModelError) -> None:
        self.reply = reply
        self.asked: list[Sampling] = []

    def cost(self, usage: Usage) -> float:
        return 0.0

    async def complete(self, messages, tools=(), *, sampling=DEFAULT_SAMPLING, **_) -> Reply:
        self.asked.append(sampling)
        if isinstance(self.reply, ModelError):
            raise self.reply
        return self.reply


def proposed(seed: Seed, policy, tools: Functions | None = None, **more) -> Candidate:
    return asyncio.run(propose(seed, teacher(policy), tools or Functions(()), **more))


def by_number(*said: Message):
    """The n-th answer of a conversation."""
    return lambda messages: said[sum(message.role == "assistant" for message in messages)]


def test_all_turns_are_said_and_answered() -> None:
    seed = Seed("talk", ("Start with 7.", "Double it."), system="Be brief.")
    made = proposed(seed, by_number(assistant("7"), assistant("14", reasoning="7 * 2")))
    assert [m.role for m in made.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert made.answers == ("7", "14") and not made.fault
    assert all(message.reasoning is None for message in made.messages), "an instant dialogue shows no thought"


def test_thoughts_stay_where_they_are_wanted() -> None:
    made = proposed(sums(1, thinking=True)[0], adds)
    assert made.messages[-1].reasoning == "I add." and made.dialogue.thinking


def test_an_instruction_is_for_the_teacher_alone() -> None:
    model = Scripted(adds)
    made = asyncio.run(propose(sums(1)[0], teacher(model), Functions(()), instruction="Be right."))
    assert model.calls[0][0].text == "Be right." and model.calls[0][0].role == "system"
    assert [m.role for m in made.messages] == ["user", "assistant"]


def test_calls_are_made_and_named_as_the_model_names_them() -> None:
    def policy(messages: Sequence[Message]) -> Message:
        if messages[-1].role == "tool":
            return assistant(messages[-1].text)
        calls = (("x1", "find", '{"key": "Ada"}'), ("x2", "calculate", '{"expression": "2 * 21"}'))
        return assistant(calls=tuple(ToolCall(*call) for call in calls))

    made = proposed(sums(1)[0], policy, desk({"Ada": "7"}))
    assert [call.id for call in made.messages[1].tool_calls] == ["functions.find:0", "functions.calculate:1"]
    results = [(m.tool_call_id, m.text) for m in made.messages if m.role == "tool"]
    assert results == [("functions.find:0", "7"), ("functions.calculate:1", "42")] and made.answers == ("42",)


def test_a_teacher_that_never_ends_is_a_fault() -> None:
    call = ToolCall("x", "find", '{"key": "Ada"}')
    made = proposed(sums(1)[0], lambda messages: assistant(calls=(call,)), desk({}), steps=3)
    assert made.fault == "no last word after 3 answers with calls"
    ids = [call.id for message in made.messages for call in message.tool_calls]
    assert ids == ["functions.find:0", "functions.find:1", "functions.find:2"]


@pytest.mark.parametrize(("stop", "says"), [("length", "cut off"), ("filter", "content filter")])
def test_an_answer_that_was_cut_is_a_fault(stop, says: str) -> None:
    made = proposed(sums(1)[0], Speaks(Reply(assistant("4"), stop)))
    assert says in made.fault


@pytest.mark.parametrize("kind", ["quota", "endpoint", "request", "overflow"])
def test_what_an_endpoint_refuses_is_no_candidate_and_may_be_asked_again(kind) -> None:
    with pytest.raises(ModelError):
        proposed(sums(1)[0], Speaks(ModelError("down", kind=kind)))


class Notes(Memory):
    """Remembers in this process."""

    def __init__(self) -> None:
        self.said: dict[str, Heard] = {}

    def recall(self, shown: str) -> Heard | None:
        return self.said.get(shown)

    def note(self, shown: str, reply: Reply) -> Message:
        self.said[shown] = Heard(reply.message, reply.usage)
        return reply.message


def noting(results: list[str], made: list[str]) -> Functions:
    """A tool that gives the next of some results."""

    async def note(text: str) -> str:
        made.append(text)
        return results[len(made) - 1]

    return Functions([note])


NOTE = assistant(calls=(ToolCall("x", "note", '{"text": "a"}'),))


def again(notes: Notes, model: Scripted, results: list[str], made: list[str], **more) -> Candidate:
    return asyncio.run(propose(sums(1)[0], teacher(model), noting(results, made), memory=notes, **more))


def test_replies_that_were_heard_are_not_asked_for_again_and_their_calls_are_made() -> None:
    notes, made = Notes(), list[str]()
    first = again(notes, Scripted([NOTE, assistant("done")]), ["noted"], made)
    model = Scripted([])
    assert again(notes, model, ["", "noted"], made) == first and made == ["a", "a"] and model.calls == []


def test_where_a_call_gives_something_else_the_rest_is_asked_for_anew() -> None:
    notes, made = Notes(), list[str]()
    again(notes, Scripted([NOTE, assistant("done")]), ["noted"], made)
    model = Scripted([assistant("full, then")])
    whole = again(notes, model, ["", "the book is full"], made)
    assert len(model.calls) == 1 and whole.answers == ("full, then",)


def test_other_words_of_an_instruction_are_another_question() -> None:
    notes = Notes()
    again(notes, Scripted([assistant("1")]), [], [])
    model = Scripted([assistant("one")])
    assert again(notes, model, [], [], instruction="In words.").answers == ("one",) and len(model.calls) == 1


@pytest.mark.parametrize("text", ["<think>I add.</think>\n1", "I add.\n</think>1", " <think>\nI add.\n</think> 1"])
def test_thoughts_in_the_text_are_told_apart(text: str) -> None:
    thinking, instant = (
        proposed(sums(1, thinking=mode)[0], by_number(assistant(text))).messages[-1] for mode in (True, False)
    )
    assert (thinking.reasoning, thinking.text) == ("I add.", "1")
    assert (instant.reasoning, instant.text) == (None, "1")


def test_words_before_a_thought_stay_as_they_are() -> None:
    said = "It is </think> in the text <think> somewhere"
    assert told_apart(assistant(f"Look: <think>{said}")).text == f"Look: <think>{said}"


def test_a_model_that_takes_a_seed_draws_each_answer_from_what_is_asked_alone() -> None:
    def drawn(attempt: int, seed: Seed) -> object:
        model = Speaks(Reply(assistant("1")))
        asyncio.run(propose(seed, Teacher("own", model, seeded=True), Functions(()), attempt=attempt))
        return model.asked[0].extra["seed"]

    one, other = sums(2)
    assert drawn(0, one) == drawn(0, one)
    assert len({drawn(0, one), drawn(1, one), drawn(0, other)}) == 3
    plain = Speaks(Reply(assistant("1")))
    asyncio.run(propose(one, Teacher("far", plain), Functions(())))
    assert plain.asked[0].extra == {}
