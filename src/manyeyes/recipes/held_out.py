"""Held-out sets: what is asked, what is right, and how an answer is scored.

    answer    exact match of the normalised answer (VQA, knowledge)
    reading   exact match, and normalised edit distance (OCR)
    count     exact match, and mean absolute difference
    boxes     mean IoU over the best matching, missing and superfluous boxes as 0; what is in a given box ("named"):
              exact match
    loss      mean negative log-likelihood a token (documents)

A question is the first user turn of a held-out record with its pictures, the truth its first assistant turn. Records
are never augmented. Report: §4.3 (what the stages are for), §5 (categories).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from manyeyes.core.chat import Rendered, render
from manyeyes.core.coordinates import read_boxes
from manyeyes.core.media import Clip, Media, MediaRules, Picture
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import Collection
from manyeyes.data.packaged.easy_vqa import question_type
from manyeyes.data.record import Record
from manyeyes.data.rendered import messages
from manyeyes.inference.generate import Completion, Prompt
from manyeyes.recipes.run import HeldOut
from manyeyes.reward.answers import exact_match, read_count
from manyeyes.reward.vision import matched_iou, ocr_reward

Shown: TypeAlias = dict[int, tuple[Picture | Clip, tuple[Media, ...]]]
"""Decoded media by the identity of their picture, which is kept so that no other can take its place."""


class Question(NamedTuple):
    """A question ready for the model; `picture` is the first picture or clip it is about, for the report."""

    name: str
    prompt: Prompt
    asked: str
    truth: str
    picture: Picture | Clip | None


class Answered(NamedTuple):
    """A question with its answer and its scores by name."""

    question: Question
    answer: str
    scores: dict[str, float]


def questions(
    collection: Collection, tokenizer: Tokenizer, *, rules: MediaRules, count: int, seed: int
) -> list[Question]:
    """`count` questions of a collection (all when 0), the same ones for the same seed."""
    total = len(collection)
    chosen = range(total)
    if 0 < count < total:
        chosen = sorted(stream(seed, f"evaluate/{collection.name}").choice(total, count, replace=False).tolist())
    shown: Shown = {}
    return [_question(collection.record(index), tokenizer, rules, shown) for index in chosen]


def _question(record: Record, tokenizer: Tokenizer, rules: MediaRules, shown: Shown) -> Question:
    turns = messages(record)
    answer = next(number for number, turn in enumerate(turns) if turn.role == "assistant")
    prompt = render(turns[:answer], tokenizer, rules=rules, thinking=False, generation_prompt=True)
    picture = record.media[0] if record.media else None
    asked = " ".join(turn.text for turn in turns[:answer] if turn.role == "user").strip()
    media = _media(prompt, record, shown)
    return Question(record.name, Prompt(prompt.ids, media), asked, turns[answer].text.strip(), picture)


def _media(prompt: Rendered, record: Record, shown: Shown) -> tuple[Media, ...]:
    """The prompt's media; a picture that many questions are about is decoded once."""
    if len(record.media) != 1:
        return tuple(visual.media() for visual in prompt.visuals)
    picture = record.media[0]
    if id(picture) not in shown:
        shown[id(picture)] = picture, tuple(visual.media() for visual in prompt.visuals)
    return shown[id(picture)][1]


def score(
    asked: HeldOut, found: Sequence[Question], completions: Sequence[Completion], tokenizer: Tokenizer
) -> list[Answered]:
    """Every answer with its scores."""
    return [
        _scored(asked, question, tokenizer.decode(completion.ids, skip_special=True).strip())
        for question, completion in zip(found, completions, strict=True)
    ]


def _scored(asked: HeldOut, question: Question, answer: str) -> Answered:
    truth = question.truth
    scores = {"exact": exact_match(answer, truth)}
    if asked.scorer == "reading":
        scores["similarity"] = ocr_reward(answer, truth)
    elif asked.scorer == "count":
        count, right = read_count(answer), read_count(truth)
        scores["difference"] = float(abs((0 if count is None else count) - (right or 0)))
    elif asked.scorer == "boxes":
        boxes = read_boxes(truth).found
        scores = {"iou": matched_iou(answer, boxes)} if len(boxes) else {"named": scores["exact"]}
    if asked.by_type:
        scores[f"exact {question_type(truth)}"] = scores["exact"]
    return Answered(question, answer, scores)


def blind_baseline(collection: Collection, asked: Sequence[Question]) -> float:
    """Share of questions answered right by the commonest training answer to the same words, without any picture.

    Args:
        collection: the training split that the questions are held out from.
    """
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for index in range(len(collection)):
        turns = messages(collection.record(index))
        for turn, reply in zip(turns, turns[1:], strict=False):
            if turn.role == "user":
                seen[turn.text.strip()][reply.text.strip()] += 1
    commonest = {words: answers.most_common(1)[0][0] for words, answers in seen.items()}
    return float(np.mean([commonest.get(question.asked) == question.truth for question in asked]))


def means(answered: Sequence[Answered]) -> dict[str, float]:
    """Mean of each score over the answers that have it, and how many there were."""
    values: dict[str, list[float]] = defaultdict(list)
    for item in answered:
        for name, value in item.scores.items():
            values[name].append(value)
    return {name: float(np.mean(numbers)) for name, numbers in sorted(values.items())} | {"questions": len(answered)}


def named(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"vqa": {"exact": 1.0}} as {"vqa/exact": 1.0}."""
    return {f"{name}/{score}": value for name, scores in figures.items() for score, value in scores.items()}
