"""The page of a rollout run in a headless Chromium: it shows what the folder holds, and foreign text stays text.

One browser, one event loop and one run for all tests; each has a tab of its own.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest

from manyeyes.agent.rollouts.snapshot import ROLLOUTS, TRAJECTORIES, RolloutSnapshot
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import AgentSpan, Event, Node, Trajectory
from manyeyes.core.trajectory_index import INDEX
from manyeyes.core.trajectory_segments import segment_path
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.view.rollout_page import RolloutPage
from manyeyes.view.rollout_page_fake import fake_snapshots, fake_trajectory, write_rollouts
from manyeyes.view.rollout_routes import SHARED

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
MOST_MILLISECONDS = 2000
PANES = ("forest-pane", "detail-pane", "token-pane")
UNFOLD = """() => {
  const begun = performance.now();
  document.getElementById("fold").click();
  const twice = (done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun)));
  return new Promise(twice);
}"""


class Browser:
    """A headless Chromium that lives as long as this module's tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.chromium: Any = None

    def run(self, work: Awaitable[Any]) -> Any:
        async def within() -> Any:
            async with asyncio.timeout(120):
                return await work

        return self.loop.run_until_complete(within())

    async def start(self) -> None:
        from playwright.async_api import async_playwright

        self.playwright = await async_playwright().start()
        self.chromium = await self.playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)

    async def stop(self) -> None:
        await self.chromium.close()
        await self.playwright.stop()

    @contextlib.asynccontextmanager
    async def tab(self, folder: Path, at: str = "", *, width: int = 1280):
        """A tab that shows a run; its errors fail the test."""
        async with RolloutPage(folder) as page:
            context = await self.chromium.new_context(viewport={"width": width, "height": 800})
            tab, wrong = await context.new_page(), []
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.on("console", lambda told: wrong.append(f"{told.text} {told.location}") if told.type == "error" else "")
            tab.set_default_timeout(20_000)
            try:
                await tab.goto(page.url)
                await tab.wait_for_url(f"{page.address}/")
                await until(tab, "window.manyeyes && window.manyeyes.polled")
                if at:
                    await tab.evaluate("(at) => { location.hash = at; }", at)
                yield tab
            finally:
                await context.close()
            assert not wrong, wrong

    def show(self, folder: Path, work: Callable[[Any], Awaitable[None]], at: str = "", *, width: int = 1280) -> None:
        """Run `work` on a tab."""

        async def shown() -> None:
            async with self.tab(folder, at, width=width) as tab:
                await work(tab)

        self.run(shown())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    missing = "chromium" if CHROMIUM is None else ""
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        missing = "playwright (pip install 'manyeyes[browser]')"
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"needs {missing}")
    found = Browser()
    found.run(found.start())
    yield found
    found.run(found.stop())
    found.loop.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rollouts(tmp_path_factory.mktemp("runs") / "mazes", groups=70, seconds=120)


async def until(tab: Any, true: str) -> None:
    """Wait until an expression is true; the page's own policy forbids that the browser waits for a text."""
    async with asyncio.timeout(30):
        while not await tab.evaluate(true):
            await asyncio.sleep(0.02)


async def opened(tab: Any, name: str) -> dict[str, Any]:
    """Wait until a trajectory is shown; what the page knows of it."""
    await until(tab, f"window.manyeyes.opened === {json.dumps(name)} && window.manyeyes.stream.drawn > 0")
    return json.loads(await tab.evaluate("JSON.stringify(window.manyeyes.stream)"))


def stored(folder: Path, name: str) -> Trajectory:
    with TrajectoryStore(folder / TRAJECTORIES, mode="read") as store:
        return store.get(name)


