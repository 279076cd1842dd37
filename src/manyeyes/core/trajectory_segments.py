"""Segments of a trajectory store: files of frames, each with checksums of its own, only ever appended to.

    frame = magic | length of summary, head, arrays | crc of body | crc of what stands before and of the summary |
            summary | arrays | head

A process that dies leaves at most a piece of its last frame; it is cut off by the next writer, and readers stop before
it. Anything else that does not fit is damage, and is never cut.

Report: none.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from manyeyes.core.errors import ManyeyesError

SEGMENTS, ENDING = "segments", ".seg"
MAGIC = b"TRJ1"
_FIELDS = struct.Struct("<4sIIQI")
_CRC = struct.Struct("<I")
HEADER = _FIELDS.size + _CRC.size
PIECE = 2**22
"""Bytes that are checked at once."""
LONGEST_SUMMARY = 2**24
"""Bytes; a header that says more is damaged."""


class TrajectoryStoreError(ManyeyesError):
    """A trajectory store that cannot be read or written."""


class Place(NamedTuple):
    """Where a frame lies: number of the segment, and the frame's first byte in it."""

    segment: int
    offset: int


class Frame(NamedTuple):
    """What a frame's own header says; lengths in bytes."""

    place: Place
    summary: bytes
    arrays: int
    head: int
    crc: int

    @property
    def body(self) -> int:
        """Where its arrays begin, in the segment."""
        return self.place.offset + HEADER + len(self.summary)

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.body + self.arrays + self.head


def framed(summary: bytes, arrays: bytes, head: bytes) -> bytes:
    """A frame."""
    fields = _FIELDS.pack(MAGIC, len(summary), len(head), len(arrays), crc32(head, crc32(arrays)))
    return b"".join((fields, _CRC.pack(crc32(summary, crc32(fields))), summary, arrays, head))


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / SEGMENTS / f"{number:05d}{ENDING}"


def segment_numbers(folder: Path) -> list[int]:
    """Of the segments there are, in order."""
    found = (path.stem for path in (folder / SEGMENTS).glob(f"*{ENDING}"))
    return sorted(int(stem) for stem in found if stem.isdecimal())


class Scan:
    """The frames of a segment from a byte on, each checked whole; afterwards, how far they were good.

    Args:
        folder: of the store.
        start: the first byte.
        last: whether no segment follows: only there a piece of a frame may stand.

    Raises:
        TrajectoryStoreError: while frames are read: the segment was damaged.
    """

    def __init__(self, folder: Path, start: Place, *, last: bool) -> None:
        self.path, self.start, self._last = segment_path(folder, start.segment), start, last
        self.good = start.offset

    def frames(self) -> Iterator[Frame]:
        """In order."""
        with opened(self.path) as file:
            size = file.seek(0, 2)
            while self.good < size:
                frame = self._frame(file, Place(self.start.segment, self.good), size)
                if frame is None:
                    return
                self.good = frame.end
                yield frame

    def _frame(self, file: BinaryIO, place: Place, size: int) -> Frame | None:
        """None where what is left is a piece of a frame."""
        try:
            frame = header(file, place)
        except ValueError as error:
            return self._piece(file, place, size, str(error))
        if frame is None or frame.end > size:
            return self._torn(place)
        if body_crc(file, frame) != frame.crc:
            if frame.end == size:  # its last bytes never reached the disk
                return self._torn(place)
            raise self._damaged(place, "the checksum of a trajectory is wrong")
        return frame

    def _piece(self, file: BinaryIO, place: Place, size: int, why: str) -> None:
        """A power failure may leave zeros where a frame was to be."""
        file.seek(place.offset)
        left = size - place.offset
        while left > 0:
            piece = file.read(min(left, PIECE))
            if piece.strip(b"\0"):
                raise self._damaged(place, why)
            left -= len(piece)
        self._torn(place)

    def _torn(self, place: Place) -> None:
        if not self._last:
            raise self._damaged(place, "a trajectory is cut short, and others follow")

    def _damaged(self, place: Place, why: str) -> TrajectoryStoreError:
        return TrajectoryStoreError(
            f"{self.path}: {why} at byte {place.offset:,}; the file was edited or damaged. Go on in another folder: "
            "this store can still be read, but for what stands behind that byte"
        )


def header(file: BinaryIO, place: Place) -> Frame | None:
    """What stands before a frame's body; None where the file ends within it.

    Raises:
        ValueError: it is none.
    """
    file.seek(place.offset)
    start = file.read(HEADER)
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise ValueError("no trajectory begins")
    if len(start) < HEADER:
        return None
    _, summary_length, head, arrays, crc = _FIELDS.unpack_from(start)
    if summary_length > LONGEST_SUMMARY:
        raise ValueError("the header of a trajectory is wrong")
    summary = file.read(summary_length)
    if len(summary) < summary_length:
        return None
    if crc32(summary, crc32(start[: _FIELDS.size])) != _CRC.unpack_from(start, _FIELDS.size)[0]:
        raise ValueError("the header of a trajectory is wrong")
    return Frame(place, summary, arrays, head, crc)


def body_crc(file: BinaryIO, frame: Frame) -> int:
    """Checksum of what stands there."""
    file.seek(frame.body)
    left, crc = frame.arrays + frame.head, 0
    while left > 0 and (piece := file.read(min(left, PIECE))):
        crc, left = crc32(piece, crc), left - len(piece)
    return crc


def body(folder: Path, place: Place) -> tuple[memoryview, memoryview]:
    """Arrays and head of a frame.

    Raises:
        TrajectoryStoreError: it is not there, or damaged.
    """
    path = segment_path(folder, place.segment)
    with opened(path) as file:
        frame = _told(file, place, path)
        file.seek(frame.body)
        data = file.read(frame.arrays + frame.head)
    if crc32(data) != frame.crc:
        raise TrajectoryStoreError(f"{path}: the checksum of the trajectory at byte {place.offset:,} is wrong")
    view = memoryview(data)
    return view[: frame.arrays], view[frame.arrays :]


def frame_at(folder: Path, place: Place) -> Frame:
    """What a frame's own header says.

    Raises:
        TrajectoryStoreError: it is not there, or damaged.
    """
    path = segment_path(folder, place.segment)
    with opened(path) as file:
        return _told(file, place, path)


def _told(file: BinaryIO, place: Place, path: Path) -> Frame:
    try:
        frame = header(file, place)
    except ValueError as error:
        raise TrajectoryStoreError(f"{path}: {error} at byte {place.offset:,}") from error
    if frame is None:
        raise TrajectoryStoreError(f"{path}: ends before byte {place.offset:,}; the store is incomplete")
    return frame


def opened(path: Path) -> BinaryIO:
    """A segment.

    Raises:
        TrajectoryStoreError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise TrajectoryStoreError(f"{path}: {error.strerror}; the store is incomplete") from error
