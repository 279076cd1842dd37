import dataclasses
import importlib.util
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.chat import ChatError, Rendered, parse, render, render_document
from manyeyes.core.chat_parse import function_name
from manyeyes.core.media import Clip, MediaRules, Picture
from manyeyes.core.messages import (
    ImagePart,
    Message,
    TextPart,
    Tool,
    ToolCall,
    VideoPart,
    assistant,
    system,
    tool_result,
    user,
)
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.tool_declaration import declaration, declare

TINY = Tokenizer.tiny()
RULES = MediaRules(patch_size=8)
ZOOM = Tool("zoom", "Zooms in.", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]})
CALL = ToolCall("functions.zoom:0", "zoom", '{"x": 0.5}')
NEXT = ToolCall("functions.zoom:1", "zoom", '{"x":1}')
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "chat_ids.json").read_text(encoding="utf-8"))
IMAGE = "<|media_begin|>image<|media_content|><|media_pad|><|media_end|>\n"


def picture(width: int = 64, height: int = 64) -> Picture:
    return Picture.of(np.full((height, width, 3), 7, np.uint8))


def sealed(width: int = 64, height: int = 64) -> Picture:
    """A picture whose pixels must not be asked for."""

    def load():
        raise AssertionError("pixels were decoded")

    return Picture.lazy(width, height, load)


def rendered(messages: Sequence[Message], **options) -> Rendered:
    return render(messages, TINY, rules=RULES, **options)


def collapsed(ids, tokenizer: Tokenizer = TINY) -> list[int]:
    """Ids with each run of media tokens once, as the template writes it."""
    pairs = zip(ids, [-1, *ids[:-1]], strict=True)
    return [token for token, before in pairs if not token == before == tokenizer.media_pad]


def text_of(ids, tokenizer: Tokenizer = TINY) -> str:
    return tokenizer.decode(collapsed(ids, tokenizer))


def ids_of(text: str, tokenizer: Tokenizer = TINY) -> list[int]:
    """Ids of a text with special tokens spelt out: what the released tokenizer does with a rendered template."""
    pieces = re.split("(" + "|".join(re.escape(name) for name in tokenizer.special) + ")", text)
    return [
        token
        for piece in pieces
        for token in ([tokenizer.special[piece]] if piece in tokenizer.special else tokenizer.encode(piece))
    ]


def frames(rendering: Rendered) -> list[tuple[Picture, ...]]:
    return [visual.frames for visual in rendering.visuals]


def learned(rendering: Rendered) -> str:
    return TINY.decode(rendering.ids[rendering.weights > 0])


def check(rendering: Rendered, text: str) -> None:
    """The ids say the text, and are those the whole text encodes to."""
    assert text_of(rendering.ids) == text
    assert collapsed(rendering.ids) == ids_of(text)
    assert rendering.ids.dtype == np.int32 and rendering.weights.dtype == np.float32
    assert rendering.ids.shape == rendering.weights.shape == (rendering.length,)
    assert rendering.weights[0] == 0


# --- the template


def test_one_question():
    prompt = rendered([user("Hi")], generation_prompt=True)
    check(prompt, "<|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|><think>")
    assert not prompt.weights.any()


def test_instant_mode_closes_the_thought():
    prompt = rendered([user("Hi")], generation_prompt=True, thinking=False)
    check(prompt, "<|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|><think></think>")


def test_no_system_prompt_is_invented_and_other_roles_speak_as_system():
    messages = [system("Be brief."), Message("developer", "Be exact."), Message("user", "Hi", name="ann")]
    check(
        rendered(messages),
        "<|im_system|>system<|im_middle|>Be brief.<|im_end|>"
        "<|im_system|>developer<|im_middle|>Be exact.<|im_end|>"
        "<|im_user|>ann<|im_middle|>Hi<|im_end|>",
    )


def test_tools_are_declared_before_everything():
    check(
        rendered([system("S"), user("Hi")], tools=[ZOOM]),
        "<|im_system|>tool_declare<|im_middle|># Tools\n\n## functions\nnamespace functions {\n// Zooms in.\n"
        "type zoom = (_: {\n  x: number\n}) => any;\n}\n<|im_end|>"
        "<|im_system|>system<|im_middle|>S<|im_end|><|im_user|>user<|im_middle|>Hi<|im_end|>",
    )