def test_the_overview_shows_the_newest_snapshot(browser, run) -> None:
    last = fake_snapshots(120)[-1]

    async def work(tab: Any) -> None:
        tiles = await tab.inner_text("#tiles")
        assert f"running\n{last.running}" in tiles and f"version\n{last.version}" in tiles
        assert await tab.evaluate("window.manyeyes.rows") == 120 and await tab.title() == "mazes · manyeyes"
        rows = await tab.locator("#failures .bar-row").all_inner_texts()
        assert {row.split("\n")[0]: int(row.split("\n")[1].split()[0]) for row in rows} == {
            cause: count for cause, count in last.failures.items() if count
        }
        for chart in ("concurrency", "queue", "time", "rewards", "rate", "lag", "pool"):
            painted = "(id) => { const c = document.querySelector(`#${id} canvas`), x = c.getContext('2d'); return new Set(x.getImageData(0, 0, c.width, c.height).data).size; }"  # noqa: E501
            assert await tab.evaluate(painted, chart) > 8, chart
        label = await tab.get_attribute("#concurrency canvas", "aria-label")
        assert f"model {last.waiting_for['model']}" in label
        assert await tab.inner_text("#pool tbody th") == "shell"

    browser.show(run, work)


def test_what_is_written_meanwhile_appears(browser, tmp_path) -> None:
    folder = write_rollouts(tmp_path / "live", groups=1, seconds=3)
    os.utime(folder / ROLLOUTS, (time.time() + 600,) * 2)  # still fresh when a busy machine has opened its browser

    async def work(tab: Any) -> None:
        assert await tab.inner_text("#status") == "live" and await tab.inner_text("#stored") == "4"
        with (folder / ROLLOUTS).open("ab") as file:
            file.write(msgspec.json.encode(RolloutSnapshot(at=0.0, seconds=9.0, running=77, dropped_records=3)) + b"\n")
        with TrajectoryStore(folder / TRAJECTORIES) as store:
            store.append(Trajectory("late/0/0", "late/0", stop="done"))
        await until(tab, "document.getElementById('stored').textContent === '5'")
        tiles = await tab.inner_text("#tiles")
        assert "running\n77" in tiles and "not kept\n3" in tiles
        await tab.evaluate("() => { location.hash = 'list'; }")
        await until(tab, "window.manyeyes.found === 5")

    browser.show(folder, work)


def test_the_list_is_filtered_ordered_and_longer_than_the_screen(browser, run) -> None:
    async def names() -> list[str]:
        return [name for name in await tab_.locator("#table .row:visible .name").all_text_contents() if name]

    async def work(tab: Any) -> None:
        nonlocal tab_
        tab_ = tab
        await until(tab, "window.manyeyes.found === 280 && document.querySelectorAll('#table .row').length > 10")
        assert (await names())[0] == "maze/69/3" and await tab.locator("#table .row").count() < 60
        await tab.evaluate("document.getElementById('table').scrollTop = 1e6")
        await until(tab, "[...document.querySelectorAll('#table .name')].some((n) => n.textContent === 'maze/0/0')")
        await tab.fill("[name=text]", "maze/7/")
        await until(tab, "window.manyeyes.found === 4")
        assert await names() == [f"maze/7/{k}" for k in (3, 2, 1, 0)]
        await tab.fill("[name=text]", "")
        await tab.select_option("[name=failure]", "=sandbox")
        with TrajectoryStore(run / TRAJECTORIES, mode="read") as store:
            expected = [one.name for one in store.find(failure="sandbox", order="newest")]
        await until(tab, f"window.manyeyes.found === {len(expected)}")
        assert expected and await names() == expected
        await tab.fill("[name=min_reward]", "5")
        await tab.wait_for_selector("#none:visible")
        await tab.fill("[name=min_reward]", "")
        await tab.click(f"#table .row >> text={expected[0]}")
        await opened(tab, expected[0])

    tab_: Any = None
    browser.show(run, work, "list")


