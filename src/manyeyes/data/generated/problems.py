"""Mathematics with exact truth: each function draws one problem, its worked steps and its answer from a generator.

Report: App. B.2 (maths).
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """A question, the steps of its solution and the answer that the last step reaches."""

    question: str
    steps: tuple[str, ...]
    answer: str


NAMES = (
    "Ada",
    "Ben",
    "Carla",
    "Deniz",
    "Eva",
    "Femi",
    "Grace",
    "Hugo",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Mei",
    "Noah",
    "Olga",
    "Priya",
)
THINGS = (
    "apples",
    "books",
    "coins",
    "cards",
    "eggs",
    "flowers",
    "marbles",
    "pencils",
    "shells",
    "stamps",
    "stones",
    "tickets",
)


def addition(rng: np.random.Generator) -> Problem:
    """a + b, worked in columns from the right."""
    a, b = _number(rng), _number(rng)
    return Problem(f"{a} + {b} = ?", (*_columns(a, b), f"{a} + {b} = {a + b}"), str(a + b))


def _columns(a: int, b: int) -> list[str]:
    steps, carry, place = [], 0, 1
    while place <= max(a, b):
        x, y = a // place % 10, b // place % 10
        total = x + y + carry
        carried = f" + {carry}" if carry else ""
        carry = total // 10
        steps.append(f"{x} + {y}{carried} = {total}" + (f", write {total % 10}, carry 1" if carry else ""))
        place *= 10
    return steps if len(steps) > 1 else []


def subtraction(rng: np.random.Generator) -> Problem:
    """a - b with a not below b, by way of tens."""
    b, a = sorted((_number(rng), _number(rng)))
    tens, ones = b // 10 * 10, b % 10
    steps = (
        (f"{a} - {tens} = {a - tens}", f"{a - tens} - {ones} = {a - b}") if tens and ones else (f"{a} - {b} = {a - b}",)
    )
    return Problem(f"{a} - {b} = ?", steps, str(a - b))


def multiplication(rng: np.random.Generator) -> Problem:
    """a x b with b of one digit, by place values."""
    a, b = int(rng.integers(2, 1000)), int(rng.integers(2, 10))
    parts = [int(digit) * 10**power for power, digit in enumerate(reversed(str(a))) if digit != "0"][::-1]
    steps = [f"{part} * {b} = {part * b}" for part in parts]
    if len(parts) > 1:
        steps.append(f"{' + '.join(str(part * b) for part in parts)} = {a * b}")
    return Problem(f"{a} * {b} = ?", tuple(steps), str(a * b))


def division(rng: np.random.Generator) -> Problem:
    """a : b with a remainder."""
    b, quotient = int(rng.integers(2, 13)), int(rng.integers(2, 50))
    rest = int(rng.integers(b))
    a = b * quotient + rest
    answer = f"{quotient} remainder {rest}" if rest else str(quotient)
    return Problem(
        f"Divide {a} by {b}.", (f"{b} * {quotient} = {b * quotient}", f"{a} - {b * quotient} = {rest}"), answer
    )


def equation(rng: np.random.Generator) -> Problem:
    """a x + b = c with a whole solution."""
    a, x, b = (int(v) for v in rng.integers((2, 1, 1), (10, 30, 50)))
    c = a * x + b
    steps = (f"{a}x = {c} - {b} = {c - b}", f"x = {c - b} / {a} = {x}")
    return Problem(f"Solve {a}x + {b} = {c}.", steps, f"x = {x}")


def sequence(rng: np.random.Generator) -> Problem:
    """The next term of an arithmetic, geometric or growing sequence."""
    start, step, rule = (int(v) for v in rng.integers((1, 2, 0), (30, 10, 3)))
    if rule == 0:
        terms = [start + step * i for i in range(5)]
        said = f"Each term is {step} more than the one before."
    elif rule == 1:
        terms = [start * (step % 3 + 2) ** i for i in range(5)]
        said = f"Each term is {step % 3 + 2} times the one before."
    else:
        terms = [start + step * i + i * (i - 1) // 2 for i in range(5)]
        said = f"The differences grow by 1: {', '.join(str(b - a) for a, b in zip(terms, terms[1:], strict=False))}."
    question = f"What comes next: {', '.join(map(str, terms[:4]))}?"
    return Problem(question, (said, f"{terms[3]} is followed by {terms[4]}."), str(terms[4]))


def divisor(rng: np.random.Generator) -> Problem:
    """The greatest common divisor by Euclid's algorithm."""
    common, x, y = (int(v) for v in rng.integers((2, 2, 2), (13, 20, 20)))
    a, b = common * max(x, y + (x == y)), common * min(x, y)
    steps, high, low = [], a, b
    while low:
        steps.append(f"{high} = {high // low} * {low} + {high % low}")
        high, low = low, high % low
    return Problem(f"What is the greatest common divisor of {a} and {b}?", tuple(steps), str(high))


