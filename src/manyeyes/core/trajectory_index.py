"""The index of a trajectory store: a row for each trajectory, in SQLite; made of the segments and of nothing else.

It says how far the segments are in it (`covered`). A writer moves that mark only past bytes that lie on the disk, so an
index that is older than its segments is brought up to date by reading their ends, and one that is missing or damaged is
made again.

Report: none.
"""

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory_segments import Frame, Place
from manyeyes.core.trajectory_summary import TrajectorySummary

INDEX = "index.sqlite"
FORMAT = 1
BEGINNING = Place(0, 0)
ORDERS = {
    "oldest": "segment, offset",
    "newest": "segment DESC, offset DESC",
    "best": "reward IS NULL, reward DESC, segment, offset",
    "worst": "reward IS NULL, reward, segment, offset",
    "longest": "tokens DESC, segment, offset",
    "slowest": "seconds DESC, segment, offset",
    "name": "name",
}
_TABLE = """
CREATE TABLE IF NOT EXISTS trajectories (
    name TEXT PRIMARY KEY, segment INTEGER, offset INTEGER, task TEXT, environment TEXT, stop TEXT, failure TEXT,
    reward REAL, tokens INTEGER, seconds REAL, first_version INTEGER, last_version INTEGER, masked INTEGER, summary BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_place ON trajectories (segment, offset);
CREATE INDEX IF NOT EXISTS by_task ON trajectories (task);
CREATE TABLE IF NOT EXISTS mark (one INTEGER PRIMARY KEY CHECK (one = 1), segment INTEGER, offset INTEGER);
"""
_INSERT = f"INSERT INTO trajectories VALUES ({', '.join('?' * 14)})"
_DECODER = msgspec.msgpack.Decoder(TrajectorySummary)


class Wanted(NamedTuple):
    """Which trajectories, and in which order; None asks for nothing.

    Attributes:
        task, environment, stop, failure: exactly so.
        text: stands somewhere in the name.
        min_reward, max_reward: inclusive; who has none is left out.
        version: some sampled token may be of it.
        masked: whether the whole trajectory is.
        order: one of `ORDERS`.
        limit, offset: of the rows.
    """

    task: str | None = None
    environment: str | None = None
    stop: str | None = None
    failure: str | None = None
    text: str | None = None
    min_reward: float | None = None
    max_reward: float | None = None
    version: int | None = None
    masked: bool | None = None
    order: str = "oldest"
    limit: int | None = None
    offset: int = 0