def test_tools_without_a_typescript_form_are_declared_as_json():
    odd = Tool("odd", "é", {"type": "object", "properties": {"x": {"description": "no type"}}})
    check(
        rendered([user("Hi")], tools=[odd]),
        '<|im_system|>tool_declare<|im_middle|>[{"function":{"description":"é","name":"odd","parameters":{"properties":'
        '{"x":{"description":"no type"}},"type":"object"}},"type":"function"}]<|im_end|>'
        "<|im_user|>user<|im_middle|>Hi<|im_end|>",
    )


TURN = [
    user("Look"),
    assistant("", reasoning="first", calls=(CALL, NEXT)),
    tool_result(CALL, "a"),
    Message("tool", "b", tool_call_id=NEXT.id, name="zoomer"),
    assistant("between", reasoning="second", calls=(CALL,)),
    tool_result(CALL, "c"),
]
CALLS = (
    "<|tool_calls_section_begin|>"
    '<|tool_call_begin|>functions.zoom:0<|tool_call_argument_begin|>{"x": 0.5}<|tool_call_end|>'
    '<|tool_call_begin|>functions.zoom:1<|tool_call_argument_begin|>{"x":1}<|tool_call_end|>'
    "<|tool_calls_section_end|>"
)
ONE_CALL = (
    "<|tool_calls_section_begin|>"
    '<|tool_call_begin|>functions.zoom:0<|tool_call_argument_begin|>{"x": 0.5}<|tool_call_end|>'
    "<|tool_calls_section_end|>"
)


def turn_text(first: str, second: str) -> str:
    return (
        "<|im_user|>user<|im_middle|>Look<|im_end|>"
        f"<|im_assistant|>assistant<|im_middle|><think>{first}</think>{CALLS}<|im_end|>"
        "<|im_system|>tool<|im_middle|>## Return of functions.zoom:0\na<|im_end|>"
        "<|im_system|>zoomer<|im_middle|>## Return of functions.zoom:1\nb<|im_end|>"
        f"<|im_assistant|>assistant<|im_middle|><think>{second}</think>between{ONE_CALL}<|im_end|>"
        "<|im_system|>tool<|im_middle|>## Return of functions.zoom:0\nc<|im_end|>"
    )


def test_reasoning_stays_in_the_open_turn():
    turn = rendered(TURN)
    check(turn, turn_text("first", "second"))
    assert learned(turn) == f"first</think>{CALLS}<|im_end|>second</think>between{ONE_CALL}<|im_end|>"


def test_a_final_answer_turns_everything_before_it_into_history():
    closed = rendered([*TURN, assistant("Done", reasoning="third")])
    answer = "<|im_assistant|>assistant<|im_middle|><think></think>Done<|im_end|>"
    check(closed, turn_text("", "") + answer)
    assert learned(closed) == f"{CALLS}<|im_end|>between{ONE_CALL}<|im_end|>Done<|im_end|>"
    after = [user("And now?"), assistant("", reasoning="fourth", calls=(CALL,))]
    check(
        rendered([*TURN, assistant("Done", reasoning="third"), *after]),
        turn_text("", "") + answer + "<|im_user|>user<|im_middle|>And now?<|im_end|>"
        f"<|im_assistant|>assistant<|im_middle|><think>fourth</think>{ONE_CALL}<|im_end|>",
    )


def test_instant_mode_blanks_the_open_turn_too():
    check(rendered(TURN, thinking=False), turn_text("", ""))


def test_preserved_thinking_keeps_all_reasoning():
    messages = [*TURN, assistant("Done", reasoning="third"), user("Go on")]
    check(
        rendered(messages, preserve_thinking=True),
        turn_text("first", "second") + "<|im_assistant|>assistant<|im_middle|><think>third</think>Done<|im_end|>"
        "<|im_user|>user<|im_middle|>Go on<|im_end|>",
    )