def test_the_viewer_shows_agents_tokens_pictures_tools_and_the_verdict(browser, run) -> None:
    name = "maze/3/1"
    whole, tokenizer = stored(run, name), Tokenizer.load(run)
    numbers = whole.branch([leaf for leaf in whole.leaves if whole.nodes[leaf].agent == 0][-1])

    async def work(tab: Any) -> None:
        figures = await opened(tab, name)
        assert figures["nodes"] == len(numbers) and figures["tokens"] == whole.tokens
        assert await tab.locator("#forest .row:visible").count() >= 1 + len(whole.agents)
        await tab.uncheck("#fold")
        await tab.wait_for_selector("#tokens .picture img")
        await until(tab, "document.querySelector('#tokens .picture img').naturalWidth === 168")
        shown = await tab.evaluate(
            "() => [...document.querySelectorAll('#tokens .sampled')].map((s) => [s.dataset.token, s.textContent])"
        )
        told: dict[int, str] = {}
        for token, text in shown:
            told[int(token)] = told.get(int(token), "") + text
        first = whole.nodes[0]
        plain = {
            first.given + i: tokenizer.token_bytes(t).decode().replace("\n", "↵")
            for i, t in enumerate(first.sampled.tolist())
            if tokenizer.token_bytes(t).isascii()
        }
        assert plain and {token: told.get(token) for token in plain} == plain
        await tab.locator(f"#tokens [data-token='{first.given}']").first.click()
        details = await tab.inner_text("#details")
        assert f"id\n{first.sampled[0]}" in details and f"version\n{first.versions[0]}" in details
        assert f"{float(first.logprobs[0]):.3f}"[:5] in details and "ratio" in details
        await tab.locator("#tokens .event").first.click()
        details = await tab.inner_text("#details")
        assert "Tool shell" in details and "python walk.py" in details and "the path is shortest" in details
        assert "system style" in details

    browser.show(run, work, f"t/{name.replace('/', '%2F')}")


def test_colours_say_what_their_legend_says(browser, run) -> None:
    name = next(f"maze/3/{k}" for k in range(4) if stored(run, f"maze/3/{k}").reward is not None)
    whole = stored(run, name)

    async def strengths(tab: Any, mode: str) -> dict[int, float]:
        await tab.select_option("#colour", mode)
        found = await tab.evaluate(
            "() => [...document.querySelectorAll('#tokens .sampled')].map((s) => [s.dataset.token, s.style.background])"
        )
        mixed = ((int(token), colour.partition(" ")[2]) for token, colour in found if "%" in colour)
        return {token: float(rest.split("%")[0].split()[-1]) for token, rest in mixed}

    async def work(tab: Any) -> None:
        await opened(tab, name)
        modes = await tab.locator("#colour option").all_text_contents()
        assert modes == [
            "mask", "log-probability", "advantage (reward − mean of its group)", "ratio π_θ/π_old", "policy version"
        ]  # fmt: skip
        await tab.uncheck("#fold")
        first, found = whole.nodes[0], await strengths(tab, "log-probability")
        places = [token for token in found if first.given <= token < len(first.ids)]
        assert len(places) > 20
        for token in places:
            assert found[token] == pytest.approx(
                100 * min(1.0, -float(first.logprobs[token - first.given]) / 6), abs=0.6
            )
        for mode in modes:
            await tab.select_option("#colour", mode)
            assert await tab.locator("#legend span").count() >= 1

    browser.show(run, work, f"t/{name.replace('/', '%2F')}")


def test_fifty_thousand_tokens_of_two_hundred_agents_open_in_two_seconds(browser, tmp_path) -> None:
    folder = write_rollouts(tmp_path / "big", groups=1, seconds=5)
    whole = fake_trajectory("big/0/0", random.Random(1), Tokenizer.tiny(), turns=20, agents=199, tokens=130)
    assert whole.tokens > 50_000 and len(whole.agents) == 200
    with TrajectoryStore(folder / TRAJECTORIES) as store:
        store.append(whole)

    async def work(tab: Any) -> None:
        figures = await opened(tab, "big/0/0")
        await until(tab, "window.manyeyes.milliseconds > 0")
        took = await tab.evaluate("window.manyeyes.milliseconds")
        await tab.locator("#forest .row").first.click()  # everything at once
        figures = await opened(tab, "big/0/0")
        assert figures["nodes"] == len(whole.nodes) and figures["agents"] == 200 and figures["tokens"] == whole.tokens
        assert figures["drawn"] < 150, "only what is in sight exists"
        everything = await tab.evaluate(UNFOLD)
        await tab.evaluate("document.getElementById('tokens').scrollTop = 1e7")
        await until(tab, f"document.querySelector('#tokens .turn[data-node=\"{len(whole.nodes) - 1}\"]')")
        print(f"{whole.tokens:,} tokens, 200 agents: opened in {took:.0f} ms, all laid out in {everything:.0f} ms")
        assert took < MOST_MILLISECONDS and everything < MOST_MILLISECONDS

    browser.show(folder, work, "t/big%2F0%2F0")