class TrajectoryIndex:
    """The rows; see the module. One thread may write while another one reads, and neither waits for the other.

    Args:
        path: of the database; None keeps it in memory.

    Raises:
        sqlite3.Error: it is damaged, or cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._base = _connected(path or ":memory:")
        try:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            if self._base.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                self._base.executescript("DROP TABLE IF EXISTS trajectories; DROP TABLE IF EXISTS mark")
            self._base.executescript(f"{_TABLE} PRAGMA user_version = {FORMAT}")
            self._read = _connected(path) if path else self._base
            self._reading = threading.Lock()
        except BaseException:
            self._base.close()
            raise

    @property
    def covered(self) -> Place:
        """What stands before it is in the index."""
        rows = self._rows("SELECT segment, offset FROM mark")
        return Place(*rows[0]) if rows else BEGINNING

    def add(self, frames: Iterable[tuple[Frame, TrajectorySummary]], *, covered: Place | None = None) -> None:
        """Rows, and how far the segments are in it and on the disk.

        Raises:
            sqlite3.IntegrityError: a name is there already; none of them is added.
        """
        self._base.execute("BEGIN IMMEDIATE")
        try:
            self._base.executemany(_INSERT, map(_row, frames))
            if covered is not None:
                self._base.execute("INSERT OR REPLACE INTO mark VALUES (1, ?, ?)", covered)
            self._base.execute("COMMIT")
        except BaseException:
            self._base.execute("ROLLBACK")
            raise

    def forget_from(self, place: Place) -> None:
        """Drop the rows from a place on."""
        self._base.execute("DELETE FROM trajectories WHERE (segment, offset) >= (?, ?)", place)

    def clear(self) -> None:
        """Drop all rows and the mark."""
        self._base.executescript("DELETE FROM trajectories; DELETE FROM mark")

    def copy_of(self, path: Path) -> None:
        """Take over what a database on disk holds now, also while another process writes it."""
        other = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            if other.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
                other.backup(self._base)
        finally:
            other.close()

    def place(self, name: str) -> Place | None:
        """Where a trajectory lies."""
        rows = self._rows("SELECT segment, offset FROM trajectories WHERE name = ?", name)
        return Place(*rows[0]) if rows else None

    def names(self) -> list[str]:
        """In the order in which they were stored."""
        return [name for (name,) in self._rows("SELECT name FROM trajectories ORDER BY segment, offset")]

    def count(self, wanted: Wanted) -> int:
        """How many there are, whatever the limit says."""
        where, values = _where(wanted)
        return self._rows(f"SELECT COUNT(*) FROM trajectories {where}", *values)[0][0]

    def find(self, wanted: Wanted) -> list[TrajectorySummary]:
        """Those that are wanted.

        Raises:
            ConfigError: there is no such order.
        """
        if wanted.order not in ORDERS:
            raise ConfigError(f"no order {wanted.order!r}; there are: {', '.join(ORDERS)}")
        where, values = _where(wanted)
        limit = -1 if wanted.limit is None else wanted.limit
        query = f"SELECT summary FROM trajectories {where} ORDER BY {ORDERS[wanted.order]} LIMIT ? OFFSET ?"
        return [_DECODER.decode(summary) for (summary,) in self._rows(query, *values, limit, wanted.offset)]

    def values(self, column: str) -> dict[str, int]:
        """How many trajectories there are for each value of `task`, `environment`, `stop` or `failure`."""
        if column not in ("task", "environment", "stop", "failure"):
            raise ConfigError(f"no list of {column!r}")
        return dict(self._rows(f"SELECT {column}, COUNT(*) FROM trajectories GROUP BY 1 ORDER BY 2 DESC, 1"))

    def close(self) -> None:
        """Leave the database."""
        self._read.close()
        self._base.close()

    def _rows(self, query: str, *values: Any) -> list[Any]:
        """All of them, one question at a time: one that begins while another is answered sees what that one sees."""
        with self._reading:
            return self._read.execute(query, values).fetchall()


def _connected(path: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)


def _row(found: tuple[Frame, TrajectorySummary]) -> tuple[Any, ...]:
    frame, s = found
    reward = None if s.reward is None or s.reward != s.reward else s.reward  # SQLite has no NaN
    return (
        s.name, *frame.place, s.task, s.environment, s.stop, s.failure, reward, s.tokens, s.seconds, s.first_version,
        s.last_version, bool(s.masked), frame.summary,
    )  # fmt: skip


def _where(wanted: Wanted) -> tuple[str, list[Any]]:
    """The condition, and what fills its marks."""
    conditions: list[tuple[str, Any]] = [
        ("task = ?", wanted.task),
        ("environment = ?", wanted.environment),
        ("stop = ?", wanted.stop),
        ("failure = ?", wanted.failure),
        ("instr(name, ?) > 0", wanted.text or None),
        ("reward >= ?", wanted.min_reward),
        ("reward <= ?", wanted.max_reward),
        ("first_version <= ?", wanted.version),
        ("last_version >= ?", wanted.version),
        ("masked = ?", wanted.masked),
    ]
    asked = [(condition, value) for condition, value in conditions if value is not None]
    where = "WHERE " + " AND ".join(condition for condition, _ in asked) if asked else ""
    return where, [value for _, value in asked]
