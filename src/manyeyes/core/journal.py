"""`Journal`: what happened in a run, as an append-only log from which every view, resume and account is folded.

    events.jsonl     one event a line, numbered without gaps; a line reaches the kernel before `append` returns
    blobs/<sha256>   what is too large for a line, stored once however often it occurs

An event names what it waited for (`after`, numbers of earlier events), so the log is also the graph on which the
critical path is found. Writes survive `kill -9` at once and a power failure after `SYNC_SECONDS`; a line that was cut
is dropped by the next reader. One journal at a time writes to a folder. Secrets given to the journal reach neither the
disk nor its listeners.

    ManyeyesError
    └── JournalError    a journal that cannot be read or written

Report: §3 (parallel agents), App. D (trajectories as events).
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from manyeyes.core.errors import ManyeyesError

if sys.platform != "win32":
    import fcntl

EVENTS, BLOBS = "events.jsonl", "blobs"
SYNC_SECONDS = 0.2
"""Longest time that a written event may wait for the disk."""
HIDDEN = "[secret]"
SHORTEST_SECRET = 8
"""Characters; a shorter one, such as the key "1" of a local server, stands in texts that do not give it away."""


class JournalError(ManyeyesError):
    """A journal that cannot be read or written."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened.

    Attributes:
        seq: its number, from 0 without gaps.
        kind: such as "task.started"; the part before the dot names its subject.
        time: Unix seconds.
        agent: whom it happened to; "" for the run itself.
        after: numbers of the events that it waited for.
        data: what else is known; plain JSON.

    Example:
        >>> Event(seq=0, kind="run.started", time=0.0).subject
        'run'
    """

    seq: int
    kind: str
    time: float
    agent: str = ""
    after: tuple[int, ...] = ()
    data: dict[str, Any] = {}

    @property
    def subject(self) -> str:
        """What the event is about: the first word of its kind."""
        return self.kind.partition(".")[0]


class Read(NamedTuple):
    """Complete events from a position on, and the position after them."""

    events: list[Event]
    position: int


class Journal:
    """An event log that is open for writing; made by `create` or `open`.

    Args:
        folder: where `events.jsonl` and `blobs/` lie.
        secrets: texts that must never be written, such as API keys; of 8 characters or more.
        now: the clock, Unix seconds.
    """

    def __init__(
        self, folder: str | Path, *, secrets: Iterable[str] = (), now: Callable[[], float] = time.time
    ) -> None:
        self.folder = Path(folder)
        self._secrets = sorted(set(_forms(secrets)), key=len, reverse=True)  # a secret may hold another one
        written = {form for secret in self._secrets for form in (secret.encode(), _as_written(secret))}
        self._secret_bytes = sorted(written, key=len, reverse=True)
        self._now, self._encoder = now, msgspec.json.Encoder()
        self._listeners: list[Callable[[Event], None]] = []
        try:
            (self.folder / BLOBS).mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self.count = self._begin()
        except BaseException:
            os.close(self._file)  # and with it the lock
            raise
        self._synced = time.monotonic()
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._flushing: Future[None] | None = None

    @property
    def path(self) -> Path:
        """The file of events."""
        return self.folder / EVENTS

    def append(self, kind: str, /, *, agent: str = "", after: Iterable[int] = (), **data: Any) -> Event:
        """Write one event; it has reached the kernel when this returns.

        Raises:
            JournalError: the disk is full or gone; nothing of the event is kept.
        """
        event = Event(self.count, kind, round(self._now(), 4), agent, tuple(after), data)
        line = self._encoder.encode(event)
        if any(secret in line for secret in self._secret_bytes):
            event = msgspec.structs.replace(event, agent=self._hidden(agent), data=self._hidden(data))
            line = self._encoder.encode(event)
        self._write(line + b"\n")
        self.count += 1
        for listener in self._listeners:
            listener(event)
        return event

    def blob(self, content: bytes) -> str:
        """Keep a large content once; returns its name for `read_blob`."""
        for secret in self._secret_bytes:
            if secret in content:
                content = content.replace(secret, HIDDEN.encode())
        name = hashlib.sha256(content).hexdigest()
        path = self.folder / BLOBS / name
        if not path.exists():
            part = path.with_name(f".{name}.{os.getpid()}.part")
            try:
                part.write_bytes(content)
                part.replace(path)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise JournalError(f"{path}: {error.strerror}; free some space and resume the run") from error
        return name

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def sync(self) -> None:
        """Wait until everything written lies on the disk."""
        os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the log; what was written is on the disk."""
        self._flusher.shutdown(wait=True)
        try:
            self.sync()
        finally:
            os.close(self._file)  # and with it the lock

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:] if written else line)
        except OSError as error:
            os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_END) - written)
            raise JournalError(f"{self.path}: {error.strerror}; free some space and resume the run") from error
        if time.monotonic() - self._synced > SYNC_SECONDS and (self._flushing is None or self._flushing.done()):
            self._flushing = self._flusher.submit(self.sync)  # a slow disk must not hold up a thousand agents

    def _begin(self) -> int:
        """Take the journal for this object alone and cut off a broken last line; returns the number of events."""
        self._lock()
        found = read(self.folder)
        try:
            os.ftruncate(self._file, found.position)
        except OSError as error:
            raise self._unwritable(error) from error
        return len(found.events)

    def _lock(self) -> None:
        """Two writers would number events twice and cut each other's lines. The kernel unlocks when a process dies."""
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self.folder}: another process is writing this run; wait for it or stop it") from None
        except OSError:
            pass  # a file system without locks, as some of clusters are: better unguarded than unusable

    def _unwritable(self, error: OSError) -> JournalError:
        return JournalError(f"{self.folder}: {error.strerror}; name a folder that can be written")

    def _hidden(self, value: Any) -> Any:
        """A value without secrets in any of its texts; numbers and the shape stay, whatever the secrets are."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, dict):
            return {self._hidden(key): self._hidden(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._hidden(one) for one in value]
        if value is None or isinstance(value, int | float):
            return value
        return self._hidden(msgspec.to_builtins(value))  # what the encoder would make of it


def read(folder: str | Path, position: int = 0) -> Read:
    """The events of a journal from a position (0 or an earlier answer's) on; safe while it is being written.

    Raises:
        JournalError: there is no journal, or it was damaged.
    """
    path = Path(folder) / EVENTS
    try:
        with path.open("rb") as file:
            file.seek(position)
            data = file.read()
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}; name the folder of a run") from error
    complete = data[: data.rfind(b"\n") + 1]
    return Read(list(_decoded(complete, path)), position + len(complete))


def read_blob(folder: str | Path, name: str) -> bytes:
    """The content of a blob.

    Raises:
        JournalError: there is none of that name.
    """
    if not (len(name) == 64 and all(letter in "0123456789abcdef" for letter in name)):
        raise JournalError(f"{name!r} is no name of a blob: expected 64 hexadecimal digits")
    try:
        return (Path(folder) / BLOBS / name).read_bytes()
    except OSError as error:
        raise JournalError(f"{folder}: no blob {name}; the run folder is incomplete") from error


def _decoded(complete: bytes, path: Path) -> Iterator[Event]:
    decoder = msgspec.json.Decoder(Event)
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError as error:
            raise JournalError(
                f"{path}: line {number} is no event ({error}); the file was edited or damaged"
            ) from error


def _forms(secrets: Iterable[str]) -> Iterator[str]:
    """How secrets may stand in a text: as they are, and inside of JSON, as arguments of calls are."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            yield from (secret, _as_written(secret).decode())


def _as_written(secret: str) -> bytes:
    """As it would stand inside a JSON text."""
    return msgspec.json.encode(secret)[1:-1]
