"""`Puzzles`: visual puzzles solved with code: the pictures are shown, and lie in /inputs for IPython to measure.

    task = puzzle_task("maze", level=2, seed=7)           "maze", "pie", "differences"; levels 1 to 5
    environment = Puzzles()
    environment = Puzzles(blind=True)                     the same with blank pictures: what guessing is worth

A task says which puzzle, and the puzzle is drawn from that: pictures and truth are the same wherever it is drawn.

Report: Fig. 12; App. D (toolset: IPython).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

from manyeyes.agent.budget import Limits
from manyeyes.agent.environment import Ctx
from manyeyes.agent.environments.attempt_environment import AttemptEnvironment
from manyeyes.agent.environments.puzzle import LEVELS, Puzzle
from manyeyes.agent.environments.puzzle_differences import differences_puzzle
from manyeyes.agent.environments.puzzle_maze import maze_puzzle
from manyeyes.agent.environments.puzzle_pie import pie_puzzle
from manyeyes.agent.environments.shared_sandbox import Furnished, SharedSandbox
from manyeyes.agent.environments.sight_filter import without
from manyeyes.agent.judge import Case, Verdict
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.tools.ipython import IPython
from manyeyes.agent.toolset import Functions, ToolResult
from manyeyes.agent.workspace import INPUTS, Workspace
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, Tool, ToolCall, system, user
from manyeyes.core.picture import Picture

Maker = Callable[[int, int], Puzzle]
"""A puzzle of a level and a seed; the same one every time."""
KINDS: dict[str, Maker] = {"maze": maze_puzzle, "pie": pie_puzzle, "differences": differences_puzzle}
SYSTEM = (
    "You solve visual puzzles. Look at the picture, then measure with code: `ipython` runs Python with numpy and "
    "Pillow. The pictures are in {files}. End with the line that the question asks for."
)


@dataclass
class Puzzles(AttemptEnvironment):
    """See the module.

    Attributes:
        shared: where code runs.
        kinds: what makes puzzles, by name; add your own.
        blind: whether pictures are blank, for the model and for code.
    """

    limits: Limits = Limits(steps=20)
    name: str = "puzzles"
    shared: SharedSandbox = field(default_factory=SharedSandbox)
    kinds: Mapping[str, Maker] = field(default_factory=lambda: KINDS)
    blind: bool = False

    def bound(self, task: Task) -> Self:
        """See `AttemptEnvironment.bound`. Raises ConfigError where the task is no puzzle."""
        puzzle = self._puzzle(task)
        told = (self.system or SYSTEM).replace("{files}", ", ".join(f"{INPUTS}/{name}" for name in puzzle.pictures))
        judge = self.judge or PuzzleJudge(puzzle)
        return replace(self, make_toolset=lambda ctx: PuzzleCode(self.shared, puzzle, ctx), judge=judge, system=told)

    def messages(self, task: Task) -> list[Message]:
        """See `Environment.messages`; an open session has drawn the pictures."""
        pictures = self._puzzle(task).pictures
        shown = (Picture.from_bytes(draw(), name=name) for name, draw in pictures.items())
        return [system(self.system), user(*shown, task.prompt)]

    async def ready(self) -> None:
        """See `AttemptEnvironment.ready`. Raises SandboxUnavailable."""
        await self.shared.sandbox()

    async def close(self) -> None:
        """See `AttemptEnvironment.close`."""
        await self.shared.close()

    def _puzzle(self, task: Task) -> Puzzle:
        puzzle = puzzle_of(task, kinds=self.kinds)
        return puzzle.blind if self.blind else puzzle


@dataclass(frozen=True, slots=True)
class PuzzleJudge:
    """The puzzle's own word on an answer."""

    puzzle: Puzzle

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        parts = self.puzzle.parts(case.outcome.text)
        return Verdict(self.puzzle.worth(parts), parts, {"solution": self.puzzle.solution})


