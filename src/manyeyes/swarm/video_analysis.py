"""`VideoAnalysis`: what an agent found in one video, as its file `analysis_XX.json` holds it.

The same shape is asked of a model in words (`SHAPE`), written by the rules, read by whoever checks a run.

Report: App. F (analysis_XX.json: events, level-ups).
"""

from collections.abc import Sequence

import msgspec

from manyeyes.core.errors import ManyeyesError

SHAPE = """{"video": "/inputs/01_name.mp4", "seconds": 312.5,
 "events": [{"kind": "boss", "title": "…", "start": 12.4, "end": 31.0, "frame": "/artefacts/frames_01/….jpg"}],
 "level_ups": [{"time": 40.2, "level": 3}]}"""


class FoundEvent(msgspec.Struct, frozen=True):
    """Something that happens from `start` to `end`, in seconds; `frame` is a picture of it."""

    kind: str
    start: float
    end: float
    title: str = ""
    frame: str = ""


class FoundLevelUp(msgspec.Struct, frozen=True):
    """The first moment with a new level."""

    time: float
    level: int
    frame: str = ""


class VideoAnalysis(msgspec.Struct, frozen=True):
    """Of one video.

    Example:
        >>> analysis_of('{"video": "/inputs/01_a.mp4", "seconds": 9, "events": [], "level_ups": []}').seconds
        9.0
    """

    video: str
    seconds: float
    events: tuple[FoundEvent, ...]
    level_ups: tuple[FoundLevelUp, ...]


def analysis_of(text: str | bytes) -> VideoAnalysis:
    """The analysis in a file.

    Raises:
        ManyeyesError: it has another shape.
    """
    try:
        return msgspec.convert(msgspec.json.decode(text), VideoAnalysis, strict=False)
    except msgspec.DecodeError as error:
        raise ManyeyesError(f"no analysis of a video as it was asked for: {error}") from None


def written(analysis: VideoAnalysis) -> str:
    """As a file: one event or level-up a line, so that agents can read it page by page."""
    plain = {name: msgspec.json.encode(getattr(analysis, name)).decode() for name in ("video", "seconds")}
    head = "".join(f'"{name}": {value},\n ' for name, value in plain.items())
    return f'{{{head}"events": {_rows(analysis.events)},\n "level_ups": {_rows(analysis.level_ups)}}}\n'


def _rows(values: Sequence[msgspec.Struct]) -> str:
    return "[\n  " + ",\n  ".join(msgspec.json.encode(value).decode() for value in values) + "]" if values else "[]"
