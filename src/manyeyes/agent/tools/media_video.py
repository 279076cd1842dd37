"""`Video`: what a video file holds, and its frames at given times, exactly.

The frame at a time is the one that is on screen then: the last that begins no later. Getting there: jump to the key
frame before it, decode up to it; where the next time is near, just decode on. Where a file's index lies (the jump lands
behind the time), it is read from the beginning, once. Times count from the first frame, in the file's own ticks, so
that they are exact.

Report: App. B.3 (video), App. E.4, App. F (frame extraction).
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from math import inf
from typing import IO, Any, NamedTuple

import av
import av.container
import av.error

from manyeyes.agent.tools.media_limits import MediaLimits
from manyeyes.agent.tools.media_picture import quarters
from manyeyes.agent.tools.worker import Watch
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.picture import MediaError
from manyeyes.core.video import CONTAINERS

NEAR = Fraction(2)
"""Seconds ahead up to which decoding on is quicker than a jump; grows where key frames turn out to be rare."""
UNDECODABLE = (av.error.FFmpegError, OSError, ValueError, EOFError, MemoryError, OverflowError)


class VideoFacts(NamedTuple):
    """What a file says of its video.

    Attributes:
        seconds: from the first frame to the end of the last.
        width, height: of an upright frame.
        rate: frames a second, on average.
        codec: such as "h264".
        sound: whether there is any.
    """

    seconds: float
    width: int
    height: int
    rate: float
    codec: str
    sound: bool

    def __str__(self) -> str:
        """In words.

        Example:
            >>> str(VideoFacts(12.0, 1920, 1080, 29.97, "h264", sound=False))
            'video, 12.000 s, 1920x1080 pixels, 29.97 frames a second, h264, no sound'
        """
        size = f"{self.width}x{self.height} pixels, {self.rate:g} frames a second"
        return f"video, {self.seconds:.3f} s, {size}, {self.codec}, {'with sound' if self.sound else 'no sound'}"


class Frame(NamedTuple):
    """A decoded frame and its time in seconds."""

    time: Fraction
    decoded: av.VideoFrame


class Shown(NamedTuple):
    """A frame and from when until when it is on screen."""

    decoded: av.VideoFrame
    begins: Fraction
    ends: Fraction


@contextmanager
def opened_video(file: IO[bytes], name: str, *, limits: MediaLimits, watch: Watch) -> Iterator["Video"]:
    """A video of an open file.

    Args:
        name: that messages call it.
        watch: asked before every read and every frame.

    Raises:
        MediaError: it is none, is damaged, or has frames that are too large; also from the use of the `Video`.
    """
    video = None
    try:
        video = Video(file, name, limits, watch)
        yield video
    except ManyeyesError:
        raise
    except UNDECODABLE as error:
        raise MediaError(f"{name}: not a video that can be read ({_one_line(error)})") from error
    finally:
        if video is not None:
            video.close()


class Video:
    """See `opened_video`."""

    def __init__(self, file: IO[bytes], name: str, limits: MediaLimits, watch: Watch) -> None:
        self.name, self.limits, self.watch = name, limits, watch
        self._file = _Watched(file, name, watch)
        self._container: Any = None
        self._open()
        self.tick: Fraction = self._stream.time_base
        self._first: int = self._stream.start_time or 0
        self._jumps = True
        self._facts: VideoFacts | None = None

    def close(self) -> None:
        """Close the decoder."""
        if self._container is not None:
            self._container.close()
            self._container = None

    @property
    def facts(self) -> VideoFacts:
        """See `VideoFacts`; where the file does not say how long it is, it is read to its end."""
        if self._facts is None:
            first = next(self.frames([Fraction(0)])).decoded
            rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(0)
            width, height = (first.height, first.width) if quarters(first) % 2 else (first.width, first.height)
            codec, sound = self._stream.codec_context.codec.name, bool(self._container.streams.audio)
            self._facts = VideoFacts(float(self._seconds()), width, height, float(rate), codec, sound)
        return self._facts

    def frames(self, times: Sequence[Fraction]) -> Iterator[Frame]:
        """The frames on screen at ascending times; one that is on screen at several comes once."""
        walk, last, near = None, None, NEAR
        for time in times:
            if walk is None:
                walk = self._walk(time)
            elif self._jumps and walk.ahead is not None and time - walk.ahead.time > near:
                came_to, walk = walk.ahead.time, self._walk(time)
                if walk.ahead is not None and walk.ahead.time <= came_to:
                    near *= 2  # key frames are further apart than that, and the jump went back
            frame = walk.at(time)
            if frame is None:
                raise MediaError(f"{self.name}: no frame of it can be decoded")
            if last is None or frame.time != last.time:
                yield frame
            last = frame

    def between(self, start: Fraction, end: Fraction) -> Iterator[Shown]:
        """All frames on screen from a time up to, not including, another."""
        walk = self._walk(start)
        frame = walk.at(start)
        while frame is not None and frame.time < end:
            begins, ends = max(frame.time, start), end if walk.ahead is None else min(walk.ahead.time, end)
            if ends > begins:
                yield Shown(frame.decoded, begins, ends)
            frame = walk.step()

    def _walk(self, time: Fraction) -> "_Walk":
        walk = _Walk(self._from(time))
        if self._jumps and time > NEAR and not walk.is_before(time):
            self._jumps = False
            walk = _Walk(self._from(time))
        return walk

    def _from(self, time: Fraction) -> Iterator[Frame]:
        """Frames from a key frame before `time` on; from the beginning of a file whose index lies."""
        self._open()
        if self._jumps and time > NEAR:
            self._container.seek(self._first + int(time / self.tick), stream=self._stream, backward=True)
        last = -inf
        for decoded in self._container.decode(self._stream):
            self.watch.check()
            if decoded.width * decoded.height > self.limits.frame_pixels:
                raise MediaError(f"{self.name}: frames of {decoded.width}x{decoded.height} pixels are too large")
            if decoded.pts is None:
                raise MediaError(f"{self.name}: the video does not say when its frames are shown; convert it to mp4")
            if decoded.pts > last:  # joined recordings begin their times anew; those frames have no place
                last = decoded.pts
                yield Frame((decoded.pts - self._first) * self.tick, decoded)

    def _open(self) -> None:
        """Open the file, anew where it was open: a decoder that has been to the end does not go on."""
        self.close()
        self._file.seek(0)
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        self._container = av.open(self._file, options=options, metadata_errors="replace")
        self._stream = self._video_stream()
        self._stream.thread_type = "SLICE"  # frame threads would hoard frames, and many videos are open at once
        # The decoder's own limit, for files whose frames grow on the way.
        self._stream.codec_context.options = {"max_pixels": str(self.limits.frame_pixels)}

    def _video_stream(self) -> Any:
        if not self._container.streams.video:
            raise MediaError(f"{self.name}: expected a video, the file holds no picture stream")
        stream = self._container.streams.video[0]
        context = stream.codec_context
        if context is None:
            raise MediaError(f"{self.name}: the video is packed in a way that cannot be read; convert it to mp4")
        if not stream.time_base:
            raise MediaError(f"{self.name}: the video has no clock; convert it to mp4")
        if context.width * context.height > self.limits.frame_pixels:
            raise MediaError(
                f"{self.name}: frames of {context.width}x{context.height} pixels, refused before decoding: the "
                f"limit is {self.limits.frame_pixels:,} pixels"
            )
        return stream

    def _seconds(self) -> Fraction:
        if self._stream.duration:
            return self._stream.duration * self.tick
        if self._container.duration:
            return Fraction(self._container.duration, av.time_base)
        return self._scanned_seconds()

    def _scanned_seconds(self) -> Fraction:
        self._open()
        last = self._first
        for packet in self._container.demux(self._stream):
            self.watch.check()
            if packet.pts is not None:
                last = max(last, packet.pts + (packet.duration or 0))
        return (last - self._first) * self.tick


class _Walk:
    """Frames one after the other, and one ahead."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self.current: Frame | None = None
        self.ahead = next(frames, None)

    def is_before(self, time: Fraction) -> bool:
        """Whether it has not come past a time."""
        return self.ahead is not None and self.ahead.time <= time

    def step(self) -> Frame | None:
        """The next frame; None at the end."""
        self.current, self.ahead = self.ahead, next(self._frames, None)
        return self.current

    def at(self, time: Fraction) -> Frame | None:
        """The frame on screen; the first before it, the last after it; None where there are none."""
        while self.ahead is not None and (self.current is None or self.ahead.time <= time):
            self.step()
        return self.current


class _Watched:
    """A file that can be stopped being read; FFmpeg reads through it, so that no demuxer outlives its agent."""

    def __init__(self, file: IO[bytes], name: str, watch: Watch) -> None:
        self.name, self._file, self._watch = name, file, watch

    def read(self, size: int) -> bytes:
        """Read."""
        self._watch.check()
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()


def _one_line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:160] or type(error).__name__
