"""`TaskSource`: tasks one after another, with a state that says exactly where it is; its end is a value.

    source = Tasks(at, size=1_000, seed=3, name="mazes")       at(17) is always the same task
    while (task := source.next()) is not None: ...
    saved = source.state(); Tasks(at, ...).restore(saved)      goes on with the very next task

Each epoch is another order of the same tasks, drawn from a named stream, so the state is a count and nothing else.

Report: App. D (task sources of an environment), App. C.1 (every iterator returns its state).
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.agent.budget import Limits
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.seeds import stream


class TaskSource(Protocol):
    """Where tasks come from."""

    def next(self) -> Task | None:
        """The next task; None when there are no more, and from then on."""
        ...

    def state(self) -> dict[str, Any]:
        """Where it is, as plain JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where another source of the same tasks was.

        Raises:
            ConfigError: the state is of other tasks.
        """
        ...


class Tasks:
    """Tasks by number.

    Args:
        at: the task of a number from 0; always the same for the same number.
        size: how many there are; None where there is one for every number, which then come in order.
        seed: of the order.
        shuffled: each epoch in an order of its own; else as numbered.
        epochs: how often each comes; None goes on for ever.
        name: of the tasks; part of the state.

    Raises:
        ConfigError: no tasks, or an endless source that is to be shuffled.

    Example:
        >>> source = Tasks(lambda n: Task(f"add/{n}", f"{n} + 1"), size=3, shuffled=False)
        >>> [task.id for task in source]
        ['add/0', 'add/1', 'add/2']
        >>> source.next() is None, source.state()["position"]
        (True, 3)
    """

    def __init__(
        self,
        at: Callable[[int], Task],
        *,
        size: int | None,
        seed: int = 0,
        shuffled: bool = True,
        epochs: int | None = 1,
        name: str = "tasks",
    ) -> None:
        if size is not None and size < 1:
            raise ConfigError(f"{name}: expected at least one task, got {size}")
        if size is None and shuffled:
            raise ConfigError(f"{name}: tasks without end have no order to draw; say shuffled=False")
        self.at, self.size, self.seed, self.shuffled, self.epochs, self.name = at, size, seed, shuffled, epochs, name
        self.position = 0
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def next(self) -> Task | None:
        """See `TaskSource.next`."""
        if self.size is not None and self.epochs is not None and self.position >= self.size * self.epochs:
            return None
        task = self.at(self._number(self.position))
        self.position += 1
        return task

    def __iter__(self) -> Iterator[Task]:
        while (task := self.next()) is not None:
            yield task

    def state(self) -> dict[str, Any]:
        """See `TaskSource.state`."""
        return {"position": self.position, "of": self._identity}

    def restore(self, state: dict[str, Any]) -> None:
        """See `TaskSource.restore`."""
        if state.get("of") != self._identity:
            raise ConfigError(f"expected the state of {self._identity}, got that of {state.get('of')}")
        self.position = int(state["position"])

    @property
    def _identity(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "seed": self.seed, "shuffled": self.shuffled}

    def _number(self, position: int) -> int:
        if self.size is None or not self.shuffled:
            return position if self.size is None else position % self.size
        epoch, place = divmod(position, self.size)
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, stream(self.seed, f"tasks/{self.name}", epoch).permutation(self.size)
        return int(self._order[1][place])


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A task as it stands in a file."""

    prompt: str
    id: str = ""
    truth: Any = None
    limits: Limits = Limits()


def jsonl_tasks(file: str | Path, *, seed: int = 0, shuffled: bool = True, epochs: int | None = 1) -> Tasks:
    """Tasks of a file with one JSON object a line: `prompt`, and where wanted `id`, `truth` and `limits`.

    All lines are checked at once and none are kept: a task is read again when its turn comes. The state knows the
    content of the file.

    Raises:
        DataError: the file cannot be read, is empty, or has a line that is no task; it names the line.
    """
    try:
        return _from_lines(Path(file), seed=seed, shuffled=shuffled, epochs=epochs)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error}") from None


def _from_lines(file: Path, *, seed: int, shuffled: bool, epochs: int | None) -> Tasks:
    digest, starts, seen, offset = hashlib.blake2b(digest_size=8), list[tuple[int, int]](), dict[str, int](), 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            digest.update(line)
            if line.strip():
                task = _task(line, file, number)
                if task.id in seen:
                    raise DataError(
                        f"{file}:{number}: expected ids that differ, {task.id!r} is that of line {seen[task.id]}"
                    )
                seen[task.id] = number
                starts.append((offset, number))
            offset += len(line)
    if not starts:
        raise DataError(f"{file} holds no task; expected a JSON object with a prompt on each line")

    def at(index: int) -> Task:
        start, number = starts[index]
        with file.open("rb") as again:
            again.seek(start)
            return _task(again.readline(), file, number)

    name = f"{file.stem}-{digest.hexdigest()}"
    return Tasks(at, size=len(starts), seed=seed, shuffled=shuffled, epochs=epochs, name=name)


def _task(line: bytes, file: Path, number: int) -> Task:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise DataError(f"{file}:{number}: expected a JSON object with a prompt (id, truth, limits): {error}") from None
    return Task(found.id or f"{file.stem}/{number}", found.prompt, found.truth, found.limits)