class PuzzleCode:
    """IPython beside the pictures of a puzzle; a toolset."""

    def __init__(self, shared: SharedSandbox, puzzle: Puzzle, ctx: Ctx) -> None:
        self._shared, self._puzzle, self._noted = shared, puzzle, ctx.noted
        self._furnished: Furnished | None = None
        self._ipython: IPython | None = None
        self._functions = Functions(())
        self.repeatable: frozenset[str] = frozenset()

    @property
    def tools(self) -> Sequence[Tool]:
        """See `Toolset.tools`."""
        return self._functions.tools

    async def open(self) -> None:
        """Put the pictures where code finds them."""
        kernels = await self._shared.kernels()
        self._furnished = furnished = await self._shared.furnished(self._fill)
        self._ipython = IPython(kernels, furnished.workspace, str(furnished.folder), self._noted)
        self._functions = self._ipython.functions()

    async def close(self) -> None:
        """End the kernel, remove the files."""
        furnished, self._furnished = self._furnished, None
        ipython, self._ipython = self._ipython, None
        try:
            if ipython is not None:
                await ipython.close()
        finally:
            if furnished is not None:
                await furnished.remove()

    async def call(self, call: ToolCall) -> ToolResult:
        """See `Toolset.call`."""
        return await self._functions.call(call)

    def _fill(self, workspace: Workspace) -> None:
        for name, draw in self._puzzle.pictures.items():
            (workspace.inputs / name).write_bytes(draw())


def puzzle_task(kind: str, *, level: int, seed: int, kinds: Mapping[str, Maker] | None = None) -> Task:
    """A puzzle as a task.

    Raises:
        ConfigError: there is no such kind or level.
    """
    truth = {"kind": kind, "level": level, "seed": seed}
    question = _made(_maker(kind, kinds), level, seed).question
    return Task(_id(kind, level, seed), question, truth)


def _id(kind: str, level: int, seed: int) -> str:
    return f"puzzle/{kind}/{level}/{seed}"


def puzzle_of(task: Task, *, kinds: Mapping[str, Maker] | None = None) -> Puzzle:
    """The puzzle of a task. Raises ConfigError where it has none."""
    truth: Any = task.truth
    if not isinstance(truth, dict) or not {"kind", "level", "seed"} <= truth.keys():
        raise ConfigError(f"task {task.id!r} is no puzzle; make one with puzzle_task(kind, level=…, seed=…)")
    return _made(_maker(truth["kind"], kinds), truth["level"], truth["seed"])


def _maker(kind: str, kinds: Mapping[str, Maker] | None) -> Maker:
    kinds = KINDS if kinds is None else kinds
    if kind not in kinds:
        raise ConfigError(f"there is no puzzle {kind!r}; there are {', '.join(kinds)}")
    return kinds[kind]


@lru_cache(maxsize=64)
def _made(maker: Maker, level: int, seed: int) -> Puzzle:
    """Attempts at one task come together, so each is drawn about once."""
    return maker(level, seed)


def puzzles(
    seed: int = 0,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    levels: Sequence[int] = tuple(range(1, LEVELS + 1)),
    size: int | None = None,
    dropped: Collection[str] = (),
) -> Tasks:
    """Puzzles, kinds and levels in turns.

    Args:
        size: how many there are before some are dropped, which come again and again; None makes new ones without end.
        dropped: ids of tasks that are left out, such as those that a blind policy solves (`sight_filter`).

    Raises:
        ConfigError: nothing to choose from, or dropped tasks of a source without end, or all of them.
    """
    if not kinds or not levels:
        raise ConfigError("a source of puzzles needs at least one kind and one level")
    offers = [(kind, level) for level in levels for kind in kinds]

    def offered(number: int) -> tuple[str, int, int]:
        return *offers[number % len(offers)], seed * 2**32 + number

    def at(number: int) -> Task:
        kind, level, of = offered(number)
        return puzzle_task(kind, level=level, seed=of)

    name = f"puzzles/{','.join(kinds)}/{','.join(map(str, levels))}"
    if size is None:
        if dropped:
            raise ConfigError("puzzles that are dropped are taken from so many: give a size")
        return Tasks(at, size=None, shuffled=False, epochs=None, seed=seed, name=name)
    kept = [number for number in range(size) if _id(*offered(number)) not in dropped]
    return Tasks(lambda n: at(kept[n]), size=len(kept), epochs=None, seed=seed, name=without(name, dropped))
