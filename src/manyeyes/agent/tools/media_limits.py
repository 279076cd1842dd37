"""How much of a picture or video is decoded, shown and written at once.

Decoders are large programs that read bytes of strangers. These numbers keep one file from taking the machine; they are
no wall around a decoder that is broken into (see docs/video-case.md).

Report: App. E.4 (448 pixels a side for long videos, 896 for short ones), App. F.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Limits of the media tools; a call may ask for less.

    Attributes:
        picture_bytes: of a picture's file.
        picture_pixels: of a picture, before it is decoded.
        picture_side: pixels of the longer side of a picture that is shown, when a call names none.
        frame_pixels: of a video's frame, before it is decoded.
        frame_side: pixels of the longer side of a frame that is shown, when a call names none.
        most_side: pixels of the longer side that a call may ask for.
        frames: of a video that one call shows.
        stills: that one call writes.
        clip_seconds: of a clip.
        seconds: that one call may decode.
    """

    picture_bytes: int = 64 * 2**20
    picture_pixels: int = 64_000_000
    picture_side: int = 1344
    frame_pixels: int = 8192 * 4608
    frame_side: int = 448
    most_side: int = 2048
    frames: int = 64
    stills: int = 512
    clip_seconds: float = 120.0
    seconds: float = 180.0


DEFAULT_LIMITS = MediaLimits()
