"""The questions of Table 1 at small scale: six categories of multiple choice, one right option and three wrong ones.

    vision knowledge    what a real picture shows: photographs of     wrong: captions of other photographs; other digits
                        the training data in other crops and colours;
                        handwriting of held-out scans
    vision reasoning    colour and shape of one thing; which of two   wrong: answers to other questions of the kind;
                        or three things is where                      captions of other scenes with as many things
    OCR                 printed numbers                               wrong: one or two digits changed, held out too
    text knowledge      countries and elements: facts that pages of   wrong: the same fact of other countries (elements)
                        the training data tell but no question asks
    text reasoning      worked problems of arithmetic                 wrong: a digit of the result changed wherever it
                                                                      stands
    code                the next line of held-out source code         wrong: lines of other files, equally indented

All records but the photographs are held out from training, and so are the wrong numbers of OCR: a model that remembers
which numbers it has read would else know the right one by its strangeness. Questions with other options (yes or no) are
left out, so chance is a quarter in every category. A model of a million parameters is at the floor of free answers, but
not of these. Which questions are asked depends on the seed alone, so all arms of a seed answer the same. This module
imports no torch.

Report: §2.1 and Table 1 name the categories; their benchmarks are not public in this form, so these stand in for them.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.chat import render
from manyeyes.core.media import Media, MediaRules
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.augment import Augmentation, augment
from manyeyes.data.collection import Split
from manyeyes.data.held_out import split_of
from manyeyes.data.packaged.countries import countries
from manyeyes.data.packaged.easy_vqa import question_type
from manyeyes.data.packaged.elements import elements
from manyeyes.data.packaged.facts import Entity
from manyeyes.data.record import Record, Shown, Turn
from manyeyes.data.registry import REGISTRY
from manyeyes.data.rendered import messages, rendered, text_of
from manyeyes.data.synthesis.generator import HELD_OUT

VISION_CATEGORIES = ("vision_knowledge", "vision_reasoning", "ocr")
TEXT_CATEGORIES = ("text_knowledge", "text_reasoning", "code")
CATEGORIES = VISION_CATEGORIES + TEXT_CATEGORIES

WRONG = 3
"""Wrong options of a question."""
LONGEST = 32
"""Most tokens of an option (of a worked problem: three times as many)."""
CONTEXT_LINES = 6
"""Lines of code before the one that is asked for."""
VIEWS = 3
"""Views of a photograph for each of its captions."""
DIGITS = "0123456789"


class Asked(NamedTuple):
    """A question ready to be scored.

    Attributes:
        name: of the record it comes from.
        ids: int32, the prompt.
        options: the right one first, then the wrong ones; int32 each.
        media: the prompt's pictures.
    """

    name: str
    ids: NDArray[np.int32]
    options: tuple[NDArray[np.int32], ...]
    media: tuple[Media, ...] = ()


class _Text(NamedTuple):
    """A question before it is tokenized: what a record asks, and its options, the right one first."""

    record: Record
    options: tuple[str, ...]


Drafts: TypeAlias = Iterator[_Text]


def questions(
    category: str, tokenizer: Tokenizer, *, rules: MediaRules, count: int, seed: int, row_length: int
) -> list[Asked]:
    """Up to `count` questions of a category, the same ones for the same seed; fewer where fewer exist."""
    found: list[Asked] = []
    for draft in _interleaved(_DRAFTS[category](seed)):
        asked = (_document_asked if draft.record.is_document else _asked)(draft, tokenizer, rules)
        longest = max(map(len, asked.options))
        if longest <= LONGEST * (3 if category == "text_reasoning" else 1) and len(asked.ids) + longest <= row_length:
            found.append(asked)
        if len(found) == count:
            break
    return found


def near_misses(number: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Three numbers that differ from `number` in one digit, always the same one; none begins with a new 0.

    Changing several places would make the right one the middle of all options, which a blind model seldom prefers.

    Example:
        >>> near_misses("510", stream(0, "demo"))
        ('518', '519', '511')
    """
    place = int(rng.integers(len(number)))
    digits = [d for d in DIGITS if d != number[place] and (d != "0" or place or len(number) == 1)]
    return tuple(number[:place] + digits[n] + number[place + 1 :] for n in rng.permutation(len(digits))[:WRONG])


