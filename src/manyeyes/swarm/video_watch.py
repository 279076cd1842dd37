"""How the rule-based model watches one video: coarsely, then every frame around each change.

    read_media        length and rate                     1 call
    read_media        a frame every half second           all windows at once
    read_media        every frame where two differ        all gaps at once
    extract_frames    a picture of each event             into /artefacts/frames_XX
    write_file        /artefacts/analysis_XX.json

Then it writes down what it saw. It knows only what its calls gave: a step is a function of them, as a model's is.
Whatever lasts less than half a second can be missed.

Report: App. F (a sub-agent's frame extraction, temporal analysis, key moments).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from manyeyes.core.media import Picture, timestamp
from manyeyes.core.messages import ImagePart, Message, TextPart, ToolCall
from manyeyes.swarm.video_analysis import FoundEvent, FoundLevelUp, VideoAnalysis, written
from manyeyes.swarm.video_hud import Seen, look
from manyeyes.swarm.video_tasks import KINDS

COARSE = 0.5
"""Seconds between two frames of the first look."""
FRAMES_A_CALL = 60
_FACTS = re.compile(r": video, ([\d.]+) s, \d+x\d+ pixels, ([\d.]+) frames a second")
_CLOCK = re.compile(r"^(\d\d):(\d\d):(\d\d\.\d\d\d)$", re.MULTILINE)

Action = tuple[str, dict[str, Any]]


class Done(NamedTuple):
    """A call and what it gave."""

    name: str
    arguments: Mapping[str, Any]
    result: Message

    @property
    def failed(self) -> bool:
        """Whether it gave nothing."""
        return self.result.text.startswith("Error:")


def done_calls(messages: Sequence[Message]) -> list[Done]:
    """The calls of a conversation that have been answered, in order."""
    results = {message.tool_call_id: message for message in messages if message.role == "tool"}
    calls = (call for message in messages for call in message.tool_calls)
    return [Done(call.name, _arguments(call), results[call.id]) for call in calls if call.id in results]


class Watched:
    """One video being watched.

    Args:
        path: of the video.
        number: its two digits.
        done: all calls of the agent so far.
    """

    def __init__(self, path: str, number: str, done: Sequence[Done]) -> None:
        self.path, self.to, self.folder = path, f"/artefacts/analysis_{number}.json", f"/artefacts/frames_{number}"
        self._done = [one for one in done if one.arguments.get("path") in (self.path, self.to)]
        self._looks = [one for one in self._done if one.name == "read_media"]
        self._seen = dict(sorted(_seen(self._looks)))

    @property
    def why_not(self) -> str:
        """Why nothing can be seen; "" where something can."""
        failed = next((one for one in self._looks[:1] if one.failed), None)
        return failed.result.text if failed else ""

    def actions(self) -> list[Action]:
        """The next calls; none at the end."""
        if not self._looks:
            return [("read_media", {"path": self.path, "frames": 1})]
        if self.why_not or self._has("write_file"):
            return []
        if len(self._looks) == 1:
            return list(self._windows())
        if times := self._unseen():
            return [("read_media", {"path": self.path, "times": part}) for part in _parts(times)]
        if (times := self._worth_a_picture()) and not self._has("extract_frames"):
            return [("extract_frames", {"path": self.path, "times": times, "folder": self.folder, "side": 640})]
        return [("write_file", {"path": self.to, "text": written(self.analysis)})]

    @property
    def analysis(self) -> VideoAnalysis:
        """What has been seen so far."""
        events, level_ups, since, last = list[FoundEvent](), list[FoundLevelUp](), 0.0, Seen(None, 0.0, "")
        for time, seen in self._seen.items():
            if seen.event != last.event:
                if last.event:
                    events.append(self._event(last.event, since, time))
                since = time
            if last.level is not None and seen.level is not None and seen.level > last.level:
                level_ups.append(FoundLevelUp(time, seen.level, self._frame(time)))
            last = seen
        if last.event:
            events.append(self._event(last.event, since, self._facts[0]))
        return VideoAnalysis(self.path, self._facts[0], tuple(events), tuple(level_ups))

    @property
    def _facts(self) -> tuple[float, float]:
        """Seconds, and frames a second."""
        found = _FACTS.search(self._looks[0].result.text) if self._looks else None
        return (float(found[1]), float(found[2])) if found else (0.0, 1.0)

    def _windows(self) -> Iterator[Action]:
        """The whole video, coarse."""
        seconds = self._facts[0]
        count = max(1, math.ceil(seconds / (COARSE * (FRAMES_A_CALL - 1))))
        for number in range(count):
            start, end = seconds * number / count, seconds * (number + 1) / count
            frames = math.ceil((end - start) / COARSE) + 1
            yield "read_media", {"path": self.path, "start": round(start, 3), "end": round(end, 3), "frames": frames}

    def _unseen(self) -> list[float]:
        """Times of the frames between two that differ, which nobody has looked at."""
        rate = self._facts[1]
        asked = {time for one in self._looks for time in one.arguments.get("times", ())}
        times = (
            round(number / rate, 3)
            for (before, one), (after, other) in pairwise(self._seen.items())
            if (one.level, one.event) != (other.level, other.event)
            for number in range(round(before * rate) + 1, round(after * rate))
        )
        return [time for time in times if time not in asked]

    def _worth_a_picture(self) -> list[float]:
        found = self.analysis
        return sorted({_middle(event) for event in found.events} | {up.time for up in found.level_ups})

    def _event(self, kind: str, start: float, end: float) -> FoundEvent:
        event = FoundEvent(kind, start, end, KINDS[kind])
        return msgspec.structs.replace(event, frame=self._frame(_middle(event)))

    def _frame(self, time: float) -> str:
        """The picture that was written of a time; "" for none."""
        name = f"{PurePosixPath(self.path).stem}_{timestamp(time + 0.0001).replace(':', '-')}.jpg"
        there = any(name in one.result.text for one in self._done if one.name == "extract_frames")
        return f"{self.folder}/{name}" if there else ""

    def _has(self, name: str) -> bool:
        return any(one.name == name for one in self._done)


def _middle(event: FoundEvent) -> float:
    """A moment of an event, on a tenth of a second."""
    return round((event.start + event.end) / 2, 1)


def _seen(looks: Sequence[Done]) -> Iterator[tuple[float, Seen]]:
    """What the frames of results show, by their times."""
    for one in looks:
        time = None
        for part in one.result.parts:
            if isinstance(part, TextPart) and (found := _CLOCK.search(part.text)):
                time = round(3600 * int(found[1]) + 60 * int(found[2]) + float(found[3]), 3)
            elif isinstance(part, ImagePart) and time is not None:
                yield time, _looked_at(part.image)


@lru_cache(maxsize=4096)
def _looked_at(picture: Picture) -> Seen:
    """Once for each picture, however often its conversation is read again."""
    return look(picture.pixels())


def _parts(times: Sequence[float]) -> Iterator[list[float]]:
    for start in range(0, len(times), FRAMES_A_CALL):
        yield list(times[start : start + FRAMES_A_CALL])


def _arguments(call: ToolCall) -> Mapping[str, Any]:
    return msgspec.json.decode(call.arguments)
