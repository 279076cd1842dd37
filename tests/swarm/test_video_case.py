"""The case of appendix F: what happens is found to the frame, AGENTS.md is obeyed, two waves run at once."""

import asyncio
import base64
import json
import os
import shutil
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.tools.media_picture import fitted, jpeg
from manyeyes.core.journal import Event, read
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, ToolCall
from manyeyes.swarm.critical_steps import StepCounter
from manyeyes.swarm.video_analysis import FoundEvent, FoundLevelUp, VideoAnalysis, analysis_of, written
from manyeyes.swarm.video_case import CaseResult, run_case
from manyeyes.swarm.video_director import threshold
from manyeyes.swarm.video_game import GUIDE, Story, invented, record_game
from manyeyes.swarm.video_hud import COLOURS, Seen, draw, look
from manyeyes.swarm.video_page import Clip, page_of
from manyeyes.swarm.video_rules import video_model, video_policy
from manyeyes.swarm.video_tasks import MOST_CLIPS, chosen_clips, numbers_of

SECONDS = (12, 14, 4, 13, 5, 12)
LARGE = {"01", "02", "04", "06"}
THRESHOLD = "40 kB"


class Game(NamedTuple):
    folder: Path
    stories: list[Story]


class Ran(NamedTuple):
    folder: Path
    result: CaseResult
    events: list[Event]

    def finished(self, tool: str, agent: str = "") -> list[Event]:
        done = [event for event in self.events if event.kind == "tool.finished" and event.data["name"] == tool]
        return [event for event in done if agent in ("", event.agent)]

    def agents(self, role: str) -> dict[str, str]:
        """Names of agents with a role, and what they were told."""
        created = (event for event in self.events if event.kind == "agent.created")
        return {event.agent: event.data["prompt"] for event in created if event.data["role"] == role}


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Game:
    folder = tmp_path_factory.mktemp("game")
    stories = record_game(folder, seconds=SECONDS, threshold=THRESHOLD)
    large = {path.name[:2] for path in folder.glob("*.mp4") if path.stat().st_size >= 40_000}
    assert large == LARGE, "the recordings have the sizes that these tests are about"
    return Game(folder, stories)


def run(folder: Path, inputs: Path, model: ChatModel | None = None) -> Ran:
    result = asyncio.run(run_case(folder, inputs, model or video_model()))
    return Ran(folder, result, read(folder).events)


@pytest.fixture(scope="module")
def ran(game: Game, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("run"), game.folder)


def timeline(story: Story) -> tuple[list[FoundEvent], list[FoundLevelUp]]:
    """What is to be found."""
    events = [FoundEvent(event.kind, event.start, event.end) for event in story.events]
    return events, [FoundLevelUp(up.time, up.level) for up in story.level_ups]


def bare(found: VideoAnalysis) -> tuple[list[FoundEvent], list[FoundLevelUp]]:
    """What was found, without titles and pictures."""
    events = [FoundEvent(event.kind, event.start, event.end) for event in found.events]
    return events, [FoundLevelUp(up.time, up.level) for up in found.level_ups]


def test_events_and_level_ups_are_found_to_the_frame(game: Game, ran: Ran) -> None:
    assert ran.result.outcome.stop == "done" and not ran.result.faults
    assert sum(len(story.events) for story in game.stories) > 10
    assert [bare(found) for found in ran.result.analyses.values()] == [timeline(story) for story in game.stories]
    assert [found.seconds for found in ran.result.analyses.values()] == list(SECONDS)


def test_each_large_video_has_a_sub_agent_that_leaves_one_analysis(ran: Ran) -> None:
    analysts = ran.agents("Video Analyst")
    left = {agent: [event.data["result"]["data"]["files"] for event in ran.finished("write_file", agent)]
            for agent in analysts}  # fmt: skip
    assert sorted(left.values()) == [[[f"/artefacts/analysis_{number}.json"]] for number in sorted(LARGE)]
    for agent, files in left.items():
        assert files[0][0].replace("/artefacts/analysis_", "/inputs/")[:-5] in analysts[agent]
        assert ran.finished("extract_frames", agent), "pictures of what was found"
    own = {name for event in ran.finished("write_file", "main") for name in event.data["result"]["data"]["files"]}
    assert own == {"/artefacts/analysis_03.json", "/artefacts/analysis_05.json", "/artefacts/index.html"}


@pytest.mark.parametrize(("said", "given_away"), [("1 kB", 6), ("1 GB", 0)])
def test_what_agents_md_says_is_obeyed(game: Game, tmp_path: Path, said: str, given_away: int) -> None:
    inputs = tmp_path / "inputs"
    shutil.copytree(game.folder, inputs)
    (inputs / "AGENTS.md").write_text(GUIDE.format(threshold=said))
    other = run(tmp_path / "run", inputs)
    assert len(other.agents("Video Analyst")) == given_away
    assert [bare(found) for found in other.result.analyses.values()] == [timeline(story) for story in game.stories]


