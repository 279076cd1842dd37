"""People's own conversations: what a line may be, and how faults are named."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from manyeyes.core.errors import DataError, ManyeyesError
from manyeyes.core.media import Picture
from manyeyes.core.messages import Message, Tool, ToolCall, assistant, tool_result, user
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.dialogue_file import DialogueFile, file_source
from manyeyes.data.dialogue_json import line_of, read_line
from manyeyes.data.source import RecordError

ASKED = {"role": "user", "content": "2 + 2?"}
SAID = {"role": "assistant", "content": "4"}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


def a_call(arguments: Any = "{}", name: str = "add", call_id: str = "call_x9") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def a_result(call_id: str = "call_x9") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "4"}


def a_file(folder: Path, *lines: Any) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_a_line_is_a_dialogue(tmp_path: Path) -> None:
    mine = DialogueFile(a_file(tmp_path, {"messages": [ASKED, SAID], "source": "me"}, "", {"messages": [ASKED, SAID]}))
    assert len(mine) == 2 and mine.name == str(tmp_path / "mine.jsonl")
    assert mine.dialogue(1) == Dialogue("mine.jsonl:3", (user("2 + 2?"), assistant("4")))


def test_other_fields_are_left_alone() -> None:
    told = SAID | {"id": "x", "refusal": None, "annotations": [], "reasoning_details": [], "thinking": None}
    line = {"messages": [ASKED | {"index": 0}, told], "source": "me", "tool_choice": "auto", "metadata": {"tool": 1}}
    assert read_line(json.dumps(line), "x") == (Dialogue("x", (user("2 + 2?"), assistant("4"))),)


def test_calls_are_named_as_the_model_names_them_and_results_follow() -> None:
    messages = [ASKED, a_call({"a": 2}), a_result(), a_call('{"a":3}', call_id="other"), a_result("other"), SAID]
    (dialogue,) = read_line(json.dumps({"messages": messages, "tools": [ADD]}), "x")
    first, second = (m.tool_calls[0] for m in dialogue.messages if m.tool_calls)
    assert (first.id, first.arguments) == ("functions.add:0", '{"a": 2}')
    assert (second.id, second.arguments) == ("functions.add:1", '{"a":3}'), "arguments stay as they were written"
    assert [m.tool_call_id for m in dialogue.messages if m.role == "tool"] == [first.id, second.id]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thinking_conversation_is_a_dialogue_for_each_turn_that_reasons(field: str) -> None:
    thought = SAID | {field: "two twos"}
    dialogues = read_line(json.dumps({"messages": [ASKED, thought, ASKED, SAID, ASKED, thought]}), "x")
    assert [(d.name, len(d.messages), d.thinking) for d in dialogues] == [("x.0", 2, True), ("x.1", 6, True)]
    with pytest.raises(DataError, match=r"thinking is false, but messages\[1\] has reasoning"):
        read_line(json.dumps({"messages": [ASKED, thought], "thinking": False}), "x")
    for empty in (None, ""):
        (instant,) = read_line(json.dumps({"messages": [ASKED, SAID | {field: empty}], "thinking": False}), "x")
        assert not instant.thinking, "nothing is lost"


@pytest.mark.parametrize(
    "content", ["<think>two twos</think>4", "\n<think>\ntwo twos\n</think>\n\n4", "two twos</think>4"]
)
def test_a_thought_between_marks_is_reasoning_and_no_text(content: str) -> None:
    pieces = [{"type": "text", "text": content}]
    for said in (content, pieces):
        (dialogue,) = read_line(json.dumps({"messages": [ASKED, SAID | {"content": said}]}), "x")
        assert dialogue.thinking and dialogue.messages[1] == assistant("4", reasoning="two twos")
    with pytest.raises(DataError, match="thinking is false"):
        read_line(json.dumps({"messages": [ASKED, SAID | {"content": content}], "thinking": False}), "x")
    asked = {"role": "user", "content": "What does <think> mean?"}
    (dialogue,) = read_line(json.dumps({"messages": [asked, SAID]}), "x")
    assert dialogue.messages[0].text == asked["content"], "who asks may name the mark"


@pytest.mark.parametrize(
    "said",
    [
        {"content": "So: <think>two twos</think>4"},
        {"content": "<think>two twos, 4"},
        {"content": "<think>two</think>4</think>"},
        {"content": "<think>two twos</think>4", "reasoning_content": "I add."},
        {"content": "4", "reasoning_content": "<think>two twos</think>"},
    ],
)
def test_a_mark_that_would_be_learned_as_text_is_refused(said: dict) -> None:
    with pytest.raises(DataError, match=r"messages\[1\] has <think> or </think> .* reasoning_content"):
        read_line(json.dumps({"messages": [ASKED, SAID | said]}), "x")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "truncated"),
        ({}, "missing required field `messages`"),
        ({"messages": []}, "needs at least one message"),
        ({"messages": [ASKED]}, "ends with a message of role user"),
        ({"messages": [ASKED | {"role": "human"}, SAID]}, r"Invalid enum value 'human' - at `\$.messages"),
        ({"messages": [{"role": "user", "content": 4}, SAID]}, r"got `int` - at `\$.messages\[0\].content`"),
        ({"messages": [ASKED | {"reasoning": "x"}, SAID]}, "which only the assistant has"),
        ({"messages": [ASKED, SAID | {"weight": 0}]}, r"messages\[1\].weight is 0"),
        ({"messages": [ASKED, SAID | {"function_call": {"name": "add"}}]}, "write it as tool_calls"),
        ({"messages": [ASKED, SAID], "thinking": True}, "no turn has reasoning"),
        ({"messages": [ASKED, a_call(), a_result(), SAID]}, "calls add, but tools declares none"),
        ({"messages": [ASKED, a_call(name="ad"), a_result(), SAID], "tools": [ADD]}, r"calls ad, but .*\['add'\]"),
        ({"messages": [ASKED, a_call("[1]"), a_result(), SAID], "tools": [ADD]}, "arguments of add are no JSON object"),
        ({"messages": [ASKED, a_call("{x}"), a_result(), SAID], "tools": [ADD]}, "arguments of add are no JSON object"),
        ({"messages": [ASKED, a_call(), SAID], "tools": [ADD]}, r"messages\[2\] comes before the result of functions"),
        ({"messages": [ASKED, a_result(), SAID], "tools": [ADD]}, "answers the call 'call_x9', which no"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}, SAID]}, "Invalid value 'audio'"),
        ({"message": [ASKED, SAID]}, "the line has a field 'message'; write it as 'messages'"),
        ({"messages": [ASKED, SAID], "functions": [ADD]}, "field 'functions'; write it as 'tools'"),
        ({"messages": [ASKED, SAID], "Tools": [ADD]}, "field 'Tools'; write it as 'tools'"),
        (
            {"messages": [ASKED, SAID | {"thinking": "two twos"}]},
            r"messages\[1\] .*'reasoning_content', or",
        ),
        ({"messages": [ASKED, SAID | {"toolCalls": []}]}, r"messages\[1\] .*'toolCalls'; write it as 'tool_calls'"),
        (
            {"messages": [ASKED, a_call() | {"tool_calls": [{"function": {"name": "add", "args": {}}}]}, SAID]},
            r"messages\[1\].tool_calls.function .*'args'; write it as 'arguments'",
        ),
        (
            {"messages": [ASKED, SAID], "tools": [{"function": {"name": "add", "parameter": {}}}]},
            r"tools\[0\].function has a field 'parameter'; write it as 'parameters'",
        ),
    ],
)
def test_what_a_line_may_not_be(line: Any, says: str) -> None:
    with pytest.raises(ManyeyesError, match=says) as caught:
        read_line(line if isinstance(line, str) else json.dumps(line), "x")
    assert "\n" not in str(caught.value)


def test_faults_are_named_by_line_and_counted(tmp_path: Path) -> None:
    path = a_file(tmp_path, {"messages": [ASKED, SAID]}, "{", *[{"messages": [ASKED]}] * 12)
    with pytest.raises(DataError) as caught:
        DialogueFile(path)
    first, *lines, last = str(caught.value).splitlines()
    assert first == f"{path}: 13 lines cannot be used" and last == "  and 3 more"
    assert lines[0].startswith("  line 2: ") and lines[1].startswith("  line 3: it ends with") and len(lines) == 10


def test_bytes_that_are_no_text_are_a_fault_of_their_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b'{"messages": [{"role": "user", "content": "\xff"}]}\n')
    with pytest.raises(DataError, match="line 1: "):
        DialogueFile(path)


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_says_what_a_line_looks_like(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="holds no dialogue; a line is"):
        DialogueFile(a_file(tmp_path, text))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.jsonl: cannot be read \(No such file") as caught:
        DialogueFile(tmp_path / "gone.jsonl")
    assert "\n" not in str(caught.value)


def a_picture(url: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}, SAID]}


def saved(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8, 3), 200, np.uint8)).save(path)
    return path


def test_pictures_are_files_below_the_folder(tmp_path: Path) -> None:
    saved(tmp_path / "data" / "shots" / "one.png")
    path = a_file(tmp_path / "data", {"messages": [ASKED, SAID]}, a_picture("shots/one.png"))
    mine = DialogueFile(path)
    (picture,) = mine.dialogue(1).messages[0].media
    assert isinstance(picture, Picture) and (picture.width, picture.height) == (8, 6)
    info = file_source(str(path))
    assert info.domain == "vision" and "with pictures from line 2 on" in info.about
    assert file_source(str(a_file(tmp_path, {"messages": [ASKED, SAID]}))).domain == "text"


@pytest.mark.parametrize(
    "url",
    [
        "../secret.png",
        "shots/../../secret.png",
        "{outside}",
        "file:///etc/passwd",
        "https://x/y.png",
        "data:image/png;base64,AA",
    ],
)
def test_pictures_from_elsewhere_are_refused(tmp_path: Path, url: str) -> None:
    outside = saved(tmp_path / "secret.png")
    (tmp_path / "data").mkdir()
    path = a_file(tmp_path / "data", a_picture(url.format(outside=outside)))
    with pytest.raises(DataError, match="line 1: .*(leads out of|no picture beside)"):
        DialogueFile(path)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    outside = saved(tmp_path / "secret.png")
    (tmp_path / "data").mkdir()
    os.symlink(outside, tmp_path / "data" / "in.png")
    with pytest.raises(DataError, match="leads out of"):
        DialogueFile(a_file(tmp_path / "data", a_picture("in.png")))


def test_links_that_lead_to_each_other_are_refused(tmp_path: Path) -> None:
    os.symlink("two.png", tmp_path / "one.png")
    os.symlink("one.png", tmp_path / "two.png")
    with pytest.raises(DataError, match="leads out of"):
        DialogueFile(a_file(tmp_path, a_picture("one.png")))


def test_a_file_that_changes_under_a_run_is_a_record_error(tmp_path: Path) -> None:
    path = a_file(tmp_path, {"messages": [ASKED, SAID]}, {"messages": [ASKED, SAID]})
    mine = DialogueFile(path)
    path.write_text("no longer\n" * 40)
    with pytest.raises(RecordError, match="was changed while it is in use; line 2 is another"):
        mine.dialogue(1)


def test_a_source_is_read_again_when_its_file_has_changed(tmp_path: Path) -> None:
    name = str(a_file(tmp_path, {"messages": [ASKED, SAID]}))
    assert len(file_source(name).open_dialogues("train")) == 1
    a_file(tmp_path, *[{"messages": [ASKED, SAID]}] * 3)
    assert len(file_source(name).open_dialogues("train")) == 3


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3), st.booleans())
def test_what_is_written_reads_back(asked: str, told: str, thought: str, arguments: dict, thinking: bool) -> None:
    reasoning = thought if thinking else None
    call = ToolCall.of("add", arguments, index=0)
    tools = (Tool("add", told, {"type": "object", "properties": {}}),)
    steps: tuple[Message, ...] = (
        user(asked),
        assistant(told, reasoning=reasoning, calls=(call,)),
        tool_result(call, told),
        assistant(asked, reasoning=reasoning),
    )
    (back,) = read_line(line_of(Dialogue("x", steps, tools, thinking), source="test"), "x")
    assert (back.messages, back.tools, back.thinking) == (steps, tools, thinking)


def test_pictures_cannot_be_written() -> None:
    shown = Dialogue("x", (user(Picture.of(np.zeros((4, 4, 3), np.uint8))), assistant("black")))
    with pytest.raises(DataError, match="no file to be named by"):
        line_of(shown)