def crossed(number: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Three numbers: two digits of `number` changed, the one, the other, and both.

    Each of the four differs from two others in one digit, so none stands out; half the reading halves the choice.

    Example:
        >>> crossed("510", stream(0, "demo"))
        ('110', '500', '100')
    """
    one, other = sorted(rng.permutation(len(number))[:2].tolist())
    changed = {place: DIGITS[(DIGITS.index(number[place]) + int(rng.integers(1, 10))) % 10] for place in (one, other)}
    return tuple(
        "".join(changed[at] if at in places else digit for at, digit in enumerate(number))
        for places in ((one,), (other,), (one, other))
    )


# Drafts, category by category.


def _vision_knowledge(seed: int) -> list[Drafts]:
    return [_photographs("photographs", seed), _handwriting("digits", seed)]


def _vision_reasoning(seed: int) -> list[Drafts]:
    return [
        _others("easy_vqa", seed, kind=lambda record: _unless_yes_or_no(question_type(_told(record)))),
        _others(
            "synthetic/caption/several",
            seed,
            kind=lambda record: str(_told(record).count(" and ") + _told(record).count(",")),
        ),
    ]


def _ocr(seed: int) -> list[Drafts]:
    sources = ("synthetic/ocr/two_digits_text", "synthetic/ocr/digits_text", "synthetic/ocr/digits")
    return [_misread(source, seed) for source in sources]


def _text_knowledge(seed: int) -> list[Drafts]:
    return [_facts("country_questions", countries(), seed), _facts("element_questions", elements(), seed)]


def _text_reasoning(seed: int) -> list[Drafts]:
    return [_numbers_changed("maths_chat", seed)]


def _code(seed: int) -> list[Drafts]:
    return [_next_lines("package_files", seed)]


_DRAFTS: dict[str, Callable[[int], list[Drafts]]] = {
    "vision_knowledge": _vision_knowledge,
    "vision_reasoning": _vision_reasoning,
    "ocr": _ocr,
    "text_knowledge": _text_knowledge,
    "text_reasoning": _text_reasoning,
    "code": _code,
}


def _photographs(source: str, seed: int) -> Drafts:
    """A new view of a photograph that was trained on, its caption, and captions of other photographs."""
    records = [record for record in _shuffled(source, seed, split="train") if record.is_document]
    captions = [(_photograph(record), _told(record)) for record in records]
    for number in range(VIEWS * len(records)):
        record, rng = records[number % len(records)], stream(seed, f"reproduce/table1/{source}", number)
        others = [caption for photograph, caption in captions if photograph != _photograph(record)]
        view = augment(record, rng, rules=Augmentation())
        yield _Text(view, (_told(record), *_drawn(others, _told(record), rng)))


def _photograph(record: Record) -> str:
    return record.name.rpartition("/")[0]


def _handwriting(source: str, seed: int) -> Drafts:
    for number, record in enumerate(_shuffled(source, seed)):
        wrong = near_misses(_told(record), stream(seed, f"reproduce/table1/{source}", number))
        yield _Text(record, (_told(record), *wrong))


def _others(source: str, seed: int, *, kind: Callable[[Record], str]) -> Drafts:
    """Wrong options are the answers of other records of the same kind, drawn as often as they occur."""
    records = [record for record in _shuffled(source, seed) if kind(record)]
    answers: dict[str, list[str]] = defaultdict(list)
    for record in records:
        answers[kind(record)].append(_told(record))
    for number, record in enumerate(records):
        rng = stream(seed, f"reproduce/table1/{source}", number)
        wrong = _drawn(answers[kind(record)], _told(record), rng)
        if len(wrong) == WRONG:
            yield _Text(record, (_told(record), *wrong))


def _numbers_changed(source: str, seed: int) -> Drafts:
    """Wrong options tell the same working with another result, wherever the result stands in it."""
    for number, record in enumerate(_shuffled(source, seed)):
        result = re.findall(r"\d+", record.truth or "")[-1:]
        if not result:
            continue
        wrong = near_misses(result[0], stream(seed, f"reproduce/table1/{source}", number))
        place = re.compile(rf"(?<![\d.,]){result[0]}(?![\d,]|\.\d)")
        told = _told(record)
        if place.search(told):
            yield _Text(record, (told, *(place.sub(other, told) for other in wrong)))


def _misread(source: str, seed: int) -> Drafts:
    """Wrong options read almost the same and, like the right one, are never shown in training."""
    for number, record in enumerate(_shuffled(source, seed)):
        rng = stream(seed, f"reproduce/table1/{source}", number)
        for _ in range(200):
            wrong = crossed(_told(record), rng)
            if all(split_of(other, per_mille=HELD_OUT) == "test" for other in wrong):
                yield _Text(record, (_told(record), *wrong))
                break


def _facts(source: str, entities: Sequence[Entity], seed: int) -> Drafts:
    """Each held-out fact once; wrong options are the same attribute of other entities."""
    attribute_of = {ask: fact.attribute for entity in entities for fact in entity.facts for ask in fact.questions}
    answers: dict[str, list[str]] = defaultdict(list)
    for entity in entities:
        for fact in entity.facts:
            answers[fact.attribute].append(fact.answer)
    for number, record in enumerate(_shuffled(source, seed)):
        attribute = attribute_of[messages(record)[0].text]
        wrong = _drawn(answers[attribute], _told(record), stream(seed, f"reproduce/table1/{source}", number))
        if len(wrong) == WRONG:
            yield _Text(record, (_told(record), *wrong))


def _next_lines(source: str, seed: int) -> Drafts:
    """A place in each file in turn: the lines before it, the next line, and lines of its indentation elsewhere."""
    records = list(_shuffled(source, seed))
    files = [messages(record)[0].text.split("\n") for record in records]
    places: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for file, lines in enumerate(files):
        for line in filter(_telling, lines):
            places[_indent(line)].append((file, line))
    for number in range(64 * len(records)):
        record, lines = records[number % len(records)], files[number % len(records)]
        rng = stream(seed, f"reproduce/table1/{source}", number)
        if len(lines) <= 2 * CONTEXT_LINES:
            continue
        at = int(rng.integers(CONTEXT_LINES, len(lines)))
        truth, near = lines[at], lines[at - CONTEXT_LINES : at]
        elsewhere = [line for file, line in places[_indent(truth)] if file != number % len(records)]
        wrong = _drawn(elsewhere, truth, rng)
        if _telling(truth) and truth not in near and len(wrong) == WRONG:
            yield _Text(record, tuple("\n".join([*near, line, ""]) for line in (truth, *wrong)))


# From drafts to ids.


def _asked(draft: _Text, tokenizer: Tokenizer, rules: MediaRules) -> Asked:
    """A conversation up to its first answer, and complete answers."""
    turns = messages(draft.record)
    first = next(number for number, turn in enumerate(turns) if turn.role == "assistant")
    prompt = render(turns[:first], tokenizer, rules=rules, thinking=False, generation_prompt=True)
    options = tuple(np.array([*tokenizer.encode(text), tokenizer.im_end], np.int32) for text in draft.options)
    return Asked(draft.record.name, prompt.ids, options, tuple(visual.media() for visual in prompt.visuals))


def _document_asked(draft: _Text, tokenizer: Tokenizer, rules: MediaRules) -> Asked:
    """Whole documents are tokenized as in training; what their ids have in common is the prompt."""
    shown = tuple(piece for piece in draft.record.turns[0].pieces if isinstance(piece, Shown))
    turns = [(Turn("document", (*shown, text)),) for text in draft.options]
    made = [rendered(Record(draft.record.name, turn, draft.record.media), tokenizer, rules=rules) for turn in turns]
    ids = [one.ids if shown else one.ids[:-1] for one in made]  # a line of code does not end its file
    shared = min(len(row) for row in ids) - 1
    while len({row[:shared].tobytes() for row in ids}) > 1:
        shared -= 1
    media = tuple(visual.media() for visual in made[0].visuals)
    return Asked(draft.record.name, ids[0][:shared], tuple(row[shared:] for row in ids), media)


# What kind of answer a record asks for; "" for those that are left out.


def _unless_yes_or_no(kind: str) -> str:
    return "" if kind == "yes/no" else kind


def _told(record: Record) -> str:
    """What a caption says, or the first answer of a conversation."""
    if record.is_document:
        return "".join(text_of(piece, record) for piece in record.turns[0].pieces)
    return next(turn.text for turn in messages(record) if turn.role == "assistant").strip()


def _telling(line: str) -> bool:
    """More than a bracket or an else."""
    return len(line.strip()) > 8


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _drawn(answers: Sequence[str], truth: str, rng: np.random.Generator) -> list[str]:
    """Three different answers other than the truth, as often as they occur; fewer when there are fewer."""
    found: list[str] = []
    for _ in range(50):
        other = answers[int(rng.integers(len(answers)))] if answers else truth
        if other not in (truth, *found):
            found.append(other)
        if len(found) == WRONG:
            break
    return found


def _shuffled(source: str, seed: int, *, split: Split = "test") -> Iterator[Record]:
    collection = REGISTRY.open(source, split, seed=seed)
    order = stream(seed, f"reproduce/table1/order/{source}").permutation(len(collection))
    for index in order[:MOST_RECORDS].tolist():
        yield collection.record(index)


MOST_RECORDS = 1200
"""Records of a source that are looked at: enough for every category, and quickly drawn."""


def _interleaved(drafts: Iterable[Drafts]) -> Drafts:
    """One of each in turn, until all are used up."""
    waiting = list(drafts)
    while waiting:
        for one in list(waiting):
            draft = next(one, None)
            if draft is None:
                waiting.remove(one)
            else:
                yield draft
