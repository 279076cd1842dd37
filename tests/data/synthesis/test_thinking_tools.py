import json
import re

from manyeyes.core.chat import render
from manyeyes.core.chat_parse import parse
from manyeyes.core.conversation import check
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.thinking_talk import ThinkingTalk
from manyeyes.data.synthesis.thinking_tools import CALCULATE, FIND, MISSING, ThinkingTools
from manyeyes.model.config import tiny

SUM = re.compile(r"(\d+) ([-+]) (\d+)")


def ones(count: int, **settings: float) -> list[Dialogue]:
    some = ThinkingTools(size=count, **settings)  # pyright: ignore[reportArgumentType]
    return [some.dialogue(i) for i in range(count)]


def test_calls_are_declared_and_named_and_their_results_are_true() -> None:
    for one in ones(400):
        check(one.messages)
        declared = {tool.name: tool for tool in one.tools}
        results = {m.tool_call_id: m.text for m in one.messages if m.role == "tool"}
        calls = [call for m in one.messages for call in m.tool_calls]
        assert [call.id for call in calls] == [f"functions.{call.name}:{i}" for i, call in enumerate(calls)]
        assert results.keys() == {call.id for call in calls}
        for call in calls:
            arguments = json.loads(call.arguments)
            assert arguments.keys() == declared[call.name].parameters["properties"].keys()
            if call.name == CALCULATE.name:
                a, sign, b = SUM.fullmatch(arguments["expression"]).groups()  # pyright: ignore[reportOptionalMemberAccess]
                assert int(results[call.id]) == (int(a) + int(b) if sign == "+" else int(a) - int(b))


def test_the_answer_follows_from_results_alone() -> None:
    for one in ones(400):
        results = [m.text for m in one.messages if m.role == "tool"]
        answer = one.messages[-1].text
        keys = [json.loads(call.arguments).get("key") for m in one.messages for call in m.tool_calls]
        if not results:
            a, b = re.findall(r"(\d+) are (\w+)", one.messages[0].text)
            assert answer == max(a, b, key=lambda pair: int(pair[0]))[1]
        elif results[-1] == MISSING:
            assert answer == f"There is no entry for {keys[0]}."
        elif "Are there more" in one.messages[0].text:
            assert answer == keys[0 if int(results[0]) > int(results[1]) else 1]
        else:
            assert answer == results[-1]


def test_calls_that_do_not_wait_for_each_other_are_made_together() -> None:
    together = [one for one in ones(200) if len(one.tools) and len(one.messages[1].tool_calls) == 2]
    assert together and all({c.name for c in one.messages[1].tool_calls} == {FIND.name} for one in together)


def test_what_is_declared_varies_in_number_and_order() -> None:
    shown = {tuple(tool.name for tool in one.tools) for one in ones(400)}
    assert len(shown) > 15 and {len(names) for names in shown} >= {1, 2, 3}


def test_calls_come_back_from_their_tokens() -> None:
    tokenizer = Tokenizer.tiny()
    for one in ones(40, instant=0.0):
        for turn, message in enumerate(one.messages):
            if message.role == "assistant":
                said = render(one.messages[: turn + 1], tokenizer, rules=tiny().rules, tools=one.tools, as_sampled=True)
                before = render(
                    one.messages[:turn], tokenizer, rules=tiny().rules, tools=one.tools, generation_prompt=True
                )
                back = parse(said.ids[before.length :].tolist(), tokenizer)
                assert [c.arguments for c in back.tool_calls] == [c.arguments for c in message.tool_calls]


def test_talk_is_a_conversation_whose_last_answer_is_right() -> None:
    some = ThinkingTalk(size=400, instant=0.0)
    for i in range(400):
        one = some.dialogue(i)
        check(one.messages)
        questions, answers = [m.text for m in one.messages[::2]], [m.text for m in one.messages[1::2]]
        assert len(questions) >= 2 and one.messages[-1].role == "assistant"
        for before, said, answer in zip(answers, questions[1:], answers[1:], strict=False):
            assert answer == following(before, said, questions)
    assert {some.dialogue(i).thinking for i in range(40)} == {True}


def following(before: str, said: str, questions: list[str]) -> str:
    """The right answer to what is said behind another answer, by other means than the generator's."""
    match said.replace(",", "").rstrip(".?").split():
        case ["Now", "times", by]:
            return str(int(before) * int(by))
        case ["Now", "take", by]:
            return str(int(before) - int(by))
        case ["Now", "add", by]:
            return str(int(before) + int(by))
        case ["No", "I", "meant", a, "+", b]:
            return str(int(a) + int(b))
        case ["Without", "the", gone, "one"]:
            kept = before.removeprefix("The ").split(", ")
            kept.remove(gone)
            return "The " + ", ".join(kept)
        case ["And", "then", "the", new, "one"]:
            return f"{before}, {new}"
        case ["How", "many", "have", first, "and", second]:
            has = dict(re.findall(r"The (\w+) one has (\d+)", " ".join(questions)))
            return str(int(has[first]) + int(has[second]))
        case _:
            return "Noted."
