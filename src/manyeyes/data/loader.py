"""`Loader`: executes a plan. Threads read samples, batches come out in plan order with the state to resume after.

A step of the run is the next rows_per_batch x world_size packs; every rank plans all of them (planning is cheap, so no
rank has to talk to another) and reads the packs k with k % world_size == rank. The state after a step is therefore the
same on every rank, and a run may go on with other ranks, other threads, or more rows on fewer ranks.

What can go wrong with a sample: a broken record is quarantined and a stand-in of its planned length takes its place; an
`OSError` is tried again, then raised; a length other than planned, or any other exception, is raised.

Report: App. C.1 (determinism; a resumed sequence equals the uninterrupted one).
"""

from collections.abc import Callable, Iterator
from functools import partial
from threading import Event
from types import TracebackType
from typing import Any, NamedTuple

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.media import MediaError
from manyeyes.core.sample import Sample
from manyeyes.data.ordered_map import ordered_map
from manyeyes.data.packing import Batch, Pack, pack, stack
from manyeyes.data.plan import Entry, PlannedPack, Planner
from manyeyes.data.quarantine import Failure, Quarantine, stand_in
from manyeyes.data.retry import RETRY, Result, Retry, patiently
from manyeyes.data.source import RecordError


class LoadedBatch(NamedTuple):
    """A batch and where it stands in the run.

    Attributes:
        batch: [rows_per_batch, T]; empty rows fill up the last step of a finite plan, so all ranks take as many steps.
        packs: global numbers of its rows.
        state: `Planner` state to store with a checkpoint made after training on this batch; equal on all ranks.
        failures: records replaced by stand-ins in this batch.
    """

    batch: Batch
    packs: tuple[int, ...]
    state: dict[str, Any]
    failures: tuple[Failure, ...]


class Loader:
    """An iterator of `LoadedBatch`es; use it as a context manager, or call `close()`, to end its threads at once.

    Args:
        planner: what to read; the loader advances it ahead of the batches, so hand it to nobody else.
        rows_per_batch: rows of one rank's batch.
        pad_id: token id of padding and stand-ins.
        rank, world_size: this rank, and how many ranks share the plan.
        workers: reading threads; 0 reads in the caller's thread.
        prefetch: batches read ahead.
        quarantine: where failures are written down; only remembered by default.

    Raises:
        DataError: (while iterating) what the planner raises; a sample of another length than planned; a sample that
            could not be read after all attempts.

    Example:
        >>> from manyeyes.data.fake_source import FakeSource
        >>> from manyeyes.data.mixture import constant
        >>> planner = Planner([FakeSource("toy", lengths=(3, 5))], constant(vision=0.0), row_length=8, seed=0)
        >>> with Loader(planner, rows_per_batch=2, pad_id=0, workers=1) as loader:
        ...     loaded = next(loader)
        >>> loaded.batch.ids_BT.shape, loaded.packs, loaded.state["packs"]
        ((2, 8), (0, 1), 2)
    """

    def __init__(
        self,
        planner: Planner,
        *,
        rows_per_batch: int,
        pad_id: int,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 2,
        prefetch: int = 2,
        quarantine: Quarantine | None = None,
        retry: Retry = RETRY,
    ) -> None:
        if rows_per_batch < 1 or not 0 <= rank < world_size or workers < 0 or prefetch < 1 or retry.attempts < 1:
            raise ConfigError(
                "a loader needs rows_per_batch >= 1, 0 <= rank < world_size, workers >= 0, prefetch >= 1 and at least "
                f"one attempt; got {rows_per_batch}, {rank} of {world_size}, {workers}, {prefetch}, {retry.attempts}"
            )
        self.state = planner.state()
        """State after the last batch handed out."""
        self.quarantine = quarantine or Quarantine()
        stop = Event()
        reader = _Reader(planner, pad_id=pad_id, quarantine=self.quarantine, retry=retry, stop=stop)
        tasks = reader.tasks(rows_per_batch=rows_per_batch, rank=rank, world_size=world_size)
        self._rows = ordered_map(reader.row, tasks, workers=workers, ahead=prefetch * rows_per_batch, stop=stop)

    def __iter__(self) -> Iterator[LoadedBatch]:
        return self

    def __next__(self) -> LoadedBatch:
        rows: list[_Row] = []
        while not rows or rows[-1].state is None:
            rows.append(next(self._rows))
        failures = tuple(failure for row in rows for failure in row.failures)
        for failure in failures:
            self.quarantine.add(failure)
        self.state = rows[-1].state or self.state
        return LoadedBatch(stack([row.pack for row in rows]), tuple(row.index for row in rows), self.state, failures)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads and wait for them; iterating afterwards stops at once. Safe to call twice."""
        self._rows.close()


class _Task(NamedTuple):
    planned: PlannedPack
    state: dict[str, Any] | None
    """Planner state after the step, at the step's last row."""


class _Row(NamedTuple):
    index: int
    pack: Pack
    failures: tuple[Failure, ...]
    state: dict[str, Any] | None


class _Reader:
    """Turns planned packs into packs. Shared by all threads; `tasks` runs in one of them at a time."""

    def __init__(self, planner: Planner, *, pad_id: int, quarantine: Quarantine, retry: Retry, stop: Event) -> None:
        self._planner = planner
        self._pad_id = pad_id
        self._quarantine = quarantine
        self._retry = retry
        self._stop = stop

    def tasks(self, *, rows_per_batch: int, rank: int, world_size: int) -> Iterator[_Task]:
        """This rank's rows, step by step: any rows_per_batch x world_size packs in a row hold as many for each rank."""
        while step := self._step(rows_per_batch * world_size):
            own = [planned for planned in step if planned.index % world_size == rank]
            yield from (_Task(planned, None) for planned in own[:-1])
            yield _Task(own[-1], self._planner.state())

    def row(self, task: _Task) -> _Row:
        """Read one row's samples and lay them out."""
        read = [self._read(entry) for entry in task.planned.entries]
        row = pack([sample for sample, _ in read], self._planner.row_length, pad_id=self._pad_id)
        failures = tuple(failure for _, failure in read if failure is not None)
        return _Row(task.planned.index, row, failures, task.state)

    def _step(self, size: int) -> list[PlannedPack]:
        first = self._planner.packs
        step: list[PlannedPack] = []
        while len(step) < size:
            planned = self._patiently(partial(next, self._planner, None), "planning")
            if planned is None:
                break
            step.append(planned)
        empty = range(first + len(step), first + size) if step else ()
        return [*step, *(PlannedPack(index, ()) for index in empty)]

    def _read(self, entry: Entry) -> tuple[Sample, Failure | None]:
        source = self._planner.sources[entry.source]
        reason = self._quarantine.reason(entry)
        if reason is None:
            try:
                sample = self._patiently(partial(source.sample, entry.index, entry.epoch), entry.name)
            except (RecordError, MediaError) as error:
                reason = str(error)
            else:
                return _require_planned(sample, entry), None
        stage = self._quarantine.stage
        failure = Failure(entry.source, entry.index, entry.epoch, entry.length, reason, stage)
        return stand_in(entry, pad_id=self._pad_id), failure

    def _patiently(self, attempt: Callable[[], Result], what: str) -> Result:
        return patiently(attempt, what, self._retry, stop=self._stop)


def _require_planned(sample: Sample, entry: Entry) -> Sample:
    if sample.length != entry.length:
        raise DataError(
            f"{entry.name} was planned with {entry.length} tokens and has {sample.length}: "
            f"length() and sample() of source {entry.source!r} disagree"
        )
    return sample
