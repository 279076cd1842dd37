"""Pictures that are told: the questions and answers of pre-training, from the words alone."""

import re

import pytest

from manyeyes.core.coordinates import read_boxes
from manyeyes.core.errors import ConfigError
from manyeyes.data.synthesis.perception import Attributes
from manyeyes.data.synthesis.told_pictures import (
    KINDS,
    ToldAttributes,
    ToldCounting,
    ToldDigits,
    ToldGrounding,
    ToldPictures,
)

MANY = 60


def turns(index: int) -> tuple[str, list[tuple[str, str]]]:
    """What is told, and questions with their answers."""
    first, *others = (message.text for message in ToldPictures(size=MANY).dialogue(index).messages)
    told, question = first.split("\n")
    texts = [question, *others]
    return told, list(zip(texts[::2], texts[1::2], strict=True))


def of_kind(kind: type) -> range:
    return range(KINDS.index(kind), MANY, len(KINDS))


def test_an_entry_is_always_the_same_without_pictures() -> None:
    some, again = ToldPictures(size=MANY), ToldPictures(size=MANY)
    for index in range(MANY):
        one = some.dialogue(index)
        assert one == again.dialogue(index) and not any(message.media for message in one.messages)
        assert [message.role for message in one.messages[:2]] == ["user", "assistant"] and not one.thinking
    with pytest.raises(IndexError):
        some.dialogue(MANY)
    with pytest.raises(ConfigError, match="size must be at least 0"):
        ToldPictures(size=-1)


def test_what_is_told_answers_every_question_about_shapes() -> None:
    for index in of_kind(ToldAttributes):
        told, asked = turns(index)
        for question, answer in asked:
            if answer in ("yes", "no"):
                (noun,) = re.findall(r"(?:contain|an?|no) (?:an? )?((?:\w+ shape)|circle|rectangle|triangle)", question)
                there = noun.removesuffix(" shape") in told.split() or noun in told.replace(";", "").split()
                negative = " not " in question or question.startswith("is no ")
                assert (answer == "yes") == (there != negative), (told, question)
            else:
                assert answer in told.replace(";", "").split()


def test_counts_are_those_of_the_words() -> None:
    for index in of_kind(ToldCounting):
        told, asked = turns(index)
        names = [name.split()[1:] for name in told.split("; ")]
        for question, answer in asked:
            noun = question.removeprefix("How many ").removesuffix(" are there?").removesuffix("s")
            wanted = noun.removesuffix(" shape")
            assert int(answer) == (len(names) if noun == "shape" else sum(wanted in name for name in names))


def test_boxes_and_numbers_are_told_as_they_are_answered() -> None:
    for index in of_kind(ToldGrounding):
        told, asked = turns(index)
        for question, answer in asked:
            assert answer in told and len(read_boxes(answer).found) + len(read_boxes(question).found) == 1
    for index in of_kind(ToldDigits):
        told, ((question, answer),) = turns(index)
        assert told == answer and question == "Read the number."


def test_splits_share_no_dialogue_and_pictures_are_those_of_pre_training() -> None:
    train, test = (
        {ToldPictures(size=MANY, split=split).dialogue(i).messages for i in range(MANY)} for split in ("train", "test")
    )
    assert not train & test
    words = {question for index in of_kind(ToldAttributes) for question, _ in turns(index)[1]}
    asked = {
        "".join(piece for piece in turn.pieces if isinstance(piece, str))
        for record in map(Attributes(size=400).record, range(400))
        for turn in record.turns
        if turn.role == "user"
    }
    assert len(words & asked) > 0.7 * len(words)
