"""Small programs that keep and walk structures, with known bugs.

Report: none; App. E.5 has tasks of this kind on real repositories.
"""

from typing import Any

import numpy as np

from manyeyes.agent.environments.bug_program import Bug, Program, whole, word

CACHE_SOURCE = '''class Cache:
    """Holds at most `size` values."""

    def __init__(self, size):
        self.size = size
        self.values = {}

    def get(self, key):
        """The value, which counts as used now; None where there is none."""
        if key not in self.values:
            return None
        value = self.values.pop(key)
        self.values[key] = value
        return value

    def put(self, key, value):
        """Keep a value, which counts as used now."""
        self.values.pop(key, None)
        self.values[key] = value
        if len(self.values) > self.size:
            oldest = next(iter(self.values))
            del self.values[oldest]

    def keys(self):
        """All keys, the one used last at the end."""
        return list(self.values)
'''


def _cache(draw: np.random.Generator) -> list[Any]:
    calls = [["Cache", [whole(draw, 1, 3)]]]
    for number in range(12):
        key = word(draw, 1)
        calls.append([".put", [key, number]] if draw.random() < 0.6 else [".get", [key]])
    return [*calls, [".keys", []]]


CACHE = Program(
    "cache", "A cache that forgets what was not used for longest.", CACHE_SOURCE, (
        Bug("value = self.values.pop(key)\n        self.values[key] = value\n        return",
            "value = self.values[key]\n        return",
            "values that are read all the time are forgotten before others"),
        Bug("        self.values.pop(key, None)\n", "",
            "a value that is put again does not count as used"),
        Bug("> self.size", ">= self.size",
            "it holds one value less than it should"),
    ), _cache,
)  # fmt: skip

MATRIX_SOURCE = '''def turned(rows):
    """A quarter turn clockwise."""
    return [list(column) for column in zip(*rows[::-1])]


def spiral(rows):
    """All values, clockwise from the corner above left inwards."""
    walked = []
    while rows:
        walked += rows[0]
        rows = [list(column) for column in zip(*rows[1:])][::-1]
    return walked
'''


def _matrix(draw: np.random.Generator) -> list[Any]:
    rows = draw.integers(0, 9, (whole(draw, 1, 4), whole(draw, 1, 4))).tolist()
    return [["turned", [rows]], ["spiral", [rows]]]


MATRIX = Program(
    "matrix", "Turns and walks matrices.", MATRIX_SOURCE, (
        Bug("rows[::-1])]\n\n", "rows)]\n\n",
            "turned() mirrors instead of turning"),
        Bug("zip(*rows[1:])][::-1]", "zip(*rows[1:])]",
            "spiral() turns the wrong way after the first row"),
        Bug("zip(*rows[1:])", "zip(*rows[2:])",
            "spiral() leaves out values"),
    ), _matrix,
)  # fmt: skip

GRAPH_SOURCE = '''from collections import deque


def distance(edges, start, goal):
    """Edges from one place to another, at least; edges lead both ways. -1 where there is no way."""
    neighbours = {}
    for a, b in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    seen, waiting = {start}, deque([(start, 0)])
    while waiting:
        place, steps = waiting.popleft()
        if place == goal:
            return steps
        for other in neighbours.get(place, ()):
            if other not in seen:
                seen.add(other)
                waiting.append((other, steps + 1))
    return -1
'''


def _graph(draw: np.random.Generator) -> list[Any]:
    edges = draw.integers(0, 7, (whole(draw, 3, 10), 2)).tolist()
    return [["distance", [edges, whole(draw, 0, 6), whole(draw, 0, 6)]]]


GRAPH = Program(
    "graph", "Shortest ways through a network.", GRAPH_SOURCE, (
        Bug("waiting.popleft()", "waiting.pop()",
            "it finds ways, but not the shortest ones"),
        Bug("        neighbours.setdefault(b, []).append(a)\n", "",
            "ways that lead against an edge are not found"),
        Bug("return -1", "return len(seen)",
            "for places that are not connected it says a number"),
    ), _graph,
)  # fmt: skip

STRUCTURES_PROGRAMS = (CACHE, MATRIX, GRAPH)
