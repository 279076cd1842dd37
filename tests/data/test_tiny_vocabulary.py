import random
from itertools import islice

import pytest

from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data import tiny_vocabulary


@pytest.mark.slow
def test_the_shipped_vocabulary_can_be_made_again():
    assert tiny_vocabulary.build().fingerprint == Tokenizer.tiny().fingerprint


@pytest.mark.parametrize("kind", ["chat", "markup", "languages"])
def test_endless_kinds_repeat_exactly(kind):
    _, texts = tiny_vocabulary.KINDS[kind]
    random.seed(1)
    first = list(islice(texts(), 20))
    random.seed(2)
    assert first == list(islice(texts(), 20))
    assert len(set(first)) > 5


def test_a_kind_gives_exactly_its_characters():
    assert list(tiny_vocabulary._first(7, ["abc", "def", "ghi", "jkl"])) == ["abc", "def", "g"]
    assert list(tiny_vocabulary._first(6, ["abc", "def", "ghi"])) == ["abc", "def"]


def test_no_order_of_files_shows():
    texts = [f"text {n}" for n in range(30)]
    assert tiny_vocabulary._mixed(texts) == tiny_vocabulary._mixed(reversed(texts)) != texts
