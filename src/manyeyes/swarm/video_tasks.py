"""The work that an orchestrator gives away in the case of appendix F, in the words that its sub-agents are told.

    Video Analyst    one video → analysis_XX.json
    Clip Cutter      one moment → a clip

Report: App. F (tasks of the sub-agents, in much these words).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from manyeyes.swarm.video_analysis import FoundEvent, VideoAnalysis
from manyeyes.swarm.video_page import Clip

ANALYST, CUTTER = "Video Analyst", "Clip Cutter"
ROLES = {
    ANALYST: "You watch one video. You look at its frames, coarsely first and then closely where something changes, "
    "and write what happens and when to a JSON file. You never guess: what no frame shows is left out.",
    CUTTER: "You cut one clip out of a video, exactly as you are told, and say where it is.",
}
KINDS = {"boss": "Boss fight", "treasure": "Treasure found", "portal": "Through the portal"}
"""Kinds of events, the greatest first, and what people call them."""
MOST_CLIPS = 12
AROUND = 1.0
"""Seconds before and after what a clip is about."""
WATCH = re.compile(
    r"^Analyse this video: (/.+)\n(?:.*\n)*?Save your analysis to: \S*analysis_(\w+)\.json$", re.MULTILINE
)
CUT = re.compile(r"^Source: (/.+)\nTime: ([\d.]+) to ([\d.]+)\nOutput: (/\S+)$", re.MULTILINE)
"""How rules read the tasks below."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A video among the inputs."""

    path: str
    size: int
    number: str

    @property
    def title(self) -> str:
        """Such as "prologue"."""
        return re.sub(r"^\d+[\W_]*", "", PurePosixPath(self.path).stem) or self.number


def watch_task(recording: Recording) -> str:
    """What a sub-agent is told; `video_policy` reads it."""
    return (
        f"Analyse this video: {recording.path}\n"
        f"This is video #{recording.number} – {recording.title} ({recording.size:,} bytes).\n"
        f"Find all events (kinds: {', '.join(KINDS)}) with start and end, and all level-ups, exact to the frame.\n"
        f"Save your analysis to: /artefacts/analysis_{recording.number}.json"
    )


def cut_task(clip: Clip) -> str:
    """What a sub-agent is told; `video_policy` reads it."""
    return (
        f"Cut a clip out of a video; it shows: {clip.title}.\n"
        f"Source: {clip.video}\nTime: {clip.start:.3f} to {clip.end:.3f}\nOutput: {clip.path}"
    )


def chosen_clips(analyses: Sequence[VideoAnalysis]) -> list[Clip]:
    """The moments of a page: of each video its greatest and longest event, then its last level-up; so many in all."""
    numbered = list(zip(numbers_of([one.video for one in analyses]), analyses, strict=True))
    moments = [_event_clip(number, one, min(one.events, key=_greatness)) for number, one in numbered if one.events]
    moments += [_level_clip(number, one) for number, one in numbered if one.level_ups]
    return sorted(moments[:MOST_CLIPS], key=lambda clip: clip.path)


def _greatness(event: FoundEvent) -> tuple[int, float]:
    """Sorts the greatest to the front; kinds that nobody knows go last."""
    kinds = list(KINDS)
    return (kinds.index(event.kind) if event.kind in kinds else len(kinds), event.start - event.end)


def _event_clip(number: str, one: VideoAnalysis, event: FoundEvent) -> Clip:
    return _clip(one, f"{number}_{event.kind}", event.title or event.kind, event.start, event.end, event.frame)


def _level_clip(number: str, one: VideoAnalysis) -> Clip:
    up = one.level_ups[-1]
    return _clip(one, f"{number}_level_{up.level}", f"Level {up.level}", up.time, up.time, up.frame)


def _clip(one: VideoAnalysis, name: str, title: str, start: float, end: float, frame: str) -> Clip:
    start, end = max(0.0, start - AROUND), min(one.seconds, end + AROUND)
    return Clip(one.video, f"/artefacts/clips/{name}.mp4", title, round(start, 3), round(end, 3), frame)


def numbers_of(paths: Sequence[str]) -> list[str]:
    """The digits that the names begin with, two at least; their places where those do not tell them apart.

    Example:
        >>> numbers_of(["/inputs/1-a.mp4", "/inputs/12_b.mp4"]), numbers_of(["/inputs/a.mp4", "/inputs/b.mp4"])
        (['01', '12'], ['01', '02'])
    """
    digits = [re.match(r"\d{1,6}", PurePosixPath(path).name) for path in paths]
    numbers = [int(found[0]) for found in digits if found]
    if len(set(numbers)) < len(paths):
        numbers = list(range(1, len(paths) + 1))
    return [f"{number:02}" for number in numbers]