def test_what_cannot_be_opened_does_not_leave_another_one_under_its_name(browser, run) -> None:
    async def work(tab: Any) -> None:
        await opened(tab, "maze/3/1")
        for kind in ("outline", "tokens"):
            await tab.route(f"**/api/{kind}?name=maze%2F9%2F9", lambda route: route.fulfill(status=200, body="{}"))
        await tab.evaluate("() => { location.hash = 't/maze%2F9%2F9'; }")
        await until(tab, "!document.getElementById('banner').hidden")
        assert await tab.locator("#tokens .line").count() == 0
        assert await tab.inner_text("#details") == "" and await tab.inner_text("#stream") == ""
        await tab.evaluate("() => { location.hash = 't/maze%2F3%2F1'; }")
        await opened(tab, "maze/3/1")

    browser.show(run, work, "t/maze%2F3%2F1")


def test_a_narrow_screen_shows_one_pane_at_a_time(browser, run) -> None:
    async def work(tab: Any) -> None:
        await opened(tab, "maze/3/1")
        for pane in PANES:
            await tab.click(f"[data-pane={pane}]")
            assert [one for one in PANES if await tab.is_visible(f"#{one}")] == [pane]
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 390
        for at in ("overview", "list"):
            await tab.evaluate("(at) => { location.hash = at; }", at)
            await tab.wait_for_selector(f"#{at}:visible")
            assert await tab.evaluate("document.documentElement.scrollWidth") <= 390

    browser.show(run, work, "t/maze%2F3%2F1", width=390)


def test_a_store_alone_is_shown_with_pictures_although_nobody_knows_its_vocabulary(browser, tmp_path) -> None:
    with TrajectoryStore(tmp_path) as store:
        store.append(fake_trajectory("maze/1/0", random.Random(1), Tokenizer.tiny()))

    async def work(tab: Any) -> None:
        assert await tab.is_visible("#no-snapshots") and not await tab.is_visible("#charts")
        await tab.click("#no-snapshots a")
        await until(tab, "window.manyeyes.found === 1")
        await tab.locator("#table .row").first.click()
        await opened(tab, "maze/1/0")
        await tab.wait_for_selector("#tokens .picture img")
        first = stored_alone.nodes[0]
        text = await tab.inner_text(f"#tokens [data-token='{first.given}']")
        assert text.strip() == str(first.sampled[0])

    with TrajectoryStore(tmp_path, mode="read") as store:
        stored_alone = store.get("maze/1/0")
    browser.show(tmp_path, work)


