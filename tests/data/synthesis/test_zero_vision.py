"""Zero-vision dialogues: no picture anywhere, what code printed is what it prints, answers are right, splits differ."""

import json

import pytest

from manyeyes.core.chat import render
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message
from manyeyes.core.picture import Picture
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.synthesis.zero_vision import PATIENCE, ZeroVision, named, seen, told
from manyeyes.data.synthesis.zero_vision_programs import TEACHERS, TOOL, printed
from manyeyes.data.synthesis.zero_vision_sight import is_right
from manyeyes.data.synthesis.zero_vision_sights import KINDS, Sight, sight
from manyeyes.model.config import tiny

SIZE = 60


def dialogues(**fields) -> list[Dialogue]:
    collection = ZeroVision(size=SIZE, **fields)
    return [collection.dialogue(index) for index in range(SIZE)]


def sight_behind(dialogue: Dialogue) -> Sight:
    """The sight that a measured dialogue was made from, found again by its question and its calls."""
    _, _, split, index, kind = dialogue.name.split("/")
    for attempt in range(PATIENCE):
        found = sight(kind, int(index) * PATIENCE + attempt, seed=1, split=split)  # pyright: ignore[reportArgumentType]
        if dialogue.messages[0].text.endswith(found.question) and _reruns(dialogue, found):
            return found
    raise AssertionError(f"{dialogue.name} was made from no sight")


def _reruns(dialogue: Dialogue, found: Sight) -> bool:
    runs = zip(dialogue.messages[1:-1:2], dialogue.messages[2:-1:2], strict=True)
    pixels = found.draw()
    return all(printed(json.loads(one.tool_calls[0].arguments)["code"], pixels) == got.text for one, got in runs)


def test_no_message_holds_a_picture_and_no_id_belongs_to_media() -> None:
    tokenizer, rules = Tokenizer.tiny(), tiny().rules
    media = {tokenizer.media_begin, tokenizer.media_content, tokenizer.media_pad, tokenizer.media_end}
    for dialogue in dialogues():
        out = render(dialogue.messages, tokenizer, rules=rules, tools=dialogue.tools, thinking=False, as_sampled=True)
        assert not out.visuals and not media & set(out.ids.tolist())
        assert out.length < 800


def test_what_a_tool_printed_is_what_the_code_prints_and_the_answer_is_right() -> None:
    for dialogue in dialogues(told=0.0, turns=1)[:36]:
        found = sight_behind(dialogue)
        assert is_right(found, dialogue.messages[-1].text)
        assert dialogue.messages[-2].text.strip() == dialogue.messages[-1].text
        assert dialogue.tools == (TOOL,)


def test_every_kind_is_measured_in_several_ways() -> None:
    ways: dict[str, set[str]] = {kind: set() for kind in TEACHERS}
    for dialogue in dialogues(told=0.0, turns=1):
        ways[dialogue.name.rsplit("/", 1)[1]].add(dialogue.messages[1].tool_calls[0].arguments)
    assert all(len(codes) >= 3 for codes in ways.values())


def test_a_conversation_measures_one_picture_after_another_and_counts_its_calls() -> None:
    longer = [dialogue for dialogue in dialogues(told=0.0, turns=3) if len(dialogue.messages) > 6]
    assert len(longer) > SIZE / 4
    for dialogue in longer:
        calls = [call for message in dialogue.messages for call in message.tool_calls]
        assert [call.id for call in calls] == [f"functions.ipython:{number}" for number in range(len(calls))]
        kinds = dialogue.name.rsplit("/", 1)[1].split("+")
        assert len(set(kinds)) == len(kinds) == sum(message.role == "user" for message in dialogue.messages)


def test_a_dialogue_is_the_same_every_time_and_other_in_other_splits_and_seeds() -> None:
    mine, again = ZeroVision(size=SIZE), ZeroVision(size=2 * SIZE)
    assert [mine.dialogue(i) for i in range(9)] == [again.dialogue(i) for i in range(9)]
    others = [ZeroVision(size=SIZE, seed=1), ZeroVision(size=SIZE, split="test")]
    for other in others:
        assert [mine.dialogue(i).messages for i in range(9)] != [other.dialogue(i).messages for i in range(9)]
    with pytest.raises(IndexError):
        mine.dialogue(SIZE)


def test_no_sight_is_in_both_splits() -> None:
    for kind in KINDS:
        train = {sight(kind, number).content for number in range(150)}
        assert not train & {sight(kind, number, split="test").content for number in range(150)}


def test_with_pictures_the_same_dialogue_shows_what_stood_there_in_words() -> None:
    words_alone = dialogues(told=0.3, turns=2)
    with_pictures = dialogues(told=0.3, turns=2, picture=True, name="sft/text_vision")
    for blind, seeing in zip(words_alone, with_pictures, strict=True):
        assert [m for m in blind.messages if m.role != "user"] == [m for m in seeing.messages if m.role != "user"]
        for words, picture in zip(blind.messages, seeing.messages, strict=True):
            if words.role == "user":
                assert len(picture.media) == 1 and words.text.split("\n", 1)[1] == picture.text


def test_prompts_differ_only_in_what_stands_for_the_picture() -> None:
    found = sight("count", 0)
    from_words = {m.text.rsplit("\n", 1)[1] for m in (named(64, found.question), told(found.told, found.question))}
    assert from_words == {found.question}
    shown: Message = seen(Picture.of(found.draw()), found.question)
    assert shown.text == found.question and len(shown.media) == 1


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="print"):
        ZeroVision(size=1, kinds=("print",))
    with pytest.raises(ConfigError, match="none"):
        ZeroVision(size=1, kinds=())
    with pytest.raises(ConfigError, match="told"):
        ZeroVision(size=1, told=1.5)
    with pytest.raises(ConfigError, match="turns"):
        ZeroVision(size=1, turns=0)
