"""`RunFolder`: what one run leaves on disk, and `metrics.jsonl`, the one log that every page and exporter reads.

    runs/tiny-20261124-101500/
    ├── config.json          the whole configuration, written once, atomically
    ├── metrics.jsonl        one JSON object a line: {"kind", "step", "time", ...values}; only ever appended to
    ├── tokenizer.tiktoken   the vocabulary that the run's token ids belong to
    ├── checkpoints/
    └── report.html

Rows are described in `core.metrics_log`.
"""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from manyeyes.core.metrics_log import MetricsLog, Row, RunFolderError, Tail, readable_errors

__all__ = ["Row", "RunFolder", "RunFolderError", "Tail", "latest_run", "new_run_path", "write_atomic"]


class RunFolder:
    """A run on disk. `create` starts one, `open` returns to one; both may `log`."""

    def __init__(self, path: str | Path) -> None:
        """Names a folder; touches nothing."""
        self.path = Path(path)
        self.log_file = MetricsLog(self.path / "metrics.jsonl")

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any]) -> "RunFolder":
        """Makes the folder and writes `config.json`. Refuses a folder that already holds a run."""
        run = cls(path)
        if run.config_path.exists():
            raise RunFolderError(f"{run.path}: already holds a run; resume it, or choose another folder")
        with readable_errors(run.path):
            run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.write_config(config)
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Returns to a run that exists."""
        run = cls(path)
        if not run.path.is_dir():
            raise RunFolderError(f"{run.path}: no such run folder")
        if not run.config_path.is_file():
            raise RunFolderError(f"{run.path}: not a run folder, it holds no config.json")
        return run

    @property
    def name(self) -> str:
        """The folder's last part."""
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The whole configuration."""
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        """The log."""
        return self.log_file.path

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def has_checkpoint(self) -> bool:
        """Whether training would go on from a checkpoint; one that was being written does not count."""
        return any(path.parent.suffix != ".incomplete" for path in self.checkpoints.glob("step_*/state.json"))

    @property
    def tokenizer_path(self) -> Path:
        """The vocabulary."""
        return self.path / "tokenizer.tiktoken"

    @property
    def report_path(self) -> Path:
        """The page for people."""
        return self.path / "report.html"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replaces `config.json` whole or not at all."""
        write_atomic(self.config_path, json.dumps(config, indent=2, sort_keys=False) + "\n")

    def config(self) -> dict[str, Any]:
        """Reads `config.json`."""
        with readable_errors(self.config_path):
            text = self.config_path.read_text(encoding="utf-8")
        try:
            config = json.loads(text)
        except json.JSONDecodeError as error:
            raise RunFolderError(f"{self.config_path}: not valid JSON, line {error.lineno}: {error.msg}") from error
        if not isinstance(config, dict):
            raise RunFolderError(f"{self.config_path}: expected a JSON object, got {type(config).__name__}")
        return config

    def log(self, kind: str, step: int, **values: Any) -> None:
        """Appends one row to the log; see `MetricsLog.append`."""
        self.log_file.append(kind, step, values)

    def metrics(self, kind: str | None = None) -> list[Row]:
        """All rows of the log (of one kind), in order."""
        return [row for row in self.tail(0).rows if kind is None or row.kind == kind]

    def tail(self, position: int) -> Tail:
        """Rows written since `position` (0 or an earlier answer's); for pages that follow a live run."""
        return self.log_file.tail(position)

    @property
    def position(self) -> int:
        """Bytes of complete lines in the log: what a checkpoint stores for `rewind`."""
        return self.log_file.position

    def rewind(self, position: int) -> None:
        """Forgets rows written after `position`: a resumed run writes them again."""
        self.log_file.rewind(position)

    def close(self) -> None:
        """Closes the log; the next `log` opens it again."""
        self.log_file.close()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"


def new_run_path(runs: str | Path, recipe: str, *, now: datetime | None = None) -> Path:
    """A folder name that no run has yet: `runs/<recipe>-<date>-<time>`."""
    stem = f"{recipe}-{(now or datetime.now()):%Y%m%d-%H%M%S}"
    names = (stem if count == 1 else f"{stem}-{count}" for count in range(1, 10_000))
    return next(path for path in (Path(runs) / name for name in names) if not path.exists())


def latest_run(runs: str | Path, *, having: str = "config.json") -> RunFolder:
    """The run under `runs` that was written to last.

    Args:
        runs: the folder of run folders.
        having: a glob that must match inside the run, such as "checkpoints/*".
    """
    found = [config.parent for config in Path(runs).glob("*/config.json")]
    found = [path for path in found if any(path.glob(having))]
    if not found:
        what = "no run" if having == "config.json" else f"no run with {having}"
        raise RunFolderError(f"{runs}: {what} here yet; start one with `manyeyes run tiny`, or name its folder")
    return RunFolder.open(max(found, key=_last_written))


def write_atomic(path: str | Path, data: str | bytes) -> None:
    """Replaces a file whole or not at all: written beside it, flushed to disk, renamed over it."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with readable_errors(path):
        try:
            with part.open("wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _flush_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def _last_written(run: Path) -> float:
    files = (run / "metrics.jsonl", run / "config.json")
    return max(file.stat().st_mtime for file in files if file.exists())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