def test_a_sampled_answer_stands_behind_the_prompt_it_was_sampled_from():
    messages = [*TURN, assistant("Done", reasoning="third")]
    prompt = rendered(TURN, generation_prompt=True)
    sampled = rendered(messages, as_sampled=True)
    assert sampled.ids[: prompt.length].tolist() == prompt.ids.tolist()
    assert TINY.decode(sampled.ids[prompt.length :]) == "third</think>Done<|im_end|>"
    assert sampled.weights[prompt.length :].all()
    with pytest.raises(ChatError, match="as_sampled expects an assistant message at the end, got tool"):
        rendered(TURN, as_sampled=True)


def test_an_assistant_may_speak_first():
    opening = assistant("Hello", reasoning="greet")
    text = "<|im_assistant|>assistant<|im_middle|><think>greet</think>Hello<|im_end|>"
    check(rendered([opening], as_sampled=True), text)
    check(rendered([opening], preserve_thinking=True), text)
    check(rendered([opening]), text.replace("greet", ""))


def test_thoughts_that_nobody_sampled_weigh_nothing():
    assert learned(rendered([user("Q"), assistant("A")], as_sampled=True)) == "A<|im_end|>"
    assert learned(rendered([user("Q"), assistant("A", reasoning="")], as_sampled=True)) == "</think>A<|im_end|>"
    assert (
        learned(rendered([user("Q"), assistant("A", reasoning="x")], as_sampled=True, thinking=False)) == "A<|im_end|>"
    )


@pytest.mark.parametrize(
    "roles, expected",
    [
        (("assistant",), "A<|im_end|>"),
        (("user",), "Q<|im_end|>"),
        (("user", "assistant", "system"), "S<|im_end|>Q<|im_end|>A<|im_end|>"),
        ((), ""),
    ],
)
def test_whose_words_are_learned(roles, expected):
    assert learned(rendered([system("S"), user("Q"), assistant("A")], weight_roles=roles)) == expected


def test_a_forced_newline_does_not_weigh_alone():
    forced = rendered([user(picture(), "tail")], weight_roles=("user",))
    assert learned(forced) == "tail<|im_end|>"
    joined = rendered([user(picture(), "\n\ntail")], weight_roles=("user",))
    assert text_of(joined.ids).endswith(f"{IMAGE}\n\ntail<|im_end|>")
    assert learned(joined).startswith("\n") and learned(joined).lstrip("\n") == "tail<|im_end|>"


# --- media


def test_an_image_is_as_many_tokens_as_its_grid():
    message = rendered([user("See ", sealed(64, 48), "and", sealed(1, 1))])
    check(message, f"<|im_user|>user<|im_middle|>See {IMAGE}and{IMAGE}<|im_end|>")
    assert [visual.grid.tokens for visual in message.visuals] == [12, 1]
    assert (message.ids == TINY.media_pad).sum() == 13
    assert not message.weights.any()


def test_a_clip_is_chunks_with_the_time_of_each():
    clip = Clip(tuple(sealed(32, 32) for _ in range(20)), fps=8.0)
    message = rendered([user(clip, "What happens?")])
    chunk = "<|media_begin|>video<|media_content|><|media_pad|><|media_end|>"
    check(
        message,
        f"<|im_user|>user<|im_middle|>00:00:00.000{chunk}00:00:02.375{chunk}\nWhat happens?<|im_end|>",
    )
    assert [visual.grid for visual in message.visuals] == [(4, 4, 4), (1, 4, 4)]
    assert (message.ids == TINY.media_pad).sum() == 8


def test_tools_may_return_pictures():
    messages = [user("Look"), assistant("", calls=(CALL,)), tool_result(CALL, "zoomed: ", sealed())]
    assert text_of(rendered(messages).ids).endswith(f"## Return of functions.zoom:0\nzoomed: {IMAGE}<|im_end|>")


def test_a_sample_decodes_what_was_rendered():
    message = rendered([user(picture(64, 48), "What?"), assistant("Grey")])
    sample = message.sample("toy/1")
    assert sample.name == "toy/1" and sample.length == message.length
    assert [media.grid for media in sample.media] == [visual.grid for visual in message.visuals]
    assert sample.media[0].patches.shape == (48, 3, 8, 8)
    assert (sample.media[0].patches == 7).all()
    assert np.array_equal(sample.ids, message.ids) and np.array_equal(sample.weights, message.weights)


