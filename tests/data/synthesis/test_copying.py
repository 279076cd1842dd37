"""Copying: what is answered stands in the question, always the same, short, and of one split."""

import json
import re

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.dialogue_source import rendered
from manyeyes.data.synthesis.copying import FIELDS, KINDS, Copying
from manyeyes.model.config import tiny

MANY = 80


def test_an_entry_is_always_the_same_and_short() -> None:
    some, again = Copying(size=MANY), Copying(size=MANY)
    for index in range(MANY):
        one = some.dialogue(index)
        assert one == again.dialogue(index) and not one.thinking and len(one.messages) == 2
        out = rendered(one, Tokenizer.tiny(), rules=tiny().rules)
        assert out.length <= 128 and not out.visuals
    with pytest.raises(IndexError):
        some.dialogue(MANY)


def test_every_word_of_an_answer_stands_in_its_question() -> None:
    for index in range(MANY):
        said, answer = (message.text for message in Copying(size=MANY).dialogue(index).messages)
        if answer.startswith("{"):
            ((field, value),) = json.loads(answer).items()
            assert FIELDS[field].format(value) in said.splitlines()
        else:
            assert set(answer.split()) <= set(re.split(r"[\s:=]+", said))


def test_tables_are_told_whole_and_in_order() -> None:
    for index in range(0, MANY, len(KINDS)):
        said, answer = (message.text for message in Copying(size=MANY).dialogue(index).messages)
        *lines, asked = said.splitlines()
        assert answer.splitlines() == sorted(lines) and asked.startswith("Find ")


def test_one_value_is_that_of_the_name_that_is_asked_for() -> None:
    for index in range(2, MANY, len(KINDS)):
        said, answer = (message.text for message in Copying(size=MANY).dialogue(index).messages)
        *lines, asked = said.splitlines()
        table = dict(re.split(r" = |: | ", line) for line in lines)
        (key,) = re.findall(r"(\w+)\?", asked)
        assert table[key] == answer


def test_splits_share_nothing_and_seeds_differ() -> None:
    def said(**settings) -> set[str]:
        return {Copying(size=MANY, **settings).dialogue(index).messages[0].text for index in range(MANY)}

    assert not said() & said(split="test") and len(said() & said(seed=1)) < MANY // 10
    with pytest.raises(ConfigError, match="size of at least 0"):
        Copying(size=-1)


def test_several_turns_are_several_exchanges() -> None:
    lengths = {len(Copying(size=MANY, turns=3).dialogue(index).messages) for index in range(MANY)}
    assert lengths == {2, 4, 6}
