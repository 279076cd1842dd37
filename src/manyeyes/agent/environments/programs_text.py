"""Small programs that read and write text, with known bugs.

Report: none; App. E.5 has tasks of this kind on real repositories.
"""

from typing import Any

import numpy as np

from manyeyes.agent.environments.bug_program import Bug, Program, whole, word

ROMAN_SOURCE = '''SIGNS = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
         (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]


def to_roman(number):
    """The numeral of a number from 1 to 3999; ValueError for any other."""
    if not 1 <= number <= 3999:
        raise ValueError(f"no numeral for {number}")
    text = ""
    for value, sign in SIGNS:
        while number >= value:
            text, number = text + sign, number - value
    return text


def from_roman(text):
    """The number of a numeral."""
    number = 0
    for value, sign in SIGNS:
        while text.startswith(sign):
            number, text = number + value, text[len(sign):]
    return number
'''


def _roman(draw: np.random.Generator) -> list[Any]:
    letters = word(draw, 1, "MDC") + "XCIX"
    return [["to_roman", [whole(draw, 1, 4100)]], ["to_roman", [whole(draw, 3990, 4010)]], ["from_roman", [letters]]]


ROMAN = Program(
    "roman", "Roman numerals.", ROMAN_SOURCE, (
        Bug("number >= value", "number > value",
            "round numbers such as 10 come out empty or one sign short"),
        Bug('(9, "IX"), ', "",
            "9 is written VIIII"),
        Bug("text[len(sign):]", "text[1:]",
            "numerals with CM or IX are read as too large a number"),
        Bug("<= 3999", "<= 4999",
            "4000 gives MMMM, although there is no such numeral"),
    ), _roman,
)  # fmt: skip

RUNS_SOURCE = '''def encode(text):
    """Pairs of a letter and how often it stands there in a row."""
    runs = []
    for letter in text:
        if runs and runs[-1][0] == letter:
            runs[-1][1] += 1
        else:
            runs.append([letter, 1])
    return runs


def decode(runs):
    """The text that was encoded."""
    return "".join(letter * count for letter, count in runs)
'''


def _runs(draw: np.random.Generator) -> list[Any]:
    text = word(draw, 12, "ab")
    return [["encode", [text]], ["decode", [[[letter, 2] for letter in text]]]]


RUNS = Program(
    "runs", "Run-length encoding of text.", RUNS_SOURCE, (
        Bug("if runs and runs[-1][0] == letter", "if any(run[0] == letter for run in runs)",
            "letters that come again later are counted with the run before"),
        Bug("runs.append([letter, 1])", "runs.append([letter, 0])",
            "every run is one too short"),
        Bug("letter * count for", "letter * max(1, count - 1) for",
            "decode(encode(text)) loses letters"),
    ), _runs,
)  # fmt: skip

WRAP_SOURCE = '''def wrap(text, width):
    """Lines of at most `width` letters, broken between words; a longer word has a line of its own."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        lines.append(line)
    return lines
'''


def _wrap(draw: np.random.Generator) -> list[Any]:
    text = " ".join(word(draw, 9) for _ in range(whole(draw, 0, 9)))
    return [["wrap", [text, whole(draw, 3, 14)]]]


WRAP = Program(
    "wrap", "Breaks text into lines.", WRAP_SOURCE, (
        Bug("+ 1 + len(word)", "+ len(word)",
            "some lines are one letter too long"),
        Bug("    if line:\n        lines.append(line)\n    return", "    return",
            "the last line is missing"),
        Bug("if line and len(line)", "if len(line)",
            "a long word at the beginning leaves an empty line before it"),
    ), _wrap,
)  # fmt: skip

CSVLINE_SOURCE = '''def parse(line):
    """The fields of a line; quotes hold commas together, and two quotes within quotes are one."""
    fields, field, quoted, i = [], "", False, 0
    while i < len(line):
        letter = line[i]
        if quoted and letter == '"' and line[i + 1:i + 2] == '"':
            field += '"'
            i += 1
        elif letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += letter
        i += 1
    fields.append(field)
    return fields
'''


def _csvline(draw: np.random.Generator) -> list[Any]:
    fields = [word(draw, 3), f'"{word(draw, 2)},{word(draw, 2)}"', '"a""b"', word(draw, 2), ""]
    return [["parse", [",".join(fields[i] for i in draw.integers(0, 5, whole(draw, 1, 4)))]]]


CSVLINE = Program(
    "csvline", "Reads a line of comma-separated values.", CSVLINE_SOURCE, (
        Bug('letter == "," and not quoted', 'letter == ","',
            "a comma within quotes ends the field"),
        Bug("            field += '\"'\n            i += 1\n", "            i += 1\n",
            "doubled quotes disappear"),
        Bug("    fields.append(field)\n    return", "    if field:\n        fields.append(field)\n    return",
            "an empty field at the end of the line is lost"),
    ), _csvline,
)  # fmt: skip

VERSIONS_SOURCE = '''def compared(one, other):
    """-1, 0 or 1 as one is older than, equal to or newer than the other; 1.2 and 1.2.0 are equal."""
    a, b = numbers(one), numbers(other)
    return (a > b) - (a < b)


def numbers(version):
    """The numbers of a version, without zeros at the end."""
    found = [int(part) for part in version.removeprefix("v").split(".")]
    while found and found[-1] == 0:
        found.pop()
    return found
'''


def _versions(draw: np.random.Generator) -> list[Any]:
    pair = [".".join(str(whole(draw, 0, 12)) for _ in range(whole(draw, 1, 3))) for _ in range(2)]
    return [
        ["compared", pair],
        ["compared", [pair[0], f"v{pair[0]}.0"]],
        ["compared", ["1.9", f"1.{whole(draw, 8, 12)}"]],
    ]


VERSIONS = Program(
    "versions", "Compares version numbers.", VERSIONS_SOURCE, (
        Bug("[int(part) for", "[part for",
            "1.10 counts as older than 1.9"),
        Bug("    while found and found[-1] == 0:\n        found.pop()\n", "",
            "1.2 and 1.2.0 are said to differ"),
        Bug("(a > b) - (a < b)", "int(a > b)",
            "an older version is said to be equal"),
    ), _versions,
)  # fmt: skip

TEXT_PROGRAMS = (ROMAN, RUNS, WRAP, CSVLINE, VERSIONS)