@pytest.mark.parametrize(("guide", "size"), [
    ("Videos of 25 MB and more go to sub-agents", 25_000_000), ("videos (≥25MB): sub-agents", 25_000_000),
    ("at least 1.5 GiB", 3 * 2**29), ("those of 25,000 bytes or more", 25_000), ("nothing on sizes: 25 videos", None),
])  # fmt: skip
def test_guides_are_understood(guide: str, size: int | None) -> None:
    assert threshold(guide) == size


def test_both_waves_run_at_once_and_one_after_the_other(ran: Ran) -> None:
    def when(kind: str, agents: dict[str, str]) -> list[int]:
        return [event.seq for event in ran.events if event.kind == kind and event.agent in agents]

    analysts, cutters = ran.agents("Video Analyst"), ran.agents("Clip Cutter")
    assert len(analysts) == 4 and len(cutters) == len(ran.result.clips) == 12
    for wave in (analysts, cutters):
        assert max(when("agent.created", wave)) < min(when("agent.finished", wave))
    assert max(when("agent.finished", analysts)) < min(when("agent.created", cutters))
    counter = StepCounter()
    for event in ran.events:
        counter.take(event)
    answers = Counter(event.agent for event in ran.events if event.kind == "llm.finished")
    longest = max(answers[agent] for agent in analysts) + max(answers[agent] for agent in cutters)
    assert counter.critical == answers["main"] + longest < counter.total / 2


def test_clips_are_there_as_long_as_they_should_be_and_show_what_they_should(game: Game, ran: Ran) -> None:
    clips = chosen_clips(list(ran.result.analyses.values()))
    assert set(ran.result.clips) == {Path(clip.path).name for clip in clips}
    stories = {story.name: story for story in game.stories}
    for clip in clips:
        path = ran.folder / clip.path.lstrip("/")
        assert ran.result.clips[path.name] == pytest.approx(clip.end - clip.start, abs=0.001)
        with av.open(path) as container:
            frames = [look(np.asarray(frame.to_image())) for frame in container.decode(video=0)]
        story = stories[Path(clip.video).stem]
        wanted = [story.seen(number) for number in range(round(clip.start * 10), round(clip.end * 10))]
        assert [(seen.level, seen.event) for seen in frames] == [(seen.level, seen.event) for seen in wanted]


class Links(HTMLParser):
    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "poster", "href"):
                self.links.append(value or "")
            if name == "id":
                self.ids.add(value or "")


def test_the_page_plays_every_clip_and_needs_nothing_from_elsewhere(ran: Ran) -> None:
    assert ran.result.page is not None
    found = Links(ran.result.page)
    assert not found.tags & {"script", "iframe", "link", "img"}
    inside = {link[1:] for link in found.links if link.startswith("#")}
    files = [link for link in found.links if not link.startswith("#")]
    assert inside and inside <= found.ids and len(found.ids) == 12
    assert all((ran.folder / "artefacts" / link).is_file() for link in files)
    assert {Path(link).name for link in files if link.endswith(".mp4")} == set(ran.result.clips)


def test_what_a_model_or_a_file_says_cannot_become_markup() -> None:
    evil = '"><script>alert(1)</script>'
    analysis = VideoAnalysis(f"/inputs/{evil}.mp4", 9.0, (FoundEvent(evil, 1, 2, evil),), (FoundLevelUp(3, 4, evil),))
    page = page_of([analysis], [Clip(analysis.video, f"/artefacts/{evil}", evil, 0, 3, evil)])
    assert "<script" not in page and "&lt;script&gt;" in page and page_of([], [])


def test_a_video_that_is_broken_is_told_and_the_others_are_watched(game: Game, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for name in ("AGENTS.md", f"{game.stories[2].name}.mp4"):
        shutil.copy(game.folder / name, inputs)
    (inputs / "07_noise.mp4").write_bytes(os.urandom(60_000))
    (inputs / "08_noise.mp4").write_bytes(os.urandom(600))
    other = run(tmp_path / "run", inputs)
    assert other.result.outcome.stop == "done" and "2 videos could not be watched" in other.result.outcome.text
    assert [bare(found) for found in other.result.analyses.values()] == [timeline(game.stories[2])]
    assert other.result.page is not None


def test_a_run_that_was_stopped_goes_on_where_it_was(game: Game, tmp_path: Path) -> None:
    """Stopped once the first clip is asked for: no video is looked at again."""

    async def stopped() -> None:
        def listen(event: Event) -> None:
            if event.kind == "tool.started" and event.data["name"] == "cut_clip":
                asyncio.get_running_loop().call_soon(task.cancel)

        task = asyncio.ensure_future(run_case(tmp_path, game.folder, video_model(), listen=listen))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    before = [event for event in read(tmp_path).events if event.kind == "tool.started"]
    again = run(tmp_path, game.folder)
    fresh = [event.data["name"] for event in again.events if event.kind == "tool.started"][len(before) :]
    assert again.result.outcome.stop == "done" and len(again.result.clips) == 12
    assert not {"read_media", "extract_frames"} & set(fresh)
    assert [bare(found) for found in again.result.analyses.values()] == [timeline(story) for story in game.stories]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.sampled_from(["", *COLOURS]), st.floats(0, 1), st.sampled_from([320, 224, 640]))
