"""Dialogues as the planner's source: what is learned, how long it is, and that text stays text."""

from collections.abc import Sequence

import numpy as np
import pytest

from manyeyes.core.chat import render
from manyeyes.core.errors import DataError
from manyeyes.core.media import MediaRules, Picture
from manyeyes.core.messages import Message, Tool, ToolCall, assistant, system, tool_result, user
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import Domain
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.dialogue_source import DialogueSource, rendered
from manyeyes.data.loader import Loader
from manyeyes.data.mixture import constant
from manyeyes.data.plan import Planner
from manyeyes.data.source import RecordError
from manyeyes.data.text_only import NotTextOnly, TextOnly, require_text

RULES = MediaRules(patch_size=8, in_patch_limit=1024, in_patch_limit_each_frame=256, patch_limit_on_one_side=64)
TOKENIZER = Tokenizer.tiny()
ZOOM = Tool("zoom", "Look closer.", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]})
CALL = ToolCall.of("zoom", {"x": 0.5}, index=0)
PICTURE = Picture.of(np.zeros((16, 16, 3), np.uint8))


class Given:
    """A collection of given dialogues; counts how often one is made."""

    def __init__(self, *dialogues: Dialogue) -> None:
        self.name, self.dialogues, self.made = "given", dialogues, 0

    def __len__(self) -> int:
        return len(self.dialogues)

    def dialogue(self, index: int) -> Dialogue:
        self.made += 1
        return self.dialogues[index]


def a_dialogue(*messages: Message, thinking: bool = False, tools: Sequence[Tool] = ()) -> Dialogue:
    return Dialogue("given/0", messages, tuple(tools), thinking)


def a_source(*dialogues: Dialogue, part_length: int = 256, domain: Domain = "text") -> DialogueSource:
    return DialogueSource(Given(*dialogues), TOKENIZER, rules=RULES, part_length=part_length, domain=domain)


def learned(dialogue: Dialogue) -> str:
    sample = a_source(dialogue, part_length=1024, domain="vision").sample(0, 0)
    return TOKENIZER.decode(sample.ids[sample.weights > 0])


def test_all_answers_of_an_instant_dialogue_are_learned_and_nothing_else() -> None:
    dialogue = a_dialogue(system("Be brief."), user("2 + 2?"), assistant("4"), user("3 + 3?"), assistant("6"))
    assert learned(dialogue) == "4<|im_end|>6<|im_end|>"


def test_calls_are_learned_and_results_are_not() -> None:
    used = a_dialogue(
        user("How big?"), assistant(calls=(CALL,)), tool_result(CALL, "16 x 16"), assistant("16"), tools=[ZOOM]
    )
    said = learned(used)
    assert 'functions.zoom:0<|tool_call_argument_begin|>{"x": 0.5}' in said and said.endswith("16<|im_end|>")
    assert "16 x 16" not in said and "Look closer" not in said


def test_a_thinking_dialogue_teaches_the_turn_whose_reasoning_is_seen() -> None:
    turns = (user("2 + 2?"), assistant("4", reasoning="two twos"), user("3 + 3?"), assistant("6", reasoning="three"))
    assert learned(a_dialogue(*turns, thinking=True)) == "three</think>6<|im_end|>"
    assert learned(a_dialogue(*turns[:2], thinking=True)) == "two twos</think>4<|im_end|>"


def test_the_steps_of_an_open_turn_all_keep_their_reasoning() -> None:
    steps = (
        user("How big?"),
        assistant("", reasoning="I look.", calls=(CALL,)),
        tool_result(CALL, "16"),
        assistant("16", reasoning="So it is."),
    )
    said = learned(a_dialogue(*steps, thinking=True, tools=[ZOOM]))
    assert said.startswith("I look.</think>") and said.endswith("So it is.</think>16<|im_end|>")


def test_ids_are_those_that_the_model_would_have_sampled_after() -> None:
    """Every prefix that ends before an assistant message is a prompt, and the learned ids follow from it."""
    steps = (
        user("How big?"),
        assistant("", reasoning="I look.", calls=(CALL,)),
        tool_result(CALL, "16"),
        assistant("16", reasoning="So it is."),
    )
    whole = rendered(a_dialogue(*steps, thinking=True, tools=[ZOOM]), TOKENIZER, rules=RULES)
    for end in (1, 3):
        prompt = render(steps[:end], TOKENIZER, rules=RULES, tools=[ZOOM], generation_prompt=True).ids
        assert np.array_equal(whole.ids[: len(prompt)], prompt) and whole.weights[len(prompt)] == 1


@pytest.mark.parametrize(
    ("dialogue", "says"),
    [
        (a_dialogue(user("2 + 2?"), assistant("4"), thinking=True), "without reasoning"),
        (a_dialogue(user("2 + 2?")), "as_sampled expects an assistant"),
        (a_dialogue(), "at least one message"),
        (a_dialogue(user("why? " * 300), assistant("no")), "tokens, a row holds 256"),
    ],
)
def test_a_dialogue_that_cannot_be_learned_from_is_a_record_error(dialogue: Dialogue, says: str) -> None:
    for read in (lambda: a_source(dialogue).length(0, 0), lambda: a_source(dialogue).sample(0, 0)):
        with pytest.raises(RecordError, match=says):
            read()


def test_length_is_that_of_the_sample_and_made_once() -> None:
    source = a_source(*(a_dialogue(user(f"{n} + 1?"), assistant(str(n + 1))) for n in range(5)))
    lengths = [source.length(index, epoch) for epoch in range(3) for index in range(5)]
    assert lengths == [source.sample(index, epoch).length for epoch in range(3) for index in range(5)]
    collection = source.collection
    assert isinstance(collection, Given) and collection.made == 5


def test_a_picture_in_a_text_collection_ends_the_run() -> None:
    shown = a_dialogue(user(PICTURE, "What is it?"), assistant("black"))
    source = a_source(a_dialogue(user("Hi"), assistant("Hello")), shown)
    with pytest.raises(NotTextOnly, match=r"given/0 has 1 pictures or clips and \d+ media tokens") as caught:
        source.length(1, 0)
    assert not isinstance(caught.value, RecordError), "nothing may put a stand-in in its place"
    planner = Planner([source], constant(0.0), row_length=256, seed=0)
    with pytest.raises(NotTextOnly), Loader(planner, rows_per_batch=1, pad_id=TOKENIZER.pad, workers=0) as loader:
        list(zip(range(4), loader, strict=False))
    assert a_source(shown, domain="vision").sample(0, 0).media


def test_text_that_only_looks_like_a_media_token_is_text() -> None:
    assert a_source(a_dialogue(user("<|media_pad|>"), assistant("That is text."))).sample(0, 0).length > 10


def test_a_media_token_without_media_is_found_in_any_source() -> None:
    with pytest.raises(NotTextOnly, match="x has 0 pictures or clips and 1 media tokens"):
        require_text("x", np.array([5, TOKENIZER.media_end], np.int32), TOKENIZER)
    shown = a_source(a_dialogue(user(PICTURE, "What is it?"), assistant("black")), domain="vision")
    with pytest.raises(NotTextOnly):
        TextOnly(shown, TOKENIZER).sample(0, 0)
    plain = TextOnly(a_source(a_dialogue(user("Hi"), assistant("Hello"))), TOKENIZER)
    assert plain.sample(0, 0).length == plain.length(0, 0) and len(plain) == 1


def test_a_row_shorter_than_any_dialogue_is_refused() -> None:
    with pytest.raises(DataError, match="part_length must be at least 16"):
        a_source(part_length=8)
