"""`cut`: a piece of a video as a file that browsers play: MP4, H.264, yuv420p, its index at the front, without sound.

    ffmpeg -ss START -t SECONDS -i IN -c:v libx264 -crf 23 -preset fast -an OUT        what it stands for (App. F)

The first frame is the one on screen at the start; every frame keeps its time. The index goes into room kept at the
front of the file (`moov_size`): the usual second pass would have to read the file that is being written.

Report: App. F (clips for the page).
"""

from fractions import Fraction
from typing import IO, Any, NamedTuple

import av
import av.container
from av.video.frame import PictureType

from manyeyes.agent.tools.media_picture import fitted, quarters, upright
from manyeyes.agent.tools.media_video import Shown, Video
from manyeyes.core.picture import MediaError

CODECS = ("libx264", "libopenh264", "h264_videotoolbox")
"""Encoders of H.264, whichever this build of FFmpeg has; the only format besides VP9 that every browser plays."""
QUALITY = {"crf": "23", "preset": "veryfast", "bf": "0"}
"""As App. F, but quicker; without B-frames, so that a clip begins at 0 and ends where it should in every player."""
INDEX_ROOM, INDEX_ROOM_A_FRAME = 65_536, 64
"""Bytes for the index; a frame takes up to 20 of them."""
TICKS = 90_000
"""A second, in the clock of a clip: fine enough for every rate."""
MOST_RATE = 1000
"""Frames a second; more is a broken clock."""


class Cut(NamedTuple):
    """What was written."""

    seconds: float
    frames: int
    width: int
    height: int
    codec: str


def cut(video: Video, out: IO[bytes], *, start: Fraction, end: Fraction, side: int) -> Cut:
    """Write the piece of a video from `start` up to `end`, in seconds.

    Args:
        out: an empty file, open for writing.
        side: pixels of the longer side at most.

    Raises:
        MediaError: there are no frames there, or this build of FFmpeg cannot write H.264.
    """
    codec = next((name for name in CODECS if name in av.codecs_available), None)
    if codec is None:
        raise MediaError(f"this build of FFmpeg writes no H.264 (looked for {', '.join(CODECS)}); install PyAV's wheel")
    most = 1 + int((end - start) * MOST_RATE)
    room = INDEX_ROOM + INDEX_ROOM_A_FRAME * min(most, _expected(video, end - start))
    with av.open(out, mode="w", format="mp4", options={"moov_size": str(room)}) as made:
        return _Cutter(made, codec, video, side).run(start, end, most)


def _expected(video: Video, seconds: Fraction) -> int:
    """Frames, and as many again for a rate that was told too low."""
    return 2 * int(seconds * int(video.facts.rate + 1)) + 64


class _Cutter:
    """Frames in, packets out."""

    def __init__(self, made: av.container.OutputContainer, codec: str, video: Video, side: int) -> None:
        self.made, self.video, self.side = made, video, side
        rate = Fraction(video.facts.rate).limit_denominator(1001) or Fraction(25)
        self.stream: Any = made.add_stream(codec, rate=rate, options=QUALITY)
        self.stream.pix_fmt = "yuv420p"
        self.stream.codec_context.time_base = Fraction(1, TICKS)
        self.codec = codec
        self.frames = 0
        self.durations: dict[int, int] = {}

    def run(self, start: Fraction, end: Fraction, most: int) -> Cut:
        """All of them."""
        for shown in self.video.between(start, end):
            if self.frames == most:
                raise MediaError(f"{self.video.name}: more than {MOST_RATE} frames a second")
            self._write(shown, start)
        if not self.frames:
            raise MediaError(f"{self.video.name}: no frames from {float(start):.3f} s to {float(end):.3f} s")
        self._mux(None)
        return Cut(float(end - start), self.frames, self.stream.width, self.stream.height, self.codec)

    def _write(self, shown: Shown, start: Fraction) -> None:
        frame = self._even(shown.decoded)
        frame.pts, frame.time_base = round((shown.begins - start) * TICKS), Fraction(1, TICKS)
        self.durations[frame.pts] = round((shown.ends - start) * TICKS) - frame.pts
        frame.pict_type = PictureType.NONE  # what kind of frame it was in the source is not to be copied
        self.frames += 1
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self.stream.encode(frame):
            packet.duration = self.durations.pop(packet.pts)  # the encoder knows only the average
            self.made.mux(packet)

    def _even(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Upright and of the clip's size, which the first frame decides: not too large, sides even for yuv420p."""
        if quarters(frame) % 4:
            frame = av.VideoFrame.from_ndarray(upright(frame, side=self.side), format="rgb24")
        if not self.frames:
            width, height = fitted(frame.width, frame.height, side=self.side)
            self.stream.width, self.stream.height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        return frame.reformat(width=self.stream.width, height=self.stream.height, format="yuv420p")
