"""Held-out questions, and each scorer on answers whose scores are known."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from manyeyes.core.coordinates import write_box
from manyeyes.core.media import Media, Picture
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import Collection
from manyeyes.data.record import Record, Shown, Turn
from manyeyes.inference.generate import Completion, Prompt
from manyeyes.model.config import tiny
from manyeyes.recipes.held_out import Answered, Question, blind_baseline, means, named, questions, score
from manyeyes.recipes.run import HeldOut, Scorer

TOKENIZER, RULES = Tokenizer.tiny(), tiny().rules


class Riddles:
    """Records in memory."""

    name, domain, kind = "riddles", "vision", "knowledge"

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Record:
        return self.records[index]


def riddles(*pairs: tuple[str, str], shown: Picture | None = None) -> Collection:
    def record(number: int, words: str, answer: str) -> Record:
        pieces = (words,) if shown is None else (Shown(0), words)
        turns = (Turn("user", pieces), Turn("assistant", (answer,)))
        return Record(f"riddles/{number}", turns, media=() if shown is None else (shown,))

    return cast(Collection, Riddles([record(number, *pair) for number, pair in enumerate(pairs)]))


def scores(scorer: Scorer, answer: str, truth: str, *, by_type: bool = False) -> dict[str, float]:
    question = Question("q", Prompt(np.zeros(1, np.int32)), "?", truth, None)
    said = Completion([*TOKENIZER.encode(answer), TOKENIZER.im_end], [], "stop")
    (found,) = score(HeldOut("h", "s", scorer, by_type=by_type), [question], [said], TOKENIZER)
    assert found.answer == answer.strip() and found.question is question
    return found.scores


def test_answers_are_compared_after_normalisation() -> None:
    assert scores("answer", " The Circle.", "circle") == {"exact": 1.0}
    assert scores("answer", "square", "circle") == {"exact": 0.0}
    assert scores("answer", "two", "2") == {"exact": 1.0}


def test_readings_also_have_a_similarity() -> None:
    assert scores("reading", "417", "417") == {"exact": 1.0, "similarity": 1.0}
    almost = scores("reading", "417", "471")
    assert almost["exact"] == 0.0 and 0.0 < almost["similarity"] < 1.0
    assert scores("reading", "417", "418")["similarity"] == pytest.approx(2 / 3)


def test_counts_also_have_a_difference() -> None:
    assert scores("count", "five", "5") == {"exact": 1.0, "difference": 0.0}
    assert scores("count", "3", "5") == {"exact": 0.0, "difference": 2.0}
    assert scores("count", "many", "5")["difference"] == 5.0


def test_boxes_are_scored_by_overlap() -> None:
    truth = write_box((0.1, 0.1, 0.5, 0.5))
    assert scores("boxes", truth, truth) == {"iou": pytest.approx(1.0)}
    half = write_box((0.1, 0.1, 0.5, 0.3))
    assert scores("boxes", half, truth) == {"iou": pytest.approx(0.5, abs=1e-6)}
    assert scores("boxes", "nothing", truth) == {"iou": 0.0}


@pytest.mark.parametrize(("truth", "kind"), [("teal", "colour"), ("circle", "shape"), ("yes", "yes/no")])
def test_easy_vqa_is_scored_by_type_too(truth: str, kind: str) -> None:
    assert scores("answer", truth, truth, by_type=True) == {"exact": 1.0, f"exact {kind}": 1.0}


def test_means_are_over_the_answers_that_have_a_score() -> None:
    question = Question("q", Prompt(np.zeros(1, np.int32)), "?", "!", None)
    answered = [Answered(question, "", {"exact": 1.0, "exact shape": 1.0}), Answered(question, "", {"exact": 0.0})]
    assert means(answered) == {"exact": 0.5, "exact shape": 1.0, "questions": 2}
    assert named({"vqa": {"exact": 0.5}, "ocr": {"exact": 1.0}}) == {"vqa/exact": 0.5, "ocr/exact": 1.0}


def test_a_question_is_the_first_turn_and_its_truth_the_reply() -> None:
    shown = Picture.of(np.full((32, 48, 3), 7, np.uint8))
    (found,) = questions(riddles(("How many?", "two"), shown=shown), TOKENIZER, rules=RULES, count=0, seed=0)
    assert (found.asked, found.truth, found.name) == ("How many?", "two", "riddles/0")
    assert found.picture is shown
    (item,) = found.prompt.media
    assert int((found.prompt.ids == TOKENIZER.media_pad).sum()) == item.grid.tokens
    text = TOKENIZER.decode(found.prompt.ids.tolist())
    assert "How many?" in text and "two" not in text and text.endswith("<think></think>")


def test_the_same_seed_asks_the_same_questions() -> None:
    many = riddles(*((f"What is {n}?", str(n)) for n in range(50)))

    def asked(count: int, seed: int) -> list[str]:
        return [q.asked for q in questions(many, TOKENIZER, rules=RULES, count=count, seed=seed)]

    assert asked(8, 0) == asked(8, 0) and len(set(asked(8, 0))) == 8
    assert asked(8, 0) != asked(8, 1)
    assert len(asked(0, 0)) == len(asked(99, 0)) == 50


def test_a_picture_of_many_questions_is_decoded_once() -> None:
    shown = Picture.of(np.zeros((32, 32, 3), np.uint8))
    found = questions(riddles(("A?", "a"), ("B?", "b"), shown=shown), TOKENIZER, rules=RULES, count=0, seed=0)
    first, second = (cast(Media, question.prompt.media[0]) for question in found)
    assert first.patches is second.patches


def test_the_blind_baseline_says_what_is_commonest() -> None:
    train = riddles(("Red?", "yes"), ("Red?", "yes"), ("Red?", "no"), ("Shape?", "circle"))
    asked = questions(riddles(("Red?", "yes"), ("Red?", "no"), ("New?", "x")), TOKENIZER, rules=RULES, count=0, seed=0)
    assert blind_baseline(train, asked) == pytest.approx(1 / 3)