def test_what_is_drawn_is_read_from_a_scaled_jpeg(level: int, event: str, bar: float, width: int) -> None:
    scene = np.random.default_rng(level).integers(60, 160, (180, 320, 1), np.uint8).repeat(3, axis=2)
    drawn = Image.fromarray(draw(scene, Seen(level, bar, event))).resize((width, width * 9 // 16))
    seen = look(Picture.from_bytes(jpeg(np.asarray(drawn))).pixels())
    assert (seen.level, seen.event) == (level, event) and abs(seen.bar - bar) < 0.03


def test_a_story_is_the_same_for_a_seed_and_its_parts_do_not_touch() -> None:
    first, again, other = (invented(seed, 2, seconds=30, level=5) for seed in (1, 1, 2))
    assert first == again != other
    for seed in range(50):
        story = invented(seed, 1, seconds=20, level=1)
        events = story.events
        assert all(round(other.start - one.end, 3) >= 0.8 for one, other in pairwise(events))
        assert all(round(event.end - event.start, 3) >= 1.2 for event in events) and events[-1].end < 20
        assert [up.level for up in story.level_ups] == [2, 3]


@given(st.lists(st.tuples(st.sampled_from(["boss", "x\ny"]), st.floats(0, 99)), max_size=5))
def test_an_analysis_is_read_as_it_was_written(events: list[tuple[str, float]]) -> None:
    analysis = VideoAnalysis("/a.mp4", 9.5, tuple(FoundEvent(kind, at, at + 1) for kind, at in events), ())
    assert analysis_of(written(analysis)) == analysis


def test_clips_are_as_many_as_a_page_takes_and_names_differ() -> None:
    analyses = [VideoAnalysis(f"/inputs/{number}.mp4", 9, (FoundEvent("new kind", 1, 2),), ()) for number in range(40)]
    clips = chosen_clips(analyses)
    assert len({clip.path for clip in clips}) == len(clips) == MOST_CLIPS
    assert numbers_of(["/inputs/07.mp4", "/inputs/7b.mp4"]) == ["01", "02"]
    assert fitted(320, 180, side=448) == (320, 180), "a frame of the game is shown as it is"


class VisionEndpoint:
    """An OpenAI-compatible endpoint whose model sees the pictures that come in the request, by the rules."""

    def __init__(self) -> None:
        self.pictures = 0

    async def __aenter__(self) -> str:
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/chat/completions", self.answer)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    async def answer(self, request: web.Request) -> web.Response:
        said = video_policy([self.message(plain) for plain in (await request.json())["messages"]])
        calls = [
            {"index": i, "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for i, call in enumerate(said.tool_calls)
        ]
        choice = {"index": 0, "delta": {"content": said.text, "tool_calls": calls}, "finish_reason": "stop"}
        text = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"
        return web.Response(text=text, content_type="text/event-stream")

    def message(self, plain: dict[str, Any]) -> Message:
        content = plain.get("content") or ""
        calls = tuple(
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in plain.get("tool_calls", ())
        )
        parts = content if isinstance(content, str) else tuple(map(self.part, content))
        return Message(plain["role"], parts, tool_calls=calls, tool_call_id=plain.get("tool_call_id"))

    def part(self, plain: dict[str, Any]) -> TextPart | ImagePart:
        if plain["type"] == "text":
            return TextPart(plain["text"])
        self.pictures += 1
        content = base64.b64decode(plain["image_url"]["url"].partition(",")[2])
        return ImagePart(Picture.from_bytes(content))


def test_with_an_endpoint_that_sees_it_is_the_same(game: Game, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for story in game.stories[2:5:2]:
        shutil.copy(game.folder / f"{story.name}.mp4", inputs)

    async def go() -> CaseResult:
        async with seeing as url, OpenAIChat(Endpoint(url, "eyes", "sk-a-secret-key")) as model:
            return await run_case(tmp_path / "run", inputs, model, endpoint=url, secrets=("sk-a-secret-key",))

    seeing = VisionEndpoint()
    result = asyncio.run(go())
    assert [bare(found) for found in result.analyses.values()] == [timeline(story) for story in game.stories[2:5:2]]
    assert seeing.pictures > 50 and result.page is not None and len(result.clips) >= 3
    assert not any(b"sk-a-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
