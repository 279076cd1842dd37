"""`Clip`: frames of a video at a constant rate, decoded only when asked for.

Opening a file reads its packet table (no decoding) and one frame. Frames then come from one shared decoder: reading
them in order decodes each once; jumping ahead seeks to the nearest key frame where the file can be searched.

Report: App. B.3 (video), §4.2; sampling and chunking rules are in `core.media`.
"""

import io
import math
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import av.container
import av.error
import numpy as np

from manyeyes.core.picture import MAX_PIXELS, MediaError, Picture, Pixels, existing_file, read_error

# Containers that hold one film by themselves: no playlists, which could name other files or addresses.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,ogg,asf,apng,ivf,h264,hevc,mpegvideo,m4v"
_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
_UNDECODABLE = (av.error.FFmpegError, OSError, ValueError, EOFError, MemoryError)


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of one size at `fps` frames a second.

    Example:
        >>> clip = Clip((Picture.of(np.zeros((32, 32, 3), np.uint8)),) * 3, fps=2.0)
        >>> clip.width, clip.height, clip.duration
        (32, 32, 1.5)
    """

    frames: tuple[Picture, ...]
    fps: float

    def __post_init__(self) -> None:
        if not self.frames:
            raise MediaError("a clip needs at least one frame, this one has none")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise MediaError(f"a clip needs a frame rate above 0, this one has {self.fps}")
        sizes = {(frame.width, frame.height) for frame in self.frames}
        if len(sizes) > 1:
            raise MediaError(f"all frames of a clip have one size, these have {sorted(sizes)[:3]}")

    @classmethod
    def of(cls, arrays: Sequence[Pixels] | Pixels, *, fps: float) -> "Clip":
        """A clip of uint8 arrays [H, W, 3] (or one array [T, H, W, 3])."""
        return cls(tuple(Picture.of(array) for array in arrays), fps)

    @classmethod
    def open(cls, path: str | Path, *, max_pixels: int = MAX_PIXELS) -> "Clip":
        """A clip of a video file (mp4, mov, mkv, webm, avi, gif, ...).

        Args:
            path: a file whose first video stream is read; sound is ignored.
            max_pixels: refuse larger frames before decoding one.

        Raises:
            MediaError: no such file, not a video, no frames, or frames too large.
            MediaReadError: (a MediaError) storage or memory failed, here or when a frame is decoded.
        """
        path = existing_file(path, "video")
        return cls._read(path, str(path), max_pixels)

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "video", max_pixels: int = MAX_PIXELS) -> "Clip":
        """A clip of a video file in memory, as `open`; `name` is what messages call it."""
        return cls._read(bytes(data), name, max_pixels)

    @classmethod
    def _read(cls, source: Path | bytes, name: str, max_pixels: int) -> "Clip":
        table = _scan(source, name, max_pixels)
        reader = _Reader(source, name, table)
        first = reader.frame(0)
        height, width = first.shape[:2]
        frames = (Picture.lazy(width, height, partial(reader.frame, index)) for index in range(table.count))
        return cls(tuple(frames), table.fps)

    @property
    def width(self) -> int:
        """Pixels of a frame from left to right."""
        return self.frames[0].width

    @property
    def height(self) -> int:
        """Pixels of a frame from top to bottom."""
        return self.frames[0].height

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.frames) / self.fps


class _Table(NamedTuple):
    """What the packets say: how many frames, how fast, when each is shown and where decoding can start."""

    count: int
    fps: float
    times: tuple[int, ...]
    """Presentation time of each frame in display order; empty where the container gives none (no seeking then)."""
    keys: tuple[int, ...]
    """Presentation times of key frames, ascending."""


def _scan(source: Path | bytes, name: str, max_pixels: int) -> _Table:
    try:
        with closing(_file(source)) as file, _container(file) as container:
            stream = _video_stream(container, name)
            context = stream.codec_context
            if context.width * context.height > max_pixels:
                raise MediaError(
                    f"{name}: frames of {context.width}x{context.height} pixels, refused before decoding: the limit is "
                    f"{max_pixels:,} pixels (max_pixels)"
                )
            packets = [
                (packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            rate = stream.average_rate or stream.guessed_rate
    except _UNDECODABLE as error:
        refused = MediaError(f"{name}: not a video that can be read ({_one_line(error)})")
        raise _storage_error(error, name) or refused from error
    if not packets:
        raise MediaError(f"{name}: the video has no frames")
    if not rate:
        raise MediaError(f"{name}: the video gives no frame rate; convert it to mp4")
    times = sorted({pts for pts, _ in packets if pts is not None})
    timed = len(times) == len(packets)
    keys = sorted(pts for pts, key in packets if key and pts is not None)
    return _Table(len(packets), float(rate), tuple(times) if timed else (), tuple(keys) if timed else ())


class _Reader:
    """Frames of one file by number, in any order, from any thread; the decoder stays open between calls."""

    def __init__(self, source: Path | bytes, name: str, table: _Table) -> None:
        self.source = source
        self.name = name
        self.table = table
        self.size: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._container: Any = None
        self._frames: Iterator[av.VideoFrame] | None = None
        self._next = 0
        self._seekable = bool(table.times)

    def frame(self, index: int) -> Pixels:
        """uint8 RGB [H, W, 3] of frame `index` in display order, upright, all of one size."""
        with self._lock:
            try:
                return self._upright(self._find(index))
            except _UNDECODABLE as error:
                self._close()
                refused = MediaError(f"{self.name}: frame {index} cannot be decoded ({_one_line(error)})")
                raise _storage_error(error, self.name) or refused from error

    def _find(self, index: int) -> av.VideoFrame:
        if index < self._next or self._worth_seeking(index):
            self._close()
        frame = self._advance(self._frames or self._start(index), index)
        if frame is None and self._seekable:  # some containers land behind the frame: read from the beginning, once
            self._seekable = False
            frame = self._advance(self._start(index), index)
        if frame is None:
            raise EOFError(f"the video ends before frame {index} of {self.table.count}: cut short?")
        if index == self.table.count - 1:
            self._close()
        return frame

    def _advance(self, frames: Iterator[av.VideoFrame], index: int) -> av.VideoFrame | None:
        """Decodes up to frame `index`; None where it does not come."""
        for frame in frames:
            number = self._number(frame)
            self._next = number + 1
            if number >= index:
                return frame if number == index or not self._seekable else None
        return None

    def _number(self, frame: av.VideoFrame) -> int:
        if not self.table.times:
            return self._next
        return bisect_right(self.table.times, frame.pts) - 1 if frame.pts is not None else self._next

    def _worth_seeking(self, index: int) -> bool:
        """Whether a key frame lies between where the decoder is and where it should go."""
        if not self._seekable:
            return False
        return self._key_before(index) > self.table.times[min(self._next, self.table.count - 1)]

    def _key_before(self, index: int) -> int:
        at = bisect_right(self.table.keys, self.table.times[index]) - 1
        return self.table.keys[at] if at >= 0 else self.table.times[0]

    def _start(self, index: int) -> Iterator[av.VideoFrame]:
        self._close()
        self._file = _file(self.source)
        self._container = _container(self._file)
        stream = _video_stream(self._container, self.name)
        stream.thread_type = "SLICE"  # frame threads would delay and hoard frames; many clips are open at once
        if self._seekable and self._key_before(index) > self.table.times[0]:
            self._container.seek(self._key_before(index), stream=stream, backward=True)
        frames: Iterator[av.VideoFrame] = self._container.decode(stream)
        self._frames = frames
        return frames

    def _upright(self, frame: av.VideoFrame) -> Pixels:
        if self.size is None:
            self.size = (frame.width, frame.height)
        width, height = self.size
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)), dtype=np.uint8)

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        if self._file is not None:
            self._file.close()
        self._file = self._container = None
        self._frames = None
        self._next = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "name": self.name, "table": self.table, "size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["source"], state["name"], state["table"])
        self.size = state["size"]


def _file(source: Path | bytes) -> BinaryIO:
    """Read by Python and not by FFmpeg, which gives the numbers of storage errors to damaged files as well."""
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _container(file: BinaryIO) -> Any:
    return av.open(file, options=_OPTIONS)


def _storage_error(error: BaseException, name: str) -> MediaError | None:
    return None if isinstance(error, av.error.FFmpegError) else read_error(error, name)


def _video_stream(container: Any, name: str) -> Any:
    if not container.streams.video:
        raise MediaError(f"{name}: expected a video, the file holds no picture stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise MediaError(f"{name}: the video is packed in a way that cannot be read; convert it to mp4")
    return stream


def _one_line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:160] or type(error).__name__
