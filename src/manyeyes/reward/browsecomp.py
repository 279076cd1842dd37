"""BrowseComp: questions with one short answer, hidden so that they do not leak into training, graded by a model.

The released CSV holds `problem`, `answer` and `canary`; the first two are base64 of text XOR SHA-256(canary) repeated.
Nothing here writes a decrypted text: an `Item` prints as its number, errors quote no content. Keep it so in logs.

The public grader takes the whole match ("correct: yes") where it means the group ("yes"), so that its accuracy is
always 0 (openai/simple-evals#93); here the group is read. A grade that cannot be read is an error and not a "no".

Report: §5.1, App. E (BrowseComp); Wei et al., "BrowseComp", 2025. The wording of both prompts is ours, their fields are
the public ones.
"""

import base64
import binascii
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

from manyeyes.core.errors import DataError
from manyeyes.reward.judge import Ask, ask_until_read


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """A question and its answer, in clear; never printed.

    Example:
        >>> Item(7, "Which …?", "…")
        <BrowseComp item 7>
    """

    number: int
    question: str
    answer: str

    def __repr__(self) -> str:
        return f"<BrowseComp item {self.number}>"

    @property
    def prompt(self) -> str:
        """What the model under test is asked."""
        return _QUESTION_PROMPT.format(question=self.question)


class Grade(NamedTuple):
    """A verdict.

    Attributes:
        correct: the answer is the right one.
        confidence: in percent, as the answer stated it; 100 where it stated none, as in the public grader.
    """

    correct: bool
    confidence: float = 100.0


async def grade(item: Item, response: str, ask: Ask) -> Grade:
    """Whether a response to an item is right.

    Args:
        ask: the grading model.

    Raises:
        JudgeError: no reply held a verdict.
    """
    prompt = _GRADE_PROMPT.format(question=item.question, response=response, answer=item.answer)
    return await ask_until_read(ask, prompt, read_grade, what=f"'correct: yes' or 'no' for item {item.number}")


def read_grade(reply: str) -> Grade | None:
    """The last verdict in a grader's reply; None where there is none.

    Example:
        >>> read_grade("reasoning: they agree\\n\\ncorrect: yes\\n\\nconfidence: 80%")
        Grade(correct=True, confidence=80.0)
    """
    verdicts, confidences = _CORRECT.findall(reply), _CONFIDENCE.findall(reply)
    if not verdicts:
        return None
    return Grade(verdicts[-1].lower() == "yes", min(float(confidences[-1]), 100.0) if confidences else 100.0)


def read_items(text: str) -> Iterator[Item]:
    """The items of the released CSV, numbered from 0.

    Raises:
        DataError: a column is missing, or a row does not decrypt.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if missing := {"problem", "answer", "canary"} - set(rows.fieldnames or ()):
        raise DataError(f"BrowseComp: expected columns problem, answer and canary, missing are {sorted(missing)}")
    for number, row in enumerate(rows):
        question, answer = (_decrypted(row[name] or "", row["canary"] or "") for name in ("problem", "answer"))
        if question is None or answer is None:
            raise DataError(f"BrowseComp row {number}: does not decrypt with its canary; fetch the file again")
        yield Item(number, question, answer)


def decrypt(text: str, canary: str) -> str:
    """The clear text of base64 of text XOR SHA-256(canary).

    Raises:
        DataError: not base64, or not UTF-8 under this canary. The error carries none of the bytes.
    """
    clear = _decrypted(text, canary)
    if clear is None:
        raise DataError("expected base64 that decrypts to UTF-8 with this canary; the file or the canary is wrong")
    return clear


def encrypt(text: str, canary: str) -> str:
    """The inverse of `decrypt`, for question sets of one's own.

    Example:
        >>> decrypt(encrypt("Which river?", "canary 1"), "canary 1")
        'Which river?'
    """
    return base64.b64encode(_xor(text.encode(), canary)).decode()


def _decrypted(text: str, canary: str) -> str | None:
    # Not raised from here: a UnicodeDecodeError holds the bytes it could not read, and a chained error keeps them.
    try:
        return _xor(base64.b64decode(text, validate=True), canary).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _xor(data: bytes, canary: str) -> bytes:
    return bytes(byte ^ key for byte, key in zip(data, cycle(hashlib.sha256(canary.encode()).digest()), strict=False))


_CORRECT = re.compile(r"(?im)^[\s>*_#-]*\"?correct\"?[*_]*\s*:[\s*_\"']*(yes|no)\b")
_CONFIDENCE = re.compile(r"(?im)^[\s>*_#-]*\"?confidence\"?[*_]*\s*:[\s*_\"'|\\]*([0-9]{1,3}(?:\.[0-9]{1,6})?)")

_QUESTION_PROMPT = """\
{question}

Reply in this form:
Explanation: {{how you found your answer}}
Exact Answer: {{the answer alone, as short as it can be}}
Confidence: {{how sure you are, from 0% to 100%}}"""

_GRADE_PROMPT = """\
Decide whether a response to a question gives the correct answer.

[question]: {question}

[response]: {response}

[correct_answer]: {answer}

Judge only whether the response's final answer means the same as the correct answer. Do not answer the question \
yourself, and do not argue for another answer. Numbers may differ by a small margin; anything else that is ambiguous, \
incomplete or different is wrong.

Reply with these four lines:
extracted_final_answer: the final answer of the response, or None where it gives none
reasoning: why it does or does not mean the same as the correct answer
correct: yes or no
confidence: the confidence that the response states, from 0% to 100%, or 100 where it states none"""