def test_an_assistant_is_not_asked_to_write_pictures():
    message = rendered(
        [user("Draw"), Message("assistant", (TextPart("Here: "), *user(picture()).parts, TextPart("!")))]
    )
    assert learned(message) == "Here: !<|im_end|>"


# --- documents


def test_a_document_is_learned_from_its_second_token_on():
    document = render_document(["One ", TextPart("two"), sealed(64, 64), "three"], TINY, rules=RULES)
    block = "<|media_begin|>image<|media_content|><|media_pad|><|media_end|>"
    check(document, f"[BOS]One two{block}three[EOS]")
    assert learned(document) == "One twothree[EOS]"
    assert document.weights[0] == 0


def test_a_document_of_a_clip():
    document = render_document([Clip((sealed(16, 16),), fps=1.0), "end"], TINY, rules=RULES)
    block = "<|media_begin|>video<|media_content|><|media_pad|><|media_end|>"
    check(document, f"[BOS]00:00:00.000{block}end[EOS]")
    assert learned(document) == "end[EOS]"


@pytest.mark.parametrize("parts", [[], [""], [TextPart("")]])
def test_an_empty_document_is_refused(parts):
    with pytest.raises(ChatError, match="needs text or media"):
        render_document(parts, TINY, rules=RULES)


# --- back to a message


WHOLE = "<|im_assistant|>assistant<|im_middle|>"


@pytest.mark.parametrize(
    "text, options, message",
    [
        (f"{WHOLE}<think></think>Hi<|im_end|>", {}, assistant("Hi")),
        (f"{WHOLE}<think>hm</think>Hi<|im_end|>", {}, assistant("Hi", reasoning="hm")),
        (f"{WHOLE}<think>hm</think>Hi", {}, assistant("Hi", reasoning="hm")),
        (f"{WHOLE}<think>hm</think>Hi[EOS]", {}, assistant("Hi", reasoning="hm")),
        (f"{WHOLE}Hi<|im_end|>", {}, assistant("Hi")),
        ("<|im_assistant|>bob<|im_middle|><think></think>Hi", {}, Message("assistant", "Hi", name="bob")),
        ("<think>hm</think>Hi<|im_end|>", {}, assistant("Hi", reasoning="hm")),
        ("hm</think>Hi<|im_end|>", {}, assistant("Hi", reasoning="hm")),
        ("</think>Hi<|im_end|>", {}, assistant("Hi", reasoning="")),
        ("cut off in thou", {}, assistant("", reasoning="cut off in thou")),
        ("Hi<|im_end|>", {"thinking": False}, assistant("Hi")),
        ("", {"thinking": False}, assistant("")),
        (f"hm</think>{CALLS}<|im_end|>", {}, assistant("", reasoning="hm", calls=(CALL, NEXT))),
        (f"so{ONE_CALL}", {"thinking": False}, assistant("so", calls=(CALL,))),
        (f"{WHOLE}<think></think>{ONE_CALL}<|im_end|>", {}, assistant("", calls=(CALL,))),
    ],
)
def test_ids_parse(text, options, message):
    assert parse(ids_of(text), TINY, **options) == message


def test_arrays_parse():
    assert parse(np.array(ids_of("a</think>b<|im_end|>"), np.int32), TINY) == assistant("b", reasoning="a")


def test_misspelt_section_marks_are_understood():
    middle = ONE_CALL.removeprefix("<|tool_calls_section_begin|>").removesuffix("<|tool_calls_section_end|>")
    text = f"hm</think>so<|tool_call_section_begin|>{middle}<|tool_call_section_end|><|im_end|>"
    assert parse(ids_of(text), TINY) == assistant("so", reasoning="hm", calls=(CALL,))


