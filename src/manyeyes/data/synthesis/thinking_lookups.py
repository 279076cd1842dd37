"""Families of reading: follow a path, find who has most, add up what is looked up in a list.

What has to be known stands in the question, so that these ask for finding facts and not for having learned them.

Report: §4.4.1; Fig. 5 (benchmarks of knowledge, to which brevity carries over).
"""

import numpy as np

from manyeyes.data.synthesis.generator import between, some
from manyeyes.data.synthesis.thinking_problem import (
    COLOURS,
    LETTERS,
    MOST_ADDED,
    Change,
    Problem,
    Step,
    digits,
    lettered,
)


def hops(rng: np.random.Generator, level: int) -> Problem:
    """Where a path of colours leads in some steps."""
    path = some(rng, COLOURS, 3 + level)
    told = some(rng, [f"- {one} {other}" for one, other in zip(path, path[1:], strict=False)], len(path))
    times = between(rng, 2, 1 + level) if level > 1 else 2
    steps = [Step("I go to the next one", f"{n + 1}: {path[n]} {path[n + 1]}") for n in range(times)]
    question = "\n".join([f"Each leads to the next. Go {times} times from {path[0]}.", *told])
    return Problem("hops", question, tuple(steps), path[times])


def most(rng: np.random.Generator, level: int) -> Problem:
    """Which colour has most, compared one by one."""
    colours = some(rng, COLOURS, 2 + level)
    numbers = [1 + int(place) for place in rng.permutation(9)[: len(colours)]]
    steps, best = [], 0
    for place, (colour, number) in enumerate(zip(colours, numbers, strict=True)):
        best = place if number > numbers[best] else best
        line = f"{LETTERS[place]} {colour} {number}: {colours[best]} {numbers[best]}"
        steps.append(Step("I compare the next one", line))
    told = lettered([f"{colour} {number}" for colour, number in zip(colours, numbers, strict=True)])
    return Problem("most", f"Which has most?\n{told}", tuple(steps), colours[best])


def prices(rng: np.random.Generator, level: int) -> Problem:
    """What two or three things of a list cost together."""
    colours = some(rng, COLOURS, 2 + level)
    cost = dict(zip(colours, digits(rng, len(colours), most=MOST_ADDED), strict=True))
    wanted = some(rng, colours, 2 if level < 3 else between(rng, 2, 3))
    steps, total = [], 0
    for place, colour in enumerate(wanted):
        total += cost[colour]
        work = f": {Change('+', cost[colour]).line(total - cost[colour])}" if place else ""
        steps.append(Step("I look for the next one", f"{place + 1}: {colour} {cost[colour]}{work}"))
    told = [f"- {colour} {number}" for colour, number in cost.items()]
    question = "\n".join([f"What do {' and '.join(wanted)} cost?", *told])
    return Problem("prices", question, tuple(steps), str(total))
