"""Times in a video: as agents ask for them, and as they read them.

A time is a fraction of a second, so that 0.1 is a tenth and the frame that begins there is met exactly.

Report: App. E.4 (frames evenly spread), App. F.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from manyeyes.agent.tools.media_video import VideoFacts
from manyeyes.core.media import MediaError, timestamp


def spread(facts: VideoFacts, start: float, end: float, frames: int, *, most: int) -> list[Fraction]:
    """Times evenly from `start` to `end`, both included; the end of the video stands for its last frame.

    Raises:
        MediaError: they are not in the video, or more than `most`.

    Example:
        >>> facts = VideoFacts(4.0, 320, 180, 10.0, "h264", sound=False)
        >>> [float(time) for time in spread(facts, 1.0, 3.0, 3, most=64)]
        [1.0, 2.0, 3.0]
    """
    last = max(0.0, facts.seconds - (1 / facts.rate if facts.rate else 0.0))
    end = min(end, last) if end > 0 else last
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= max(end, 0.0)) or frames < 1:
        raise MediaError(f"the video has {facts.seconds:.3f} s; {frames} frames from {start:g} s on are not in it")
    _check_count(frames, most)
    first, whole = exact(start), exact(end) - exact(start)
    return [first + whole * number / max(1, frames - 1) for number in range(frames)] if whole else [first]


def spaced(facts: VideoFacts, seconds: float, *, most: int) -> list[Fraction]:
    """Times from 0 on, so many seconds apart; raises MediaError when they are more than `most`.

    Example:
        >>> facts = VideoFacts(1.0, 320, 180, 10.0, "h264", sound=False)
        >>> [float(time) for time in spaced(facts, 0.4, most=10)]
        [0.0, 0.4, 0.8]
    """
    step = exact(seconds) if math.isfinite(seconds) else Fraction(0)
    if step <= 0:
        raise MediaError("say which frames: give times, or every (seconds, above 0)")
    count = max(1, -(-exact(facts.seconds) // step))
    _check_count(count, most)
    return [number * step for number in range(count)]


def named(facts: VideoFacts, times: Sequence[float], *, most: int) -> list[Fraction]:
    """The times that a call names, ascending.

    Raises:
        MediaError: one of them is not in the video, or they are more than `most`.
    """
    _check_count(len(times), most)
    if wrong := [time for time in times if not (math.isfinite(time) and 0 <= time <= facts.seconds)]:
        raise MediaError(f"the video has {facts.seconds:.3f} s; there is nothing at {', '.join(map(str, wrong[:5]))} s")
    return sorted({exact(time) for time in times})


def span(facts: VideoFacts, start: float, end: float, *, most: float) -> tuple[Fraction, Fraction]:
    """A clip's beginning and end.

    Args:
        most: seconds of a clip.

    Raises:
        MediaError: it is not in the video, or too long.
    """
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < facts.seconds and start < end):
        raise MediaError(f"the video has {facts.seconds:.3f} s; a clip from {start:g} s to {end:g} s is not in it")
    begins, ends = exact(start), min(exact(end), exact(facts.seconds))
    if ends - begins > most:
        raise MediaError(f"a clip has {most:g} s at most, {float(ends - begins):g} s were asked for")
    return begins, ends


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise MediaError(f"{count} frames are too many, {most} are possible at once; take fewer")


def exact(seconds: float) -> Fraction:
    """A time that somebody wrote as a decimal number: 0.1 is a tenth.

    Example:
        >>> exact(0.1)
        Fraction(1, 10)
    """
    return Fraction(seconds).limit_denominator(1_000_000)


def clock(time: Fraction) -> str:
    """A time as models read it, to the nearest millisecond.

    Example:
        >>> clock(Fraction(23, 10))
        '00:00:02.300'
    """
    return timestamp(round(time * 1000) / 1000 + 0.0001)