@pytest.mark.parametrize(
    "text, message",
    [
        ("Hi<|im_end|>more", "ids after the end"),
        ("Hi<|im_end|><|im_end|>", "1 ids after the end"),
        ("<|im_assistant|>assistant", "<|im_middle|> is missing"),
        ("a<|im_user|>b", "special token <|im_user|> in the content"),
        ("a<|media_pad|>b", "special token <|media_pad|> in the content"),
        ("a</think>b", "special token </think> in the content"),
        ("<think>a<think>b</think>c", "special token <think> in the reasoning"),
        ("<|im_assistant|>a<think>b<|im_middle|>c", "special token <think> in the name"),
        ("<|tool_calls_section_begin|>", "must close"),
        ("<|tool_calls_section_begin|><|tool_calls_section_end|>", "is empty"),
        (ONE_CALL + "more", "must close with"),
        (ONE_CALL.removesuffix("<|tool_calls_section_end|>"), "must close with"),
        (ONE_CALL.replace("<|tool_call_end|>", ""), "tool call 0 must stand between"),
        (ONE_CALL.replace("<|tool_call_argument_begin|>", ""), "needs <|tool_call_argument_begin|>"),
        (ONE_CALL.replace("functions", "<|im_end|>"), "ids after the end"),
        (ONE_CALL.replace("zoom", "<think>"), "special token <think> in the tool call id"),
        (ONE_CALL.replace("<|tool_calls_section_begin|>", "<|tool_calls_section_begin|>x"), "tool call 0 must stand"),
        (
            "<|tool_call_begin|>functions.zoom:0<|tool_call_argument_begin|>{}<|tool_call_end|>",
            "must stand in a section",
        ),
        ("<|tool_call_begin|>", "must stand in a section"),
    ],
)
def test_ids_that_are_no_assistant_turn_are_refused(text, message):
    with pytest.raises(ChatError, match=re.escape(message)) as caught:
        parse(ids_of(text), TINY, thinking=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "call_id, name",
    [
        ("functions.zoom:0", "zoom"),
        ("functions.a.b:12", "a.b"),
        ("zoom:3", "zoom"),
        ("functions.get-weather:1", "get-weather"),
        (" functions.zoom:0 ", "zoom"),
        ("zoom", "zoom"),
        ("functions.zoom", "zoom"),
        ("", ""),
    ],
)
def test_the_function_that_a_call_names(call_id, name):
    assert function_name(call_id) == name


# --- laws

CLIP = Clip((sealed(16, 16),) * 3, fps=0.5)
CHUNK = "00:00:00.000<|media_begin|>video<|media_content|><|media_pad|><|media_end|>"

LOOKALIKE = st.sampled_from(
    ["<|im_end|>", "</think>", "<|media_pad|>", "<|tool_calls_section_begin|>", "[EOS]", "\n\n"]
)
TEXTS = st.lists(st.text(max_size=6) | LOOKALIKE, max_size=4).map("".join)
IDS = st.builds("functions.{}:{}".format, st.text("abc_.", min_size=1, max_size=5), st.integers(0, 99))
TOOL_CALLS = st.lists(
    st.builds(lambda call_id, arguments: ToolCall(call_id, function_name(call_id), arguments), IDS, TEXTS), max_size=3
).map(tuple)
ANSWERS = st.builds(lambda text, why, calls: assistant(text, reasoning=why, calls=calls), TEXTS, TEXTS, TOOL_CALLS)
PIECES = st.lists(TEXTS | st.sampled_from([sealed(16, 16), sealed(40, 20), CLIP]), max_size=3)
USERS = PIECES.map(lambda pieces: user(*pieces))
STEPS = st.builds(
    lambda text, why, calls, results: [
        assistant(text, reasoning=why, calls=calls),
        *(tool_result(call, *pieces) for call, pieces in zip(calls, results, strict=False)),
    ],
    TEXTS,
    st.none() | TEXTS,
    TOOL_CALLS.filter(len),
    st.lists(PIECES, min_size=3, max_size=3),
)
HISTORIES = st.lists(st.tuples(USERS, st.lists(STEPS, max_size=2), ANSWERS), max_size=2).map(
    lambda turns: [m for question, steps, answer in turns for m in (question, *sum(steps, []), answer)]
)
OPEN_TURNS = st.builds(
    lambda history, question, steps: ([*history, question], steps), HISTORIES, USERS, st.lists(STEPS, max_size=3)
)


@settings(deadline=None)
@given(OPEN_TURNS, st.booleans(), st.booleans())
def test_a_longer_open_turn_only_appends(conversation, thinking, preserve_thinking):
    messages, steps = conversation
    options = {"thinking": thinking, "preserve_thinking": preserve_thinking, "tools": [ZOOM]}
    before = rendered(messages, **options)
    for step in steps:
        prompt = rendered(messages, **options, generation_prompt=True)
        for message in step:
            messages = [*messages, message]
            longer = rendered(messages, **options)
            for shorter in (before, prompt):
                assert longer.ids[: shorter.length].tolist() == shorter.ids.tolist()
            assert longer.weights[: before.length].tolist() == before.weights.tolist()
            assert frames(longer)[: len(before.visuals)] == frames(before)
            before = longer


