"""Reasoning chains of any length: follow a state through many steps, look facts up one after the other, sort a list.

Length is a parameter, so that the same skills can be trained and tested at every context length.

Report: §4.5, App. B.2 (reasoning); retrieval over long contexts.
"""

from collections.abc import Callable

import numpy as np

from manyeyes.data.generated.problems import NAMES, THINGS, Problem

PLACES = ("attic", "barn", "cellar", "garage", "garden", "hall", "kitchen", "library", "office", "studio")


def running_total(rng: np.random.Generator, length: int) -> Problem:
    """A number after many additions and subtractions."""
    total = int(rng.integers(10, 50))
    told, steps = [f"Start with {total}."], []
    for _ in range(length):
        change = int(rng.integers(1, 20)) * (1 if rng.random() < 0.5 or total < 20 else -1)
        told.append(f"{'Add' if change > 0 else 'Take away'} {abs(change)}.")
        steps.append(f"{total} {'+' if change > 0 else '-'} {abs(change)} = {total + change}")
        total += change
    return Problem(" ".join([*told, "What is the result?"]), tuple(steps), str(total))


def whereabouts(rng: np.random.Generator, length: int) -> Problem:
    """Where a thing is that people carry about."""
    people = [NAMES[i] for i in rng.choice(len(NAMES), 3, replace=False)]
    thing = str(rng.choice(THINGS))
    place = {name: PLACES[int(rng.integers(len(PLACES)))] for name in people}
    owner = people[0]
    told = [f"{name} is in the {place[name]}." for name in people] + [f"{owner} holds the {thing}."]
    steps = [f"The {thing} are with {owner} in the {place[owner]}."]
    for _ in range(length):
        name = people[int(rng.integers(3))]
        if name != owner and rng.random() < 0.3:
            told.append(f"{owner} goes to the {place[name]} and hands {name} the {thing}.")
            place[owner], owner = place[name], name
            steps.append(f"Now {owner} has them in the {place[owner]}.")
        else:
            place[name] = PLACES[int(rng.integers(len(PLACES)))]
            told.append(f"{name} goes to the {place[name]}.")
            steps += [f"{name} takes them to the {place[name]}."] if name == owner else []
    return Problem(" ".join([*told, f"Where are the {thing}?"]), tuple(steps), place[owner])


def lookup(rng: np.random.Generator, length: int) -> Problem:
    """One entry of a long list of keys and values, then the entry that it names."""
    keys = rng.choice(9000, max(length, 2) + 1, replace=False) + 1000
    chain = [str(key) for key in keys.tolist()]
    pairs = [f"The note at {here} says {there}." for here, there in zip(chain, chain[1:], strict=False)]
    start = int(rng.integers(len(pairs) - 1))
    first, second, third = chain[start : start + 3]
    told = " ".join(pairs[i] for i in rng.permutation(len(pairs)).tolist())
    question = f"{told} Begin at {first} and follow the notes for two steps. Where do you end?"
    return Problem(question, (f"{first} leads to {second}.", f"{second} leads to {third}."), third)


def selection_sort(rng: np.random.Generator, length: int) -> Problem:
    """A list in order, the smallest number picked again and again; steps grow with the square of the list."""
    rest = [int(v) for v in rng.choice(1000, max(3, round((10 * length) ** 0.5)), replace=False)]
    question = f"Sort these numbers: {', '.join(map(str, rest))}."
    steps, done = [], sorted(rest)
    while len(rest) > 1:
        smallest = min(rest)
        rest.remove(smallest)
        steps.append(f"Take {smallest}, left are {', '.join(map(str, rest))}.")
    return Problem(question, tuple(steps), ", ".join(map(str, done)))


CHAINS: tuple[Callable[[np.random.Generator, int], Problem], ...] = (running_total, whereabouts, lookup, selection_sort)
