"""A maze: how long is the shortest route, or which one is it?

Corridors are dug depth first, then a few walls are opened, so that there are several routes and the first one found
need not be the shortest. A route is written as letters, U, D, L, R, one for each step from a cell to the next.

Report: Fig. 12 (segmentation of a binary picture, breadth-first search).
"""

from collections import deque
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from manyeyes.agent.environments.puzzle import Puzzle, checked_level, colour, png, read_number
from manyeyes.core.seeds import stream

Cell: TypeAlias = tuple[int, int]
"""Row and column."""
STEPS: dict[str, Cell] = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}
OPENED = 0.08
"""Share of the inner walls that are opened afterwards."""
GREEN, RED = (30, 160, 60), (215, 40, 40)

ABOUT = (
    "The picture shows a maze of {size} x {size} square cells. Dark lines are walls. One step leads from a cell to the "
    "next one, up, down, left or right, where no wall is between them. You start in the cell with the green dot and go "
    "to the cell with the red dot.\n\n"
)
ASKED = {
    "length": "How many steps does the shortest route take? End with a line of this form:\nAnswer: <steps>",
    "route": "Which route is a shortest one? Write a letter for each step (U, D, L, R). End with a line of this form:\n"
             "Answer: <letters>",
}  # fmt: skip


class Maze(NamedTuple):
    """A maze: `open_` holds pairs of cells without a wall between them, both ways round."""

    size: int
    open_: frozenset[tuple[Cell, Cell]]
    start: Cell
    goal: Cell

    def distances(self, begin: Cell) -> dict[Cell, int]:
        """Steps from a cell to every other."""
        found, waiting = {begin: 0}, deque([begin])
        while waiting:
            cell = waiting.popleft()
            for step in STEPS.values():
                other = (cell[0] + step[0], cell[1] + step[1])
                if (cell, other) in self.open_ and other not in found:
                    found[other] = found[cell] + 1
                    waiting.append(other)
        return found

    def shortest(self) -> str:
        """One shortest route."""
        left, cell, route = self.distances(self.goal), self.start, ""
        while cell != self.goal:
            letter, cell = next(
                (letter, other) for letter, step in STEPS.items()
                if (cell, other := (cell[0] + step[0], cell[1] + step[1])) in self.open_ and left[other] < left[cell]
            )  # fmt: skip
            route += letter
        return route

    def leads(self, route: str) -> bool:
        """Whether a route goes from the start to the goal and through no wall."""
        cell = self.start
        for letter in route:
            other = (cell[0] + STEPS[letter][0], cell[1] + STEPS[letter][1])
            if (cell, other) not in self.open_:
                return False
            cell = other
        return cell == self.goal


def maze_puzzle(level: int, seed: int) -> Puzzle:
    """A maze of 8 to 24 cells a side.

    Raises:
        ConfigError: there is no such level.
    """
    rng = stream(seed, "environments/maze", checked_level(level))
    maze = dug(rng, 4 + 4 * level)
    shortest = maze.shortest()
    asked = ("length", "route")[int(rng.integers(2))]
    question = ABOUT.format(size=maze.size) + ASKED[asked]
    draw = cache(lambda: png(drawn(maze, stream(seed, "environments/maze/picture", level))))
    steps = len(shortest)
    if asked == "length":
        return Puzzle(question, {"maze.png": draw}, lambda answer: _length(answer, steps), {"length": 1.0}, str(steps))
    return Puzzle(question, {"maze.png": draw}, lambda answer: _route(answer, maze, steps), {"route": 1.0}, shortest)


def _length(answer: str, steps: int) -> dict[str, float]:
    number = read_number(answer)
    return {"length": float(number == steps)}


def _route(answer: str, maze: Maze, steps: int) -> dict[str, float]:
    """The reward "route" is 1 for a shortest one, "leads" for any that gets there."""
    route = answer.upper().replace(" ", "").replace(",", "")
    leads = bool(route) and set(route) <= STEPS.keys() and len(route) <= maze.size**2 and maze.leads(route)
    return {"route": float(leads and len(route) == steps), "leads": float(leads)}


def dug(rng: np.random.Generator, size: int) -> Maze:
    """A maze with routes from everywhere to everywhere; start and goal lie far apart."""
    open_: set[tuple[Cell, Cell]] = set()
    path, seen = [(0, 0)], {(0, 0)}
    while path:
        cell = path[-1]
        fresh = [other for other in _neighbours(cell, size) if other not in seen]
        if not fresh:
            path.pop()
            continue
        other = fresh[int(rng.integers(len(fresh)))]
        open_ |= {(cell, other), (other, cell)}
        seen.add(other)
        path.append(other)
    walls = sorted((cell, other) for cell in seen for other in _neighbours(cell, size)
                   if cell < other and (cell, other) not in open_)  # fmt: skip
    for index in rng.permutation(len(walls))[: max(1, round(OPENED * len(walls)))]:
        cell, other = walls[index]
        open_ |= {(cell, other), (other, cell)}
    return _with_ends(rng, size, frozenset(open_))


def _neighbours(cell: Cell, size: int) -> list[Cell]:
    around = ((cell[0] + down, cell[1] + right) for down, right in STEPS.values())
    return [(row, column) for row, column in around if 0 <= row < size and 0 <= column < size]


def _with_ends(rng: np.random.Generator, size: int, open_: frozenset[tuple[Cell, Cell]]) -> Maze:
    start = (int(rng.integers(size)), int(rng.integers(size)))
    distances = Maze(size, open_, start, start).distances(start)
    far = sorted(cell for cell, steps in distances.items() if steps >= size)
    return Maze(size, open_, start, far[int(rng.integers(len(far)))])


def drawn(maze: Maze, rng: np.random.Generator) -> Image.Image:
    """The picture: other margins, colours and thickness of walls every time."""
    cell, wall, margin = int(rng.integers(18, 29)), int(rng.integers(2, 5)), int(rng.integers(10, 41))
    side = maze.size * cell + 2 * margin
    image = Image.new("RGB", (side, side), colour(rng, 238, 255))
    draw, dark = ImageDraw.Draw(image), colour(rng, 0, 60)
    for row in range(maze.size):
        for column in range(maze.size):
            x, y = margin + column * cell, margin + row * cell
            for (down, right), line in {
                (-1, 0): (x, y, x + cell, y), (1, 0): (x, y + cell, x + cell, y + cell),
                (0, -1): (x, y, x, y + cell), (0, 1): (x + cell, y, x + cell, y + cell),
            }.items():  # fmt: skip
                if ((row, column), (row + down, column + right)) not in maze.open_:
                    draw.line(line, fill=dark, width=wall)
    for (row, column), fill in ((maze.start, GREEN), (maze.goal, RED)):
        x, y, radius = margin + (column + 0.5) * cell, margin + (row + 0.5) * cell, cell * 0.28
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    return image
