"""Recordings of a made-up game, with what happens in them known: events and level-ups, to the frame.

    stories = record_game(folder, parts=6)         01_prologue.mp4 … and an AGENTS.md

A story is drawn from a named stream, so the same seed gives the same game. Levels go on from part to part. Long parts
are large files and short ones small, so that the AGENTS.md has something to tell apart.

Report: App. F (32 recordings of one game); stands in for them, where there are none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from manyeyes.core.picture import Pixels
from manyeyes.core.seeds import stream
from manyeyes.swarm.video_hud import COLOURS, Seen, draw

WIDTH, HEIGHT, RATE = 320, 180, 10
NAMES = ("prologue", "forest", "temple", "river", "mountain", "palace", "desert", "sea", "tower", "finale")
EVENT_FRAMES = (12, 22)
"""An event lasts at least and at most so many frames."""
GAP_FRAMES = 8
"""Between two events at least."""
GUIDE = """# How these videos are worked on

- Videos of {threshold} and more go to sub-agents: one sub-agent a video, all of them at once.
- Smaller videos you watch yourself.
- The analysis of a video goes to /artefacts/analysis_XX.json, where XX is the number that its name begins with.
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens.

    Attributes:
        kind: key of `COLOURS`.
        start, end: seconds; the frame at `end` does not show it any more.
    """

    kind: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class LevelUp:
    """The first frame with a new level."""

    time: float
    level: int


@dataclass(frozen=True, slots=True)
class Story:
    """What one recording shows.

    Example:
        >>> story = invented(0, 1, seconds=12, level=3)
        >>> story.seconds, story.level, story.level_ups[0].level
        (12, 3, 4)
    """

    name: str
    seconds: int
    level: int
    events: tuple[Event, ...]
    level_ups: tuple[LevelUp, ...]

    def seen(self, frame: int) -> Seen:
        """What a frame shows."""
        time = frame / RATE
        event = next((event.kind for event in self.events if event.start <= time < event.end), "")
        changes = [0.0, *(up.time for up in self.level_ups), self.seconds + 1.0]
        reached = sum(change <= time for change in changes)
        since, until = changes[reached - 1], changes[reached]
        return Seen(self.level + reached - 1, (time - since) / (until - since), event)


def invented(seed: int, part: int, *, seconds: int, level: int) -> Story:
    """A story of one part.

    Args:
        part: its number, from 1.
        level: that it begins with.
    """
    draws = stream(seed, "swarm/video/story", part)
    frames, events, at = seconds * RATE, list[Event](), int(draws.integers(5, 15))
    while (end := at + int(draws.integers(*EVENT_FRAMES))) < frames - 5:
        kind = tuple(COLOURS)[int(draws.integers(len(COLOURS)))]
        events.append(Event(kind, at / RATE, end / RATE))
        at = end + GAP_FRAMES + int(draws.integers(30))
    count = max(1, seconds // 8)
    ups = [int(frames * (number + 0.2 + 0.6 * draws.random()) / count) for number in range(count)]
    level_ups = tuple(LevelUp(frame / RATE, level + number) for number, frame in enumerate(ups, 1))
    return Story(f"{part:02}_{NAMES[(part - 1) % len(NAMES)]}", seconds, level, tuple(events), level_ups)


def record_game(
    folder: Path, *, seconds: tuple[int, ...] = (24, 30, 8, 28, 10, 32), threshold: str = "100 kB", seed: int = 0
) -> list[Story]:
    """Write the recordings of a whole game and an AGENTS.md; what is there already is kept.

    Args:
        seconds: of each part.
        threshold: of the AGENTS.md, such as "25 MB".
    """
    folder.mkdir(parents=True, exist_ok=True)
    stories, level = list[Story](), 1
    for part, length in enumerate(seconds, 1):
        stories.append(invented(seed, part, seconds=length, level=level))
        level += len(stories[-1].level_ups)
        if not (path := folder / f"{stories[-1].name}.mp4").exists():
            record(stories[-1], path, seed=seed + part)
    (folder / "AGENTS.md").write_text(GUIDE.format(threshold=threshold), encoding="utf-8")
    return stories


def record(story: Story, path: Path, *, seed: int = 0) -> None:
    """Write the recording of a story."""
    landscape = _landscape(seed)
    with av.open(path, "w") as container:
        made: Any = container.add_stream("h264", rate=RATE, options={"crf": "26", "preset": "veryfast", "g": "50"})
        made.width, made.height, made.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(story.seconds * RATE):
            seen = story.seen(number)
            pixels = draw(_scene(landscape, number, seen.event), seen)
            container.mux(made.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(made.encode(None))


def _landscape(seed: int) -> Pixels:
    """Grey-green hills, twice as wide as the screen, that join at their ends."""
    draws = stream(seed, "swarm/video/landscape")
    columns = np.arange(2 * WIDTH) * (np.pi / WIDTH)
    pixels = np.full((HEIGHT, 2 * WIDTH, 3), (150, 160, 165), np.uint8)
    rows = np.arange(HEIGHT)[:, None]
    for shade, base in ((125, 0.45), (105, 0.6), (85, 0.75)):
        waves = sum(0.05 / wave * np.sin(wave * columns + 6.28 * draws.random()) for wave in (1, 2, 3, 5))
        pixels[rows > HEIGHT * (base + waves)] = (shade - 4, shade + 6, shade - 2)
    grain = draws.integers(-6, 7, (HEIGHT, 2 * WIDTH, 1))
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def _scene(landscape: Pixels, number: int, event: str) -> Pixels:
    """The hills move past; somebody runs and jumps in front of them, towards whom an event is about."""
    scene = np.roll(landscape, -3 * number, axis=1)[:, :WIDTH].copy()
    ground = round(0.86 * HEIGHT)
    rows, columns = np.arange(HEIGHT)[:, None], np.arange(WIDTH)[None, :]
    apart = np.hypot(columns - 235, rows - ground + 30 + 4 * np.sin(number / 2))
    if event == "boss":
        scene[apart < 30] = (24, 20, 26)
        scene[(np.abs(apart - 18) < 3) & (rows < ground - 34)] = (240, 235, 220)
    elif event == "treasure":
        scene[ground - 22 : ground, 220:252] = (96, 62, 24)
        scene[ground - 15 : ground - 12, 220:252] = (235, 215, 120)
    elif event == "portal":
        scene[np.abs(apart - 26) < 5] = (235, 235, 250)
    jump = ground - round(14 * abs(np.sin(number / 4)))
    scene[jump - 18 : jump, 70:82] = (40, 42, 48)
    scene[jump - 24 : jump - 18, 73:80] = (200, 195, 190)
    return scene
