"""A turn read token by token says what `core.chat_parse` says of it whole."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from manyeyes.core.chat_parse import parse
from manyeyes.core.conversation import ChatError
from manyeyes.core.messages import Message, ToolCall
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.serve_text import TextStream
from manyeyes.inference.serve_turn import MISSPELT_BEGIN, Delta, TurnReader

TOKENIZER = Tokenizer.tiny()
MARKS = {
    name: getattr(TOKENIZER, name)
    for name in ("end_think", "calls_begin", "calls_end", "call_begin", "call_argument_begin", "call_end", "im_end")
}
LETTERS = st.text(alphabet=st.sampled_from('ab é中😀\n{}":1<|_tool.l'), max_size=12)
SNIPPETS = LETTERS | st.sampled_from(
    [MISSPELT_BEGIN, MISSPELT_BEGIN[:9], "<|tool_call_section_end|>", "functions.zoom:3"]
)


def joined(deltas: list[Delta], *, thinking: bool) -> Message:
    """What a client puts together."""
    said = {"reasoning": "", "content": ""}
    calls: list[list[str]] = []
    for delta in deltas:
        if delta.kind == "call":
            assert delta.index == len(calls)
            calls.append([delta.id, delta.name, ""])
        elif delta.kind == "arguments":
            assert delta.index == len(calls) - 1
            calls[-1][2] += delta.text
        else:
            said[delta.kind] += delta.text
    made = tuple(ToolCall(*call) for call in calls)
    return Message("assistant", said["content"], said["reasoning"] if thinking else None, made)


def read(ids: list[int], *, thinking: bool) -> Message:
    reader = TurnReader(TOKENIZER, thinking=thinking)
    return joined([delta for token in ids for delta in reader.add(token)] + reader.end(), thinking=thinking)


@st.composite
def turns(draw) -> tuple[list[int], bool]:
    """Turns as a model writes them, cut anywhere."""
    thinking = draw(st.booleans())
    ids = [*TOKENIZER.encode(draw(SNIPPETS)), TOKENIZER.end_think] if thinking else []
    ids += TOKENIZER.encode(draw(SNIPPETS))
    misspelt = draw(st.booleans())
    calls = draw(st.lists(st.tuples(SNIPPETS, SNIPPETS), max_size=3))
    if calls:
        ids += TOKENIZER.encode(MISSPELT_BEGIN) if misspelt else [TOKENIZER.calls_begin]
        for name, arguments in calls:
            ids += [TOKENIZER.call_begin, *TOKENIZER.encode(name), TOKENIZER.call_argument_begin]
            ids += [*TOKENIZER.encode(arguments), TOKENIZER.call_end]
        ids += TOKENIZER.encode("<|tool_call_section_end|>") if misspelt else [TOKENIZER.calls_end]
    ids.append(TOKENIZER.im_end)
    return ids[: draw(st.integers(0, len(ids)))] if draw(st.booleans()) else ids, thinking


@given(turns())
def test_pieces_put_together_are_the_parsed_turn(turn) -> None:
    ids, thinking = turn
    try:
        whole = parse(ids, TOKENIZER, thinking=thinking)
    except ChatError:
        assume(False)
        return
    assert read(ids, thinking=thinking) == whole


@given(
    st.lists(st.sampled_from(sorted(MARKS.values())) | st.integers(0, TOKENIZER.n_vocab - 1), max_size=30),
    st.booleans(),
)
def test_any_ids_at_all_are_read_and_as_parsed_where_they_parse(ids, thinking) -> None:
    said = read(ids, thinking=thinking)
    try:
        whole = parse(ids, TOKENIZER, thinking=thinking)
    except ChatError:
        return
    assume(ids[:1] != [TOKENIZER.think])
    assert said == whole


def test_text_comes_as_soon_as_it_is_sure_and_never_half_a_character() -> None:
    reader = TurnReader(TOKENIZER, thinking=False)
    pieces = [[d.text for d in reader.add(byte)] for byte in "a😀<b".encode()]
    assert pieces == [["a"], [], [], [], ["😀"], [], ["<b"]]


def test_a_call_that_is_cut_gives_what_it_has() -> None:
    ids = [TOKENIZER.calls_begin, TOKENIZER.call_begin, *TOKENIZER.encode("functions.zoom:0")]
    assert read(ids, thinking=False).tool_calls == ()
    ids += [TOKENIZER.call_argument_begin, *TOKENIZER.encode('{"x": 1')]
    assert read(ids, thinking=False).tool_calls == (ToolCall("functions.zoom:0", "zoom", '{"x": 1'),)


def test_calls_without_the_end_of_the_thought_end_it() -> None:
    ids = [*TOKENIZER.encode("hm"), TOKENIZER.calls_begin, TOKENIZER.call_begin, *TOKENIZER.encode("f:0")]
    ids += [TOKENIZER.call_argument_begin, *TOKENIZER.encode("{}"), TOKENIZER.call_end, TOKENIZER.calls_end]
    assert read(ids, thinking=True) == Message("assistant", "", "hm", (ToolCall("f:0", "f", "{}"),))


@given(
    st.lists(st.text(alphabet="abé", max_size=5).map(str.encode), max_size=8),
    st.lists(st.text("abé", min_size=1), max_size=3),
)
def test_a_stop_text_cuts_where_the_whole_text_would_be_cut(pieces, stops) -> None:
    stream, text = TextStream(stops), b"".join(pieces).decode()
    said = "".join(stream.add(bytes([byte])) for piece in pieces for byte in piece) + stream.end()
    assert stream.cut == any(stop in text for stop in stops)
    assert not any(stop in said for stop in stops) and text.startswith(said) and (stream.cut or said == text)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_bytes_that_are_no_text_are_marked_as_such(size) -> None:
    stream = TextStream()
    data = b"a\xff\xe4\xb8b"
    said = "".join(stream.add(data[at : at + size]) for at in range(0, len(data), size)) + stream.end()
    assert said == data.decode("utf-8", "replace")
