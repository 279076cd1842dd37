"""easy-VQA: 5,000 pictures of one coloured shape with 48,000 questions, each answered by one word.

Training records hold one picture and several of its questions as one conversation, so its 16 tokens are paid once and
every answer is learned from. Test records hold one question each, as the package's own test split has them.

Source: V. Zhou, easy-VQA 1.0 (MIT). Report: App. B.3 (perception).
"""

import json

from manyeyes.core.media import Picture
from manyeyes.data.collection import Domain, Split
from manyeyes.data.packages import EASY_VQA
from manyeyes.data.record import Change, Record, Shown, Turn

COLOURS = ("teal", "black", "green", "blue", "gray", "yellow", "red", "brown")
SHAPES = ("rectangle", "circle", "triangle")

ALLOWED: frozenset[Change] = frozenset({"flip", "rotate", "order"})
"""Colours are asked for, so none is changed; 64 pixels stay 64, so every picture costs the same."""


def question_type(answer: str) -> str:
    """ "colour", "shape" or "yes/no": the three kinds that are scored apart.

    Example:
        >>> question_type("teal")
        'colour'
    """
    if answer in COLOURS:
        return "colour"
    return "shape" if answer in SHAPES else "yes/no"


class EasyVqa:
    """Pictures with questions; see the module's docstring for what a record holds.

    Args:
        split: "train" or "test".
        most_questions: at most so many questions share a conversation; a picture with more gives several, of even size.
    """

    name = "easy_vqa"
    domain: Domain = "vision"
    kind = "perception"

    def __init__(self, split: Split, *, most_questions: int = 10) -> None:
        folder = EASY_VQA.folder() / "data" / split
        rows = json.loads((folder / "questions.json").read_text())
        questions = _by_picture(rows)
        self._pictures = {number: Picture.open(folder / "images" / f"{number}.png") for number in questions}
        self._records = (
            [_conversation(n, part, group) for n in questions for part, group in _groups(questions[n], most_questions)]
            if split == "train"
            else [_question(index, *row) for index, row in enumerate(rows)]
        )

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        """Record number `index`; a test record's `truth` is its one-word answer."""
        name, number, turns, truth = self._records[index]
        return Record(name, turns, (self._pictures[number],), allowed=ALLOWED, truth=truth)


def _by_picture(rows: list) -> dict[int, list[tuple[str, str]]]:
    questions: dict[int, list[tuple[str, str]]] = {}
    for question, answer, number in rows:
        asked = questions.setdefault(number, [])
        if (question, answer) not in asked:
            asked.append((question, answer))
    return dict(sorted(questions.items()))


def _groups(questions: list[tuple[str, str]], most: int):
    count = -(-len(questions) // most)
    for part in range(count):
        yield part, questions[part::count]


def _conversation(number: int, part: int, questions: list[tuple[str, str]]):
    pairs = [(Turn("user", (question,)), Turn("assistant", (answer,))) for question, answer in questions]
    turns = [turn for pair in pairs for turn in pair]
    turns[0] = Turn("user", (Shown(0), questions[0][0]))
    return f"easy_vqa/train/{number}/{part}", number, tuple(turns), None


def _question(index: int, question: str, answer: str, number: int):
    turns = (Turn("user", (Shown(0), question)), Turn("assistant", (answer,)))
    return f"easy_vqa/test/{index}", number, turns, answer
