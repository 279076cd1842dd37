"""Writes a run's metrics as TensorBoard events: `tensorboard --logdir OUT` then draws them.

Every number of a row becomes the scalar "kind/name" at the row's step and time; nested names are joined with "/".
Needs the extra `tensorboard` (its own writer, without torch or tensorflow); a run itself never does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manyeyes.core.runlog import RunFolder, RunFolderError

try:
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError:  # the extra is not installed
    EventFileWriter = None


def export_tensorboard(run: RunFolder, out: str | Path) -> int:
    """Writes all numbers of the log into one event file under `out`.

    Returns:
        how many scalars were written.
    """
    if EventFileWriter is None:
        raise RunFolderError("TensorBoard is not installed; run: pip install 'manyeyes[tensorboard]'")
    try:
        writer = EventFileWriter(str(out))
    except OSError as error:
        raise RunFolderError(f"{out}: {error.strerror or error}") from error
    count = 0
    for row in run.metrics():
        scalars = list(_scalars(row.kind, row.values))
        count += len(scalars)
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalars])
        writer.add_event(Event(wall_time=row.time, step=row.step, summary=summary))
    writer.close()
    return count


def _scalars(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(f"{prefix}/{name}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}/{name}", float(value)
