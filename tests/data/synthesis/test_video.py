"""Clips: what is asked can be measured on the frames, and times are those of the chunks."""

import re

import numpy as np
import pytest
from scipy import ndimage

from manyeyes.core.media import MediaRules, video_visuals
from manyeyes.core.video import Clip
from manyeyes.data.record import Oriented, Record
from manyeyes.data.synthesis.scene import COLOURS
from manyeyes.data.synthesis.video import Blinking, Events, LongVideos, Motions

RULES = MediaRules(patch_size=8)


def clip_of(record: Record) -> Clip:
    clip = record.media[0]
    assert isinstance(clip, Clip)
    return clip


def has(pixels: np.ndarray, colour: str) -> np.ndarray:
    return np.abs(pixels.astype(int) - COLOURS[colour]).max(axis=2) < 60


def solid(pixels: np.ndarray, colour: str) -> bool:
    """True where a patch of 3x3 pixels has the colour; edges of other colours may come near it for a pixel."""
    return bool(ndimage.binary_erosion(has(pixels, colour), np.ones((3, 3))).any())


def seconds(text: str) -> float:
    hours, minutes, rest = text.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def said(record: Record, turn: int) -> str:
    return "".join(p if isinstance(p, str) else getattr(p, "word", "") for p in record.turns[turn].pieces)


def test_motions_go_the_way_that_is_said():
    generator = Motions(size=60)
    for i in range(60):
        record = generator.record(i)
        frames = [frame.pixels() for frame in clip_of(record).frames]
        for turn in range(0, len(record.turns), 2):
            colour = said(record, turn).split("the ")[1].split()[0]
            places = [np.argwhere(has(frames[t], colour)).mean(axis=0) for t in (0, -1)]
            down, across = (places[1] - places[0]).tolist()
            answer = said(record, turn + 1)
            if answer == "it stays":
                assert abs(down) + abs(across) < 3  # something may pass over it
            else:
                assert isinstance(record.turns[turn + 1].pieces[0], Oriented)
                sizes = {"left": -across, "right": across, "up": -down, "down": down}
                assert sizes[answer] == max(sizes.values()) > 6


def test_events_appear_when_and_in_the_order_that_is_said():
    generator = Events(size=60, form="document")
    for i in range(60):
        record = generator.record(i)
        frames = [frame.pixels() for frame in clip_of(record).frames]
        lines = said(record, 0).split("\n")
        times = [seconds(line.split()[0]) for line in lines]
        assert times == sorted(times)
        for line, time in zip(lines, times, strict=True):
            colour = line.split()[2]
            first = round(time * generator.fps)
            assert solid(frames[first], colour)
            assert not any(solid(frame, colour) for frame in frames[:first])


def test_times_that_are_asked_for_stand_in_the_prompt():
    for generator in (Events(size=40), LongVideos(size=40)):
        for i in range(40):
            record = generator.record(i)
            chunks = {visual.timestamp for visual in video_visuals(clip_of(record), RULES)}
            text = " ".join(said(record, turn) for turn in range(len(record.turns)))
            assert set(re.findall(r"\d\d:\d\d:\d\d\.\d\d\d", text)) <= chunks


def test_blinks_are_counted_by_looking():
    generator = Blinking(size=60, split="test")
    for i in range(60):
        record = generator.record(i)
        colour = said(record, 0).split("the ")[1].split()[0]
        seen = np.array([has(frame.pixels(), colour).any() for frame in clip_of(record).frames])
        assert str(ndimage.label(seen)[1]) == record.truth


def test_a_needle_is_shown_only_when_it_is_said():
    generator = LongVideos(size=30, form="document")
    for i in range(30):
        record = generator.record(i)
        clip = clip_of(record)
        grounds = [frame.pixels()[0, 0].tolist() for frame in clip.frames]
        plain = [ground == [245, 245, 240] for ground in grounds]
        times = [seconds(line.split()[0]) for line in said(record, 0).split("\n")]
        shown = {round(time * clip.fps) + k for time in times for k in range(generator.beat)}
        assert {i for i, is_plain in enumerate(plain) if not is_plain} == shown


@pytest.mark.parametrize("make", [Motions, Events, Blinking, LongVideos])
def test_the_processor_takes_every_frame(make):
    clip = clip_of(make(size=1).record(0))
    visuals = video_visuals(clip, RULES)
    assert sum(visual.visual.grid.t for visual in visuals) == len(clip.frames)
    assert len(visuals) == -(-len(clip.frames) // 4)


def test_an_hour_of_video_is_only_planned():
    record = LongVideos(size=1, frames=7200, needles=(2, 2)).record(0)
    assert clip_of(record).duration == 3600.0
    assert record.truth
