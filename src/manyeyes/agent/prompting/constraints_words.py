"""Constraints on the words of an answer: which occur, which do not, in which language, and how some are marked.

Report: App. D (module for instruction following).
"""

import re

from manyeyes.agent.prompting.constraint import Constraint, mentions, one_of, some_count, some_of
from manyeyes.agent.prompting.languages import LANGUAGES, written_in

KEYWORDS = ("evidence", "method", "result", "reason", "pattern", "example", "summary", "measure", "detail", "purpose")
AVOIDED = ("very", "obviously", "basically", "really", "simply", "clearly", "just", "actually", "perhaps", "maybe")
MARKS = {"comma": ",，、", "exclamation mark": "!！", "question mark": "?？", "semicolon": ";；", "colon": ":："}
RARE = "jkqvwxz"

WORDS = (
    Constraint(
        "includes", "include",
        ('Use the word "{word}" at least {times} times.', 'The word "{word}" must occur {times} times or more.',
         'Mention "{word}" no fewer than {times} times.'),
        lambda rng: {"word": str(rng.choice(KEYWORDS)), "times": int(rng.integers(2, 5))},
        lambda text, params: mentions(text, params["word"]) >= params["times"],
        lambda params: {"include": params["word"], "times": params["times"]},
    ),
    Constraint(
        "excludes", "exclude",
        ("Do not use the words {words}.", "Avoid these words: {words}.", "None of {words} may occur in your answer."),
        some_of(AVOIDED, 2, 4, "words"),
        lambda text, params: bool(text.strip()) and not any(mentions(text, word) for word in params["words"]),
        lambda params: {"avoid": tuple(params["words"])},
    ),
    Constraint(
        "without_mark", "marks",
        ("Do not use any {mark}.", "Your answer must not contain a single {mark}.", "Write without any {mark}."),
        one_of(tuple(MARKS), "mark"),
        lambda text, params: bool(text.strip()) and not any(mark in text for mark in MARKS[params["mark"]]),
        lambda params: {},
    ),
    Constraint(
        "without_letter", "letters",
        ('Do not use the letter "{letter}".', 'Write without the letter "{letter}", large or small.',
         'The letter "{letter}" must not occur in your answer.'),
        one_of(tuple(RARE), "letter"),
        lambda text, params: bool(text.strip()) and params["letter"] not in text.casefold(),
        lambda params: {"marks": params["letter"]},
    ),
    Constraint(
        "bold", "bold",
        ("Highlight at least {count} passages with **double asterisks**.",
         "Print {count} or more words in bold (Markdown, **like this**).", "Use **bold** text at least {count} times."),
        some_count(1, 4),
        lambda text, params: len(re.findall(r"\*\*[^*\s](?:[^*\n]*[^*\s])?\*\*", text)) >= params["count"],
        lambda params: {"bold": params["count"]},
    ),
    Constraint(
        "placeholders", "placeholders",
        ("Leave at least {count} placeholders in square brackets, such as [name].",
         "Your answer must hold {count} or more placeholders like [date].",
         "Put at least {count} things to be filled in into [square brackets]."),
        some_count(1, 4),
        lambda text, params: len(re.findall(r"\[[^\[\]\n]+\]", text)) >= params["count"],
        lambda params: {"placeholders": params["count"]},
    ),
    Constraint(
        "language", "language",
        ("Answer in {name}.", "Your whole answer must be in {name}.", "Write in {name}, not in another language."),
        lambda rng: (lambda code: {"code": code, "name": LANGUAGES[code].name})(str(rng.choice(list(LANGUAGES)))),
        lambda text, params: written_in(text, params["code"]),
        lambda params: {"language": params["code"]},
    ),
)  # fmt: skip
