"""Constraints on the form of an answer: its length, its parts, its letters' case, its beginning, its end, its wrapping.

Report: App. D (module for instruction following).
"""

import json
import re
from typing import Any

import numpy as np

from manyeyes.agent.prompting.constraint import (
    Constraint,
    Params,
    lines,
    nothing,
    numbers,
    one_of,
    paragraphs,
    sentences,
    some_count,
    some_of,
    words,
)
from manyeyes.agent.prompting.draft import SEPARATOR

KEYS = ("answer", "reason", "confidence", "steps", "summary", "notes", "source", "check")
OPENINGS = ("In short", "Here is what I found", "To begin with", "Let me explain", "My answer follows")
ENDINGS = ("That is all", "End of answer", "I hope this helps", "Nothing more to add", "Over and out")


def _between(rng: np.random.Generator) -> dict[str, Any]:
    low = int(rng.integers(2, 12)) * 10
    return {"low": low, "high": low + int(rng.integers(2, 6)) * 10}


def _object_with(text: str, params: Params) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() == set(params["keys"])


def _parted(text: str, params: Params) -> bool:
    parts = re.split(rf"^[ \t]*{re.escape(SEPARATOR)}[ \t]*$", text, flags=re.MULTILINE)
    return len(parts) == 2 and all(part.strip() for part in parts)


def _fenced(text: str, params: Params) -> bool:
    found = re.fullmatch(r"```[\w+-]*\n(.+)\n```", text.strip(), re.DOTALL)
    return found is not None and "```" not in found[1]