@settings(deadline=None)
@given(OPEN_TURNS.map(lambda conversation: conversation[0]), ANSWERS, st.booleans())
def test_what_was_sampled_parses_and_renders_to_the_same_ids(messages, answer, thinking):
    prompt = rendered(messages, thinking=thinking, generation_prompt=True)
    whole = rendered([*messages, answer], thinking=thinking, as_sampled=True)
    assert whole.ids[: prompt.length].tolist() == prompt.ids.tolist()
    sampled = whole.ids[prompt.length :]
    parsed = parse(sampled, TINY, thinking=thinking)
    expected = answer if thinking else assistant(answer.text, calls=answer.tool_calls)
    assert parsed == expected
    again = rendered([*messages, parsed], thinking=thinking, as_sampled=True)
    assert again.ids.tolist() == whole.ids.tolist()
    assert again.weights.tolist() == whole.weights.tolist()
    assert whole.weights[prompt.length :].all()


@settings(deadline=None)
@given(ANSWERS, st.booleans())
def test_a_whole_turn_parses_and_renders_to_the_same_ids(answer, thinking):
    ids = rendered([answer], thinking=thinking, as_sampled=True).ids
    assert rendered([parse(ids, TINY)], as_sampled=True).ids.tolist() == ids.tolist()


@settings(deadline=None)
@given(OPEN_TURNS)
def test_weights_are_those_of_what_the_assistant_wrote(conversation):
    messages, steps = conversation
    messages = [*messages, *sum(steps, [])]
    rendering = rendered(messages, preserve_thinking=True)
    calls = [message.tool_calls for message in messages]
    written = [
        ("" if m.reasoning is None else m.reasoning + "</think>") + m.text + section(c) + "<|im_end|>"
        for m, c in zip(messages, calls, strict=True)
        if m.role == "assistant"
    ]
    assert learned(rendering) == "".join(written)
    assert set(rendering.weights.tolist()) <= {0.0, 1.0}
    assert not rendering.weights[rendering.ids == TINY.media_pad].any()
    assert (rendering.ids == TINY.media_pad).sum() == sum(visual.grid.tokens for visual in rendering.visuals)


def section(calls: Sequence[ToolCall]) -> str:
    inner = (
        f"<|tool_call_begin|>{call.id}<|tool_call_argument_begin|>{call.arguments}<|tool_call_end|>" for call in calls
    )
    return f"<|tool_calls_section_begin|>{''.join(inner)}<|tool_calls_section_end|>" if calls else ""


@settings(deadline=None)
@given(OPEN_TURNS, st.text(max_size=4))
def test_text_never_becomes_structure(conversation, extra):
    """Special tokens of a rendering are those of its messages' shape, whatever their texts say."""
    messages, steps = conversation
    messages = [*messages, *sum(steps, [])]
    noise = TextPart(f"<|im_end|>{extra}<think>")
    spiked = [dataclasses.replace(message, content=(*message.parts, noise)) for message in messages]
    specials = [[t for t in rendered(each).ids.tolist() if TINY.is_special(t)] for each in (messages, spiked)]
    assert specials[0] == specials[1]


# --- conversations that have no rendering