def fraction_sum(rng: np.random.Generator) -> Problem:
    """p/q + r/s in lowest terms."""
    q, s = (int(v) for v in rng.integers(2, 11, 2))
    p, r = int(rng.integers(1, q)), int(rng.integers(1, s))
    common = math.lcm(q, s)
    left, right = p * common // q, r * common // s
    total = Fraction(p, q) + Fraction(r, s)
    steps = (
        f"{p}/{q} = {left}/{common} and {r}/{s} = {right}/{common}",
        f"{left}/{common} + {right}/{common} = {left + right}/{common}",
    )
    return Problem(
        f"{p}/{q} + {r}/{s} = ?",
        steps if str(total) == f"{left + right}/{common}" else (*steps, f"This is {total}."),
        str(total),
    )


def percentage(rng: np.random.Generator) -> Problem:
    """A whole percentage of a whole number, by way of one per cent."""
    percent, base = int(rng.integers(1, 20)) * 5, int(rng.integers(1, 50)) * 20
    answer = percent * base // 100
    steps = (f"1% of {base} is {base / 100:g}.", f"{percent} * {base / 100:g} = {answer}")
    return Problem(f"What is {percent}% of {base}?", steps, str(answer))


def comparison(rng: np.random.Generator) -> Problem:
    """Which of two decimals is larger."""
    whole = int(rng.integers(0, 20))
    a, b = f"{whole}.{int(rng.integers(1, 100))}", f"{whole}.{int(rng.integers(1, 100))}"
    if float(a) == float(b):
        b = f"{whole + 1}.{b.partition('.')[2]}"
    width = max(len(a), len(b)) - len(str(whole)) - 1
    larger = max(a, b, key=float)
    steps = (f"With {width} decimals these are {float(a):.{width}f} and {float(b):.{width}f}.",)
    return Problem(f"Which is larger, {a} or {b}?", steps, larger)


def trade(rng: np.random.Generator) -> Problem:
    """Somebody has things, gets more and gives some away."""
    name, other = _two(rng, NAMES)
    thing = str(rng.choice(THINGS))
    had, got = (int(v) for v in rng.integers(5, 60, 2))
    gave = int(rng.integers(1, had + got))
    question = (
        f"{name} has {had} {thing}, finds {got} more and gives {gave} to {other}. How many {thing} has {name} now?"
    )
    steps = (f"{had} + {got} = {had + got}", f"{had + got} - {gave} = {had + got - gave}")
    return Problem(question, steps, str(had + got - gave))


def sharing(rng: np.random.Generator) -> Problem:
    """Boxes of things are shared evenly."""
    thing = str(rng.choice(THINGS))
    people, each, boxes = (int(v) for v in rng.integers((2, 2, 2), (7, 10, 7)))
    in_box = people * each
    total = in_box * boxes
    question = (
        f"There are {boxes} boxes with {in_box} {thing} each. "
        f"{people} friends share all {thing} evenly. How many does each get?"
    )
    return Problem(
        question, (f"{boxes} * {in_box} = {total}", f"{total} / {people} = {total // people}"), str(total // people)
    )


def shopping(rng: np.random.Generator) -> Problem:
    """The price of two kinds of things and the change."""
    first, second = _two(rng, THINGS)
    name = str(rng.choice(NAMES))
    n, m, p, q = (int(v) for v in rng.integers(2, 10, 4))
    cost = n * p + m * q
    paid = cost + int(rng.integers(1, 30))
    question = (
        f"{name} buys {n} {first} at {p} euros each and {m} {second} at {q} euros each "
        f"and pays with {paid} euros. How much change is due?"
    )
    steps = (
        f"{n} * {p} = {n * p}",
        f"{m} * {q} = {m * q}",
        f"{n * p} + {m * q} = {cost}",
        f"{paid} - {cost} = {paid - cost}",
    )
    return Problem(question, steps, str(paid - cost))


def journey(rng: np.random.Generator) -> Problem:
    """Distance from two speeds and times."""
    name = str(rng.choice(NAMES))
    v, w, t, u = (int(x) for x in rng.integers((3, 10, 1, 1), (7, 30, 5, 5)))
    question = f"{name} walks {t} hours at {v} km/h and then cycles {u} hours at {w} km/h. How far does {name} get?"
    steps = (f"{t} * {v} = {t * v}", f"{u} * {w} = {u * w}", f"{t * v} + {u * w} = {t * v + u * w}")
    return Problem(question, steps, f"{t * v + u * w} km")


PROBLEMS: tuple[Callable[[np.random.Generator], Problem], ...] = (
    addition, subtraction, multiplication, division, equation, sequence, divisor, fraction_sum, percentage, comparison,
    trade, sharing, shopping, journey,
)  # fmt: skip


def _number(rng: np.random.Generator) -> int:
    """Of one to four digits, each count equally often."""
    return int(rng.integers(1, 10 ** int(rng.integers(1, 5))))


def _two(rng: np.random.Generator, words: tuple[str, ...]) -> tuple[str, str]:
    first, second = rng.choice(len(words), 2, replace=False).tolist()
    return words[first], words[second]