def _lettered(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


FORM = (
    # --- length ---
    Constraint(
        "words_at_most", "length",
        ("Use at most {count} words.", "Your answer must not exceed {count} words.", "Stay within {count} words."),
        lambda rng: {"count": int(rng.integers(4, 21)) * 10},
        lambda text, params: 0 < len(words(text)) <= params["count"],
        lambda params: {"most": params["count"]},
    ),
    Constraint(
        "words_at_least", "length",
        ("Use at least {count} words.", "Write no fewer than {count} words.", "It takes {count} or more words."),
        lambda rng: {"count": int(rng.integers(2, 16)) * 10},
        lambda text, params: len(words(text)) >= params["count"],
        lambda params: {"least": params["count"]},
    ),
    Constraint(
        "words_between", "length",
        ("Use between {low} and {high} words.", "Aim for {low} to {high} words, not fewer and not more.",
         "The length must lie between {low} and {high} words."),
        _between,
        lambda text, params: params["low"] <= len(words(text)) <= params["high"],
        lambda params: {"least": params["low"], "most": params["high"]},
    ),
    Constraint(
        "sentences", "sentences",
        ("Write exactly {count} sentences.", "Your answer consists of {count} sentences.",
         "Use {count} sentences, no more and no fewer."),
        some_count(2, 7),
        lambda text, params: sentences(text) == params["count"],
        lambda params: {"sentences": params["count"]},
    ),
    # --- structure ---
    Constraint(
        "paragraphs", "structure",
        ("Write exactly {count} paragraphs with a blank line between them.",
         "Divide your answer into {count} paragraphs; part them with blank lines.",
         "There must be {count} paragraphs, separated by blank lines."),
        some_count(2, 5),
        lambda text, params: len(paragraphs(text)) == params["count"],
        lambda params: {"structure": "paragraphs", "count": params["count"]},
    ),
    Constraint(
        "bullets", "structure",
        ('Use exactly {count} bullet points, each on a line that begins with "- ".',
         'Put your answer into {count} bullet points (lines that begin with "- "), no more and no fewer.',
         'Your answer must hold a list of {count} bullets; begin each with "- ".'),
        some_count(2, 6),
        lambda text, params: sum(line.startswith(("- ", "* ")) for line in lines(text)) == params["count"],
        lambda params: {"structure": "bullets", "count": params["count"]},
    ),
    Constraint(
        "numbered", "structure",
        ("Answer with a numbered list of exactly {count} items (1., 2., ...).",
         "Number your points from 1. to {count}., each on a line of its own.",
         "Use a list with the numbers 1. to {count}."),
        some_count(2, 6),
        lambda text, params: numbers(text, r"(\d{1,4})[.)] ") == list(range(1, params["count"] + 1)),
        lambda params: {"structure": "numbered", "count": params["count"]},
    ),
    Constraint(
        "sections", "structure",
        ('Divide your answer into {count} sections; head each with "Section 1", "Section 2" and so on.',
         'Write {count} sections, each under a line "Section N".',
         'Your answer has {count} sections. Mark their beginnings with "Section" and a number, on a line of its own.'),
        some_count(2, 4),
        lambda text, params: numbers(text, r"[#* ]*section (\d{1,4})\b") == list(range(1, params["count"] + 1)),
        lambda params: {"structure": "sections", "count": params["count"]},
    ),
    Constraint(
        "two_parts", "structure",
        ("Give two answers, one after the other, with a line of six asterisks (******) between them.",
         "Write two versions of your answer; part them by a line that holds only ******.",
         "Answer twice. Between both answers stands ****** on a line of its own."),
        nothing,
        _parted,
        lambda params: {"structure": "two_parts", "count": 2},
    ),
    Constraint(
        "json_object", "structure",
        ("Answer with one JSON object and nothing else; its keys are {keys}.",
         "Your whole answer must be a valid JSON object with exactly these keys: {keys}.",
         "Write JSON only, without a code fence: an object whose keys are {keys}."),
        some_of(KEYS, 1, 3, "keys"),
        _object_with,
        lambda params: {"structure": "json", "keys": tuple(params["keys"])},
    ),
    # --- casing, beginning, end, around ---
    Constraint(
        "upper_case", "case",
        ("Use capital letters only.", "WRITE EVERYTHING IN CAPITALS.", "No lower-case letter may occur."),
        nothing,
        lambda text, params: _lettered(text) and text == text.upper(),
        lambda params: {"case": "upper"},
    ),
    Constraint(
        "lower_case", "case",
        ("Use lower-case letters only.", "write everything in lower case.", "No capital letter may occur."),
        nothing,
        lambda text, params: _lettered(text) and text == text.lower(),
        lambda params: {"case": "lower"},
    ),
    Constraint(
        "title", "opening",
        ("Begin with a title in double angle brackets on a line of its own, such as <<Joy>>.",
         "The first line must be a title of the form <<title>>.", "Put a title, wrapped in << and >>, on top."),
        nothing,
        lambda text, params: re.fullmatch(r"<<[^<>\n]+>>", (lines(text) or [""])[0]) is not None,
        lambda params: {"title": True},
    ),
    Constraint(
        "starts_with", "opening",
        ('Begin your answer with "{phrase}".', 'The first words must be "{phrase}".', 'Start with "{phrase}".'),
        one_of(OPENINGS, "phrase"),
        lambda text, params: text.lstrip().casefold().startswith(params["phrase"].casefold()),
        lambda params: {"opening": params["phrase"]},
    ),
    Constraint(
        "ends_with", "ending",
        ('End your answer with "{phrase}" and nothing after it.', 'The very last words must be "{phrase}".',
         'Finish with the phrase "{phrase}", without a full stop.'),
        one_of(ENDINGS, "phrase"),
        lambda text, params: text.rstrip().casefold().endswith(params["phrase"].casefold()),
        lambda params: {"ending": params["phrase"]},
    ),
    Constraint(
        "postscript", "ending",
        ('End with a postscript: a last line that begins with "P.S.".', 'Add a line with "P.S." at the end.',
         'The last line of your answer must be a postscript (P.S.).'),
        nothing,
        lambda text, params: re.match(r"p\.s\.\W*\w", (lines(text) or [""])[-1], re.IGNORECASE) is not None,
        lambda params: {"postscript": True},
    ),
    Constraint(
        "quoted", "around",
        ("Put your whole answer into double quotation marks.", 'Wrap everything that you write in "double quotes".',
         'The first and the last character of your answer must be ".'),
        nothing,
        lambda text, params: len(text.strip()) > 2 and text.strip()[0] == '"' == text.strip()[-1],
        lambda params: {"wrap": "quotes"},
    ),
    Constraint(
        "fenced", "around",
        ("Put your whole answer into one code block (```).", "Answer inside a fenced code block; nothing around it.",
         "Begin with a line ``` and end with a line ```; all you say stands between."),
        nothing,
        _fenced,
        lambda params: {"wrap": "fence"},
    ),
)  # fmt: skip