@pytest.mark.parametrize(
    "messages, message",
    [
        ([], "needs at least one message"),
        ([Message("asistant", "Hi")], "message 0 (asistant): unknown role, expected one of system,"),  # type: ignore[arg-type]
        ([user("Hi"), tool_result(CALL, "x")], "answers the call 'functions.zoom:0', which no assistant message"),
        ([user("Hi"), Message("tool", "x")], "answers the call None"),
        ([user("Hi"), assistant("", calls=(NEXT,)), tool_result(CALL, "x")], "calls so far: functions.zoom:1"),
        ([Message("user", "Hi", reasoning="hm")], "message 0 (user) has reasoning or tool calls"),
        ([Message("system", "Hi", tool_calls=(CALL,))], "message 0 (system) has reasoning or tool calls"),
        ([Message("user", "Hi", tool_call_id="functions.zoom:0")], "has a tool_call_id"),
        ([assistant("", calls=(ToolCall("", "zoom", "{}"),))], "a tool call without id; name it functions.zoom:"),
        ([assistant("", calls=(ToolCall("a:0", "a", {"x": 1}),))], "arguments of a:0 are dict"),  # type: ignore[arg-type]
    ],
)
def test_bad_conversations_are_refused(messages, message):
    with pytest.raises(ChatError, match=re.escape(message)) as caught:
        rendered(messages, generation_prompt=True)
    assert "\n" not in str(caught.value)


# --- the released vocabulary and template, from independent packages that carry them


@pytest.mark.parity
@pytest.mark.slow
def test_the_released_ids_of_a_prompt(released):
    prompt = render([user("Hi")], released.tokenizer, rules=MediaRules(), generation_prompt=True)
    assert prompt.ids.tolist() == [163587, 2482, 163601, 18699, 163586, 163588, 69702, 163601, 163606]
    assert prompt.ids.tolist() == GOLDEN["ids"]["prompt"]
    image = render([user(sealed(224, 224), "?")], released.tokenizer, rules=MediaRules())
    assert image.ids.tolist().count(163605) == 64


@pytest.fixture(scope="session")
def template():
    """The released Jinja template with K2.6's `preserve_thinking`, as miles-tito-tokenizers 0.1.1 carries it."""
    spec = importlib.util.find_spec("miles_tito_tokenizers")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs miles-tito-tokenizers")
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    path = Path(spec.submodule_search_locations[0]) / "templates" / "kimi_k25_fixed.jinja"
    return environment.from_string(path.read_text(encoding="utf-8"))


def as_api(message: Message) -> dict:
    """A message as the chat API writes it."""
    kinds = {ImagePart: "image", VideoPart: "video_url"}
    parts = [
        {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": kinds[type(part)]}
        for part in message.parts
    ]
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.tool_calls
    ]
    return {
        "role": message.role,
        "name": message.name,
        "content": message.content if isinstance(message.content, str) else parts,
        "reasoning_content": message.reasoning or "",
        "tool_calls": calls,
        "tool_call_id": message.tool_call_id,
    }


@pytest.mark.parity
@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(OPEN_TURNS, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_the_released_template_gives_the_same_text(template, conversation, thinking, preserve_thinking, prompt, tools):
    messages, steps = conversation
    messages = [*messages, *sum(steps, [])]
    declared = [ZOOM] if tools else []
    ours = rendered(
        messages, thinking=thinking, preserve_thinking=preserve_thinking, generation_prompt=prompt, tools=declared
    )
    theirs = template.render(
        messages=[as_api(message) for message in messages],
        tools=[declaration(tool) for tool in declared],
        tools_ts_str=declare(declared) if tools else None,
        thinking=thinking,
        preserve_thinking=preserve_thinking,
        add_generation_prompt=prompt,
    )
    assert text_of(ours.ids) == theirs.replace("<|kimi_k25_video_placeholder|>", CHUNK)


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("thinking", [True, False])
def test_the_released_template_gives_the_same_ids(released, template, thinking):
    messages = [
        system("你好"),
        *TURN,
        assistant("Done", reasoning="third"),
        user("Look", sealed(), "and say."),
        *TURN[1:],
    ]
    ours = render(
        messages, released.tokenizer, rules=MediaRules(), tools=[ZOOM], thinking=thinking, generation_prompt=True
    )
    theirs = template.render(
        messages=[as_api(message) for message in messages],
        tools=[declaration(ZOOM)],
        tools_ts_str=declare([ZOOM]),
        thinking=thinking,
        add_generation_prompt=True,
    )
    special, encode = released.tokenizer.special, released.reference.encode_ordinary
    pieces = re.split("(" + "|".join(map(re.escape, special)) + ")", theirs)
    expected = [token for piece in pieces for token in ([special[piece]] if piece in special else encode(piece))]
    assert collapsed(ours.ids, released.tokenizer) == expected
    assert expected == GOLDEN["ids"]["thinking" if thinking else "instant"]
