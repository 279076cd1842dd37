"""Media: the frame on screen at a time, clips that are exact, broken and hostile files as values, quick to cancel."""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.tools.media import media_tools
from manyeyes.agent.tools.media_limits import DEFAULT_LIMITS, MediaLimits
from manyeyes.agent.tools.media_picture import scaled
from manyeyes.agent.tools.media_times import clock
from manyeyes.agent.tools.media_video import opened_video
from manyeyes.agent.tools.worker import Watch
from manyeyes.agent.toolset import ToolResult
from manyeyes.agent.workspace import Workspace
from manyeyes.core.messages import ImagePart, TextPart, ToolCall

from .films import film, number_of, numbers_in, picture

FILMS = {"mp4": {}, "mkv": {}, "ts": {}, "avi": {"codec": "mpeg4"}, "webm": {"codec": "libvpx-vp9"},
         "gif": {"codec": "gif", "pixel_format": "rgb8"}}  # fmt: skip
RATE = 10


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.of(tmp_path / "run", "main")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Films of 60 frames, 6 s, in several containers; nobody writes there but clips."""
    workspace = Workspace.of(tmp_path_factory.mktemp("films"), "main")
    for ending, more in FILMS.items():
        film(workspace.inputs / f"film.{ending}", rate=RATE, **more)
    return workspace


def call(workspace: Workspace, name: str, *, limits: MediaLimits = DEFAULT_LIMITS, **arguments: Any) -> ToolResult:
    return asyncio.run(media_tools(workspace, limits=limits).call(ToolCall.of(name, arguments, index=0)))


def seen(result: ToolResult) -> list[tuple[str, int]]:
    """The times that a result tells, and the numbers on the frames behind them."""
    assert not result.failure, result.text
    pairs = zip(result.parts[1::2], result.parts[2::2], strict=True)
    return [(text.text.strip(), number_of(image.image.pixels()))
            for text, image in pairs if isinstance(text, TextPart) and isinstance(image, ImagePart)]  # fmt: skip


@pytest.mark.parametrize("ending", FILMS)
def test_the_frame_on_screen_is_shown_behind_its_time(films: Workspace, ending: str) -> None:
    times = [0, 0.1, 0.199, 0.95, 2.5, 5.05, 6]
    result = call(films, "read_media", path=f"/inputs/film.{ending}", times=times)
    assert result.text.startswith(f"/inputs/film.{ending}: video, 6.000 s, 160x32 pixels, 10 frames a second, ")
    assert seen(result) == [(clock(Fraction(number, 10)), number) for number in (0, 1, 9, 25, 50, 59)]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6000), min_size=1, max_size=12))
def test_any_times_in_any_order_give_what_reading_from_the_beginning_gives(films: Workspace, wanted: list[int]) -> None:
    with (films.inputs / "film.mp4").open("rb") as file:
        with opened_video(file, "film", limits=MediaLimits(), watch=Watch()) as video:
            times = sorted(Fraction(one, 1000) for one in wanted)
            found = [number_of(frame.decoded.to_ndarray(format="rgb24")) for frame in video.frames(times)]
    assert found == sorted({min(59, one // 100) for one in wanted})


def test_frames_are_spread_evenly_and_a_part_can_be_looked_at(films: Workspace) -> None:
    whole = seen(call(films, "read_media", path="/inputs/film.mp4", frames=5))
    assert [number for _, number in whole] == [0, 14, 29, 44, 59]
    part = seen(call(films, "read_media", path="/inputs/film.mp4", start=2.0, end=3.0, frames=3))
    assert part == [("00:00:02.000", 20), ("00:00:02.500", 25), ("00:00:03.000", 30)]
    assert len(seen(call(films, "read_media", path="/inputs/film.mp4", start=5.9, frames=8))) == 1


class Counting(Watch):
    """Counts how often the work asks: once a frame and once a read."""

    asked = 0

    def check(self) -> None:
        self.asked += 1


@pytest.mark.parametrize("key_every", [1, 50, 1000])
def test_far_times_cost_no_more_than_reading_on_a_few_times(workspace: Workspace, key_every: int) -> None:
    film(workspace.inputs / "rare.mp4", 600, key_every=key_every)

    def cost(times: range) -> int:
        watch = Counting()
        with (workspace.inputs / "rare.mp4").open("rb") as file:
            with opened_video(file, "rare", limits=DEFAULT_LIMITS, watch=watch) as video:
                found = [frame.time for frame in video.frames([Fraction(time) for time in times])]
        assert found == list(times)
        return watch.asked

    every_frame = cost(range(60))
    assert cost(range(0, 60, 5)) < (0.5 if key_every == 1 else 2.5) * every_frame


def test_frames_that_come_unevenly_are_met(workspace: Workspace) -> None:
    film(workspace.inputs / "uneven.mkv", 5, times=[0, 0.04, 1.0, 1.5, 4.0], rate=25)
    result = call(workspace, "read_media", path="/inputs/uneven.mkv", times=[0.03, 0.5, 1.2, 3.9, 4.0])
    assert [number for _, number in seen(result)] == [0, 1, 2, 3, 4]


def test_a_film_on_its_side_is_shown_upright(workspace: Workspace) -> None:
    film(workspace.inputs / "phone.mp4", 5, rotation=90)
    result = call(workspace, "read_media", path="/inputs/phone.mp4", frames=1)
    image = next(part.image for part in result.parts if isinstance(part, ImagePart))
    assert "32x160 pixels" in result.text and (image.width, image.height) == (32, 160)
    cut = call(workspace, "cut_clip", path="/inputs/phone.mp4", start=0, end=0.3, to="/workspace/c.mp4")
    assert "32x160 pixels" in cut.text


def test_frames_are_scaled_down_never_up(workspace: Workspace) -> None:
    film(workspace.inputs / "large.mp4", 3, width=640, height=360)
    for side, size in ((0, (448, 252)), (64, (64, 36)), (2048, (640, 360))):
        result = call(workspace, "read_media", path="/inputs/large.mp4", frames=1, side=side)
        image = next(part.image for part in result.parts if isinstance(part, ImagePart))
        assert (image.width, image.height) == size
        assert image.encoded is not None and image.encoded.startswith(b"\xff\xd8")


def test_a_picture_is_shown_upright_scaled_and_without_what_else_its_file_holds(workspace: Workspace) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera that knows where it was"
    picture(workspace.inputs / "photo.jpg", 3000, 1000, format="JPEG", exif=exif)
    result = call(workspace, "read_media", path="/inputs/photo.jpg")
    image = next(part.image for part in result.parts if isinstance(part, ImagePart))
    assert result.text == "/inputs/photo.jpg: picture, 1000x3000 pixels, shown at 776x2327\n"
    assert image.width * image.height <= 1344**2 and b"camera" not in (image.encoded or b"")
    top, bottom = image.pixels()[10, 300], image.pixels()[-10, 300]
    assert top[0] > 200 > 50 > top[2] and bottom[2] > 200 > 50 > bottom[0]


def test_what_was_drawn_stays_exact(workspace: Workspace) -> None:
    picture(workspace.inputs / "plot.png", 200, 100)
    result = call(workspace, "read_media", path="/inputs/plot.png")
    image = next(part.image for part in result.parts if isinstance(part, ImagePart))
    assert image.encoded is not None and image.encoded.startswith(b"\x89PNG")
    assert (image.pixels()[:, :100] == (255, 0, 0)).all() and (image.pixels()[:, 100:] == (0, 0, 255)).all()


@given(st.integers(1, 400), st.integers(1, 400), st.integers(16, 300))
def test_a_picture_fits_into_the_square_and_keeps_its_shape(width: int, height: int, side: int) -> None:
    small = scaled(np.zeros((height, width, 3), np.uint8), side=side)
    rows, columns = small.shape[:2]
    assert (rows - 0.5) * (columns - 0.5) <= side * side, "but for the rounding of both sides"
    assert rows <= height and columns <= width
    if height * width > side * side:
        assert (rows + 1.5) * (columns + 1.5) >= side * side or max(rows, columns) >= 4 * side - 1


def test_frames_are_written_as_files_named_after_their_times(films: Workspace) -> None:
    result = call(films, "extract_frames", path="/inputs/film.mp4", every=2, folder="/artefacts/frames_01")
    names = [f"/artefacts/frames_01/film_00-00-0{second}.000.jpg" for second in (0, 2, 4)]
    assert result.data == {"files": names} and result.text == "\n".join(["wrote 3 frames", *names])
    looked = call(films, "read_media", path=names[1])
    image = next(part.image for part in looked.parts if isinstance(part, ImagePart))
    assert number_of(image.pixels()) == 20
    private = call(films, "extract_frames", path="/inputs/film.mp4", times=[1.0])
    assert private.data == {} and (films.work / "frames/film_00-00-01.000.jpg").is_file()


@pytest.mark.parametrize("ending", FILMS)
def test_a_clip_is_exact_and_made_for_browsers(films: Workspace, ending: str) -> None:
    to = f"/artefacts/clips/{ending}.mp4"
    result = call(films, "cut_clip", path=f"/inputs/film.{ending}", start=1.25, end=3.7, to=to)
    assert result.data == {"files": [to]} and f"wrote {to}: 2.450 s, 25 frames" in result.text
    path = films.artefacts / f"clips/{ending}.mp4"
    shown = numbers_in(path)
    assert [number for _, number in shown] == list(range(12, 37))
    assert [round(at, 3) for at, _ in shown] == [0.0, *(round(0.05 + step / 10, 3) for step in range(24))]
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.duration is not None and float(stream.duration / 90_000) == pytest.approx(2.45)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "the index stands before the frames"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 5900), st.integers(1, 3000))
def test_any_clip_is_as_long_as_was_asked(films: Workspace, start: int, length: int) -> None:
    result = call(
        films, "cut_clip", path="/inputs/film.mp4", start=start / 1000, end=(start + length) / 1000, to="c.mp4"
    )
    assert not result.failure, result.text
    seconds = min(length, 6000 - start) / 1000
    with av.open(films.work / "c.mp4") as container:
        duration = container.streams.video[0].duration
        assert duration is not None and float(duration / 90_000) == pytest.approx(seconds, abs=0.002)
    first, last = start // 100, min(59, (min(6000, start + length) - 1) // 100)
    assert [number for _, number in numbers_in(films.work / "c.mp4")] == list(range(first, last + 1))


@pytest.mark.parametrize(("tool", "more", "said"), [
    ("read_media", {"times": [99]}, "has 6.000 s; there is nothing at 99"),
    ("read_media", {"start": 7}, "frames from 7 s on are not in it"),
    ("read_media", {"frames": 65}, "65 frames are too many, 64"),
    ("read_media", {"frames": 10**9}, "too many"),
    ("read_media", {"frames": 0}, "0 frames"),
    ("read_media", {"side": 5000}, "side is 16 to 2048"),
    ("extract_frames", {}, "give times, or every"),
    ("extract_frames", {"every": 1e-9}, "give times, or every"),
    ("extract_frames", {"every": 0.001}, "6000 frames are too many"),
    ("extract_frames", {"every": 1, "folder": "/inputs/x"}, "cannot be written"),
    ("cut_clip", {"start": 3, "end": 3, "to": "a.mp4"}, "a clip from 3 s to 3 s is not in it"),
    ("cut_clip", {"start": 6, "end": 7, "to": "a.mp4"}, "is not in it"),
    ("cut_clip", {"start": 0, "end": 1, "to": "a.avi"}, "ends with .mp4"),
    ("cut_clip", {"start": 0, "end": 1, "to": "/inputs/a.mp4"}, "cannot be written"),
])  # fmt: skip
def test_wrong_wishes_are_told(films: Workspace, tool: str, more: dict[str, Any], said: str) -> None:
    result = call(films, tool, path="/inputs/film.mp4", **more)
    assert result.failure == "refused" and said in result.text, result.text


def test_broken_and_missing_files_are_told(films: Workspace, workspace: Workspace) -> None:
    whole = (films.inputs / "film.mkv").read_bytes()
    picture(workspace.work / "p.png", 900, 900)
    files = {
        "text.mp4": b"no video at all\n" * 99,
        "empty.mp4": b"",
        "cut.mp4": (films.inputs / "film.mp4").read_bytes()[:900],
        "cut.png": (workspace.work / "p.png").read_bytes()[:500],
        "noise.mkv": whole[:400] + os.urandom(9000),
        "list.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    }
    for name, content in files.items():
        (workspace.inputs / name).write_bytes(content)
        for tool, more in (("read_media", {}), ("cut_clip", {"start": 0, "end": 1, "to": f"/artefacts/{name}.mp4"})):
            result = call(workspace, tool, path=f"/inputs/{name}", **more)
            assert result.failure == "refused" and f"/inputs/{name}" in result.text, (tool, name, result.text)
    assert "there is no" in call(workspace, "read_media", path="/inputs/nothing.mp4").text
    assert os.listdir(workspace.artefacts) == [], "a clip that fails leaves nothing"


def test_a_film_that_ends_too_early_gives_what_it_has(films: Workspace, workspace: Workspace) -> None:
    content = (films.inputs / "film.mkv").read_bytes()
    (workspace.inputs / "half.mkv").write_bytes(content[: len(content) // 2])
    times = [0, 1, 2, 3, 4, 5]
    found = seen(call(workspace, "read_media", path="/inputs/half.mkv", times=times))
    assert 2 <= len(found) < 6 and all(number == round(10 * float(at[-6:])) for at, number in found)


def test_too_many_pixels_are_refused_before_and_while_decoding(workspace: Workspace) -> None:
    limits = MediaLimits(frame_pixels=160 * 32, picture_pixels=1000)
    film(workspace.inputs / "large.mp4", 3, width=320, height=64)
    assert "refused before decoding" in call(workspace, "read_media", limits=limits, path="/inputs/large.mp4").text
    picture(workspace.inputs / "large.png", 100, 100)
    assert "refused before decoding" in call(workspace, "read_media", limits=limits, path="/inputs/large.png").text
    small, large = (film(workspace.work / f"{side}.ts", 40, width=side, height=32) for side in (160, 640))
    (workspace.inputs / "grows.ts").write_bytes(small.read_bytes() + large.read_bytes())
    wish: dict[str, Any] = {"path": "/inputs/grows.ts", "start": 0, "end": 8, "to": "/artefacts/g.mp4"}
    grown = call(workspace, "cut_clip", limits=limits, **wish)
    assert grown.failure == "refused" and not os.listdir(workspace.artefacts), grown.text
    assert "40 frames, 160x32" in call(workspace, "cut_clip", **wish).text, "times that begin anew are left out"


def test_a_time_limit_holds_and_is_told(films: Workspace) -> None:
    result = call(
        films, "cut_clip", limits=MediaLimits(seconds=0.0), path="/inputs/film.mp4", start=0, end=6, to="l.mp4"
    )
    assert result.failure == "refused" and "longer than 0 s" in result.text and not (films.work / "l.mp4").exists()


def test_a_cancelled_call_lets_its_thread_go_at_once(workspace: Workspace) -> None:
    film(workspace.inputs / "long.mp4", 1000, width=320, height=176, key_every=1000)

    async def go() -> float:
        with ThreadPoolExecutor(1) as threads:
            tools = media_tools(workspace, threads=threads)
            arguments = {"path": "/inputs/long.mp4", "start": 0.0, "end": 100.0, "to": "/artefacts/long.mp4"}
            task = asyncio.ensure_future(tools.call(ToolCall.of("cut_clip", arguments, index=0)))
            while not (workspace.artefacts.exists() and os.listdir(workspace.artefacts)):
                await asyncio.sleep(0.005)
                assert not task.done(), task.result().text
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            began = time.monotonic()
        return time.monotonic() - began  # leaving the block waited for the thread

    assert asyncio.run(go()) < 2.0
    assert os.listdir(workspace.artefacts) == []


def test_several_agents_share_threads_and_see_the_same(films: Workspace) -> None:
    async def go() -> list[ToolResult]:
        with ThreadPoolExecutor(3) as threads:
            tools = [media_tools(films, threads=threads) for _ in range(8)]
            arguments = {"path": "/inputs/film.mp4", "frames": 6}
            return await asyncio.gather(*(one.call(ToolCall.of("read_media", arguments, index=0)) for one in tools))

    results = asyncio.run(go())
    assert all(seen(result) == seen(results[0]) for result in results) and len(seen(results[0])) == 6


def test_the_tools_say_what_they_take() -> None:
    tools = {tool.name: tool for tool in media_tools(Workspace(Path(), Path(), Path())).tools}
    assert list(tools) == ["read_media", "extract_frames", "cut_clip"]
    assert tools["cut_clip"].parameters["required"] == ["path", "start", "end", "to"]
    assert tools["read_media"].parameters["properties"]["times"]["items"] == {"type": "number"}
    assert f"at most {DEFAULT_LIMITS.frames}" in tools["read_media"].parameters["properties"]["frames"]["description"]