def test_damage_and_a_vocabulary_that_cannot_be_read_are_told(browser, tmp_path) -> None:
    folder = write_rollouts(tmp_path / "run", groups=2, seconds=3)
    (folder / "tokenizer.tiktoken").write_bytes(b"no vocabulary")
    (folder / TRAJECTORIES / INDEX).unlink()
    path = segment_path(folder / TRAJECTORIES, 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    async def work(tab: Any) -> None:
        words = await tab.inner_text("#banner")
        assert "edited or damaged" in words and "base64 rank" in words
        assert 0 < int(await tab.inner_text("#stored")) < 8

    browser.show(folder, work)


def hostile(folder: Path) -> str:
    """A run in which every text that anybody can choose is an attack; returns the name of its trajectory."""
    tokenizer = Tokenizer.tiny()
    folder.mkdir()
    tokenizer.save(folder / "tokenizer.tiktoken")
    ids = np.array([*tokenizer.encode(EVIL), 99_999, -5], np.int32)
    lp, versions = np.full(len(ids) - 3, -1, np.float32), np.zeros(len(ids) - 3, np.int32)
    name = f"{EVIL}\u202e/0"
    whole = Trajectory(name, EVIL, EVIL, [AgentSpan(EVIL, EVIL, task=EVIL, stop=EVIL, reason=EVIL, text=EVIL)])
    whole.add(Node(ids, 3, lp, versions, stop=EVIL, fork=EVIL, malformed=EVIL, masked=EVIL))  # type: ignore[arg-type]
    whole.rewards, whole.reward, whole.variant = {EVIL: 1.0}, 1.0, {EVIL: [EVIL, {EVIL: float("nan")}], "n": 10**40}
    whole.stop, whole.masked = "failed", EVIL
    for kind in ("tool", "judge", "failed", EVIL):
        data = {"name": EVIL, "arguments": EVIL, "result": {"parts": [EVIL], "failure": EVIL}}
        data |= {"cause": EVIL, "notes": {EVIL: EVIL}}
        whole.events += [Event(kind, 0.0, 0.0, 0, node, data) for node in (0, -1)]
    with TrajectoryStore(folder / TRAJECTORIES) as store:
        store.append(whole)
    snapshot = RolloutSnapshot(
        at=0.0,
        seconds=1.0,
        waiting_for={EVIL: 1},
        failures={EVIL: 1},
        rewards={EVIL: (1.0, 1)},
        pool={EVIL: {EVIL: EVIL}},
    )
    (folder / ROLLOUTS).write_bytes(msgspec.json.encode(snapshot) + b"\n")
    return name


def test_what_anybody_wrote_stays_text(browser, tmp_path) -> None:
    folder = tmp_path / "run"
    hostile(folder)

    async def work(tab: Any) -> None:
        assert EVIL in await tab.inner_text("#failures") and EVIL in await tab.inner_text("#rewards")
        await tab.evaluate("() => { location.hash = 'list'; }")
        await until(tab, "window.manyeyes.found === 1 && document.querySelector('#table .name')")
        assert EVIL in await tab.text_content("#table .name") and EVIL in await tab.text_content("[name=environment]")
        await tab.locator("#table .row").first.click()
        await until(tab, "document.querySelectorAll('#tokens .line').length > 0")
        await tab.locator("#tokens .sampled").first.click()
        for one in await tab.locator("#tokens .event, #tokens .turn, #forest .row:visible").all():
            await one.click()
        for one in await tab.locator("details").all():
            await one.evaluate("(one) => { one.open = true; }")
        details = await tab.inner_text("#details")
        assert details.count("<script>window.hacked") > 8 and "\u202e" not in details
        text = "".join(await tab.locator("#tokens .line").all_text_contents())
        assert EVIL[6:20] in text and "[99999]" in text and "[-5]" in text
        assert await tab.evaluate("window.hacked") is None
        assert await tab.locator("main script, body img").count() == 0

    browser.show(folder, work)


def test_nothing_is_told_without_the_token_and_no_file_but_the_pages_own(browser, run) -> None:
    async def work() -> None:
        async with RolloutPage(run) as page, aiohttp.ClientSession() as session:

            async def get(path: str, **headers: str) -> tuple[int, bytes]:
                async with session.get(page.address + path, headers=headers) as answer:
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                    return answer.status, await answer.read()

            key = {"Authorization": f"Bearer {page.token}"}
            paths = ["/", "/app.js", "/metrics", "/api/series", "/api/list", "/api/outline?name=maze%2F0%2F0"]
            assert [(await get(path))[0] for path in paths] == [401] * len(paths)
            assert [(await get(path, **key))[0] for path in paths] == [200] * len(paths)
            assert (await get("/metrics", **key))[1].startswith(b"# HELP manyeyes_rollout_")
            assert (await get("/api/list", Host="evil.example", **key))[0] == 403
            for name in SHARED:
                assert (await get("/" + name, **key))[0] == 200
            for path in ("/fold.js", "/..%2fpage.css", "/api/blobs/..%2f..%2findex.sqlite", "/api/blobs/" + "a" * 64):
                assert (await get(path, **key))[0] == 404, path
            assert (await get("/api/outline?name=nobody", **key))[0] == 404
            odd = "/api/list?order=x;DROP&limit=99999999999999&offset=-1&min_reward=x&version=x&task='"
            status, body = await get(odd, **key)
            assert status == 200 and json.loads(body)["count"] == 0

    browser.run(work())
