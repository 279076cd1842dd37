"""The live page in a headless Chromium: what it shows is what the journal says, and what models write stays text.

One browser and one event loop for all tests; each has a page of its own.
"""

import asyncio
import contextlib
import io
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from manyeyes.agent.limiter import Limiter
from manyeyes.core.journal import Event, Journal
from manyeyes.swarm.critical_path import critical_path
from manyeyes.swarm.session import figures
from manyeyes.view.swarm_export import bundle, export_html
from manyeyes.view.swarm_page import SwarmPage
from manyeyes.view.swarm_page_events import thin
from manyeyes.view.swarm_page_fake import fake_events, write_journal

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
FRAMES = """async ([milliseconds, steps]) => {
  const boxes = [document.getElementById("timeline"), document.getElementById("tree"), document.getElementById("heat")];
  const begun = performance.now(), gaps = [];
  let before = begun, direction = 1;
  return await new Promise((resolve) => {
    const frame = (now) => {
      gaps.push(now - before);
      before = now;
      for (const box of boxes) {
        box.scrollTop += direction * steps;
        if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) direction = -1;
        if (box.scrollTop <= 0) direction = 1;
      }
      if (now - begun < milliseconds) requestAnimationFrame(frame);
      else resolve({ frames: gaps.length, seconds: (now - begun) / 1000, longest: Math.max(...gaps) });
    };
    requestAnimationFrame(frame);
  });
}"""


class Recorder:
    """A control that writes down what it was told."""

    def __init__(self) -> None:
        self.paused, self.told = False, []

    def pause(self) -> None:
        self.paused = True
        self.told.append("pause")

    def go_on(self) -> None:
        self.paused = False
        self.told.append("go on")

    def cancel(self, agent: str = "main") -> None:
        self.told.append(f"cancel {agent}")

    def say(self, agent: str, text: str) -> None:
        self.told.append(f"say {agent}: {text}")


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
    async def tab(self, address: str, **options: Any):
        """A tab; its errors fail the test."""
        context = await self.chromium.new_context(viewport={"width": 1280, "height": 800}, **options)
        tab, wrong = await context.new_page(), []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda told: wrong.append(f"{told.text} {told.location}") if told.type == "error" else None)
        tab.set_default_timeout(20_000)
        try:
            await tab.goto(address)
            if address.startswith("http:"):
                await tab.wait_for_url(address.partition("?")[0])
            yield tab
        finally:
            await context.close()
        assert not wrong, wrong

    def show(self, folder: Path, work: Callable[[Any, SwarmPage], Awaitable[None]], control: Any = None) -> None:
        """Run `work` on a tab that shows a run."""

        async def shown() -> None:
            async with SwarmPage(folder, control) as page, self.tab(page.url) as tab:
                await work(tab, page)

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


async def until(tab: Any, true: str) -> None:
    """Wait until an expression is true; the page's own policy forbids that the browser waits for a text."""
    async with asyncio.timeout(30):
        while not await tab.evaluate(true):
            await asyncio.sleep(0.02)


async def loaded(tab: Any, events: int) -> None:
    """Wait until the page knows so many events, and has drawn them."""
    await until(tab, f"window.manyeyes && window.manyeyes.shown >= {events} && window.manyeyes.drawn > 0")
    await until(tab, "document.querySelectorAll('#tree .row').length > 0")


async def hook(tab: Any, name: str) -> Any:
    return json.loads(await tab.evaluate(f"JSON.stringify(window.manyeyes.{name})"))


def test_tree_lanes_and_counters_show_what_the_journal_says(browser, tmp_path) -> None:
    events = fake_events(12, rounds=2, seed=7)

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, len(events))
        names = {event.agent for event in events if event.kind == "agent.created"}
        assert set(await hook(tab, "lanes")) == names and (await hook(tab, "lanes"))[0] == "main"
        assert "token" not in tab.url and await tab.title() == "run · manyeyes"
        rows = await tab.locator("#tree .row:visible").all_text_contents()
        assert sum("round" in row for row in rows) == 2 and any(row.startswith("✔Orchestrator") for row in rows)
        roles = {event.data["role"] for event in events if event.kind == "agent.created"} - {""}
        assert all(any(role in row for row in rows) for role in roles)
        told = figures(events)
        assert await tab.inner_text("#critical") == str(told.critical_steps)
        assert await tab.inner_text("#speed") == f"×{told.speed_up:.1f}"
        assert await tab.inner_text("#status") == "finished" and not await tab.locator(".control:visible").count()
        assert len(await hook(tab, "points")) > 5, "the path is drawn"
        await tab.click("#tab-roles")
        await until(tab, f"document.querySelectorAll('#roles text').length === {len(roles)}")

    browser.show(write_journal(tmp_path / "run", events), work)


def test_the_address_opens_from_another_sites_page_and_loses_its_token(browser, tmp_path) -> None:
    folder = write_journal(tmp_path / "run", fake_events(2))

    async def work() -> None:
        async with SwarmPage(folder) as page:
            link = f"data:text/html,<a href='{page.url}'>a terminal in a browser</a>"
            async with browser.tab(link) as tab:
                await tab.click("a")
                await tab.wait_for_url(page.url.partition("?")[0])
                await loaded(tab, 10)
                assert await tab.evaluate("document.cookie") == ""

    browser.run(work())


def test_filters_choose_agents_by_state_role_and_words(browser, tmp_path) -> None:
    events = fake_events(40, seed=11)
    ends = {event.agent: event.data["outcome"]["stop"] for event in events if event.kind == "agent.finished"}
    roles = {event.agent: event.data["role"] for event in events if event.kind == "agent.created"}
    failed = {name for name, stop in ends.items() if stop != "done"}

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, len(events))
        await tab.click("#states [data-state=failed]")
        await until(tab, f"window.manyeyes.lanes.length === {len(failed)}")
        assert set(await hook(tab, "lanes")) == failed
        await tab.click("#states [data-state=all]")
        role = roles["main/5"]
        await tab.select_option("#role", role)
        of_role = {name for name in roles if roles[name] == role}
        await until(tab, f"window.manyeyes.lanes.length === {len(of_role)}")
        assert set(await hook(tab, "lanes")) == of_role

    assert failed, "this journal has failures"
    browser.show(write_journal(tmp_path / "run", events), work)


def resumed(events: list[Event]) -> list[Event]:
    """A journal that was cut off, paused before, and gone on with."""
    half = events[: len(events) // 2]
    last = {event.agent: event.seq for event in half}
    seq, time = len(half), half[-1].time
    return [
        *half,
        Event(seq, "run.paused", time + 1, data={"reason": "no money"}),
        Event(seq + 1, "run.continued", time + 3, after=(seq,), data={"reason": "paid"}),
        Event(seq + 2, "run.paused", time + 4, data={"reason": "again"}),
        Event(seq + 3, "run.resumed", time + 30, data={"mode": "swarm", "model": "fake"}),
        Event(seq + 4, "agent.resumed", time + 30.1, "main", (last["main"],), {"messages": 1}),
        Event(seq + 5, "llm.started", time + 30.2, "main", (seq + 4,), {"model": "fake", "turn": 9}),
        Event(seq + 6, "context.summarised", time + 31.5, "main", (seq + 5,), {
            "usage": [9, 9, 0, 0.5], "seconds": 1.3, "waited": 0.25, "attempts": 1, "text": "notes",
        }),
    ]  # fmt: skip


def test_figures_and_critical_path_are_those_of_python(browser, tmp_path) -> None:
    shapes = ((1, 1, 1, 1), (6, 2, 3, 1), (30, 3, 2, 1), (9, 4, 2, 3), (14, 5, 1, 4))
    trees = [fake_events(agents, seed=seed, rounds=rounds, depth=depth) for agents, seed, rounds, depth in shapes]
    journals = [*trees, *(tree[: len(tree) * 2 // 3] for tree in trees), *map(resumed, trees), trees[0][:1]]

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, 1)
        for events in journals:
            found = await tab.evaluate(
                """async (text) => {
                  const { Run } = await import("/fold.js"), run = new Run();
                  for (const event of JSON.parse(text)) run.take(event);
                  return { figures: run.figures, path: run.graph.path(run.count - 1) };
                }""",
                msgspec.json.encode([thin(event) for event in events]).decode(),
            )
            wanted = figures(events)
            for name in ("critical_steps", "total_steps", "agents"):
                assert found["figures"][name] == getattr(wanted, name), name
            for name in ("seconds", "path_seconds", "serial_seconds", "speed_up"):
                assert found["figures"][name] == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-6), name
            links = [link._asdict() for link in critical_path(events)]
            assert found["path"] == links

    browser.show(write_journal(tmp_path / "run", trees[0]), work)


def test_the_scrubber_shows_every_moment_as_it_was_and_replays_to_the_end(browser, tmp_path) -> None:
    events = fake_events(10, rounds=2, seed=9)

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, len(events))
        for value in (5000, 8000, 1000, 0, 9000):  # forward and back
            await tab.evaluate(
                "(value) => { const one = document.getElementById('moment');"
                " one.value = value; one.dispatchEvent(new Event('input')); }", value
            )  # fmt: skip
            position = await hook(tab, "position")
            at = events[0].time + value / 10000 * (events[-1].time - events[0].time)
            assert position == sum(event.time <= at for event in events) < len(events)
            told, wanted = await hook(tab, "figures"), figures(events[:position])
            assert (told["critical_steps"], told["total_steps"]) == (wanted.critical_steps, wanted.total_steps)
            assert told["serial_seconds"] == pytest.approx(wanted.serial_seconds)
        await until(tab, "document.getElementById('status').textContent === 'replay'")
        await tab.select_option("#speed-choice", "100")
        await tab.click("#play")
        await until(tab, f"window.manyeyes.position === {len(events)}")
        assert (await hook(tab, "figures"))["critical_steps"] == figures(events).critical_steps
        await tab.click("#live")
        await until(tab, "window.manyeyes.live && document.getElementById('status').textContent === 'finished'")

    browser.show(write_journal(tmp_path / "run", events), work)


def test_pause_stop_and_steer_reach_the_run(browser, tmp_path) -> None:
    events, control = fake_events(5, seed=2, ended=False), Recorder()
    alive = (
        {event.agent for event in events} - {event.agent for event in events if event.kind == "agent.finished"} - {""}
    )
    chosen = sorted(alive - {"main"})[0]

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, len(events))
        page.limiter = Limiter(8)
        page.limiter.pause("no money")
        await until(tab, "document.getElementById('waits').textContent === '0 out of quota'")
        await tab.click("#pause")
        await until(tab, "document.getElementById('pause').textContent === 'Go on'")
        await tab.click("#pause")
        await until(tab, "document.getElementById('pause').textContent === 'Pause'")
        await tab.locator("#tree .row", has_text=f"#{chosen.removeprefix('main/')} ").first.click()
        await until(tab, "document.getElementById('agent-title').textContent.startsWith('#')")
        await tab.fill("#say", "look at <b>that</b> page")
        await tab.press("#say", "Enter")
        await until(tab, "document.getElementById('say').value === ''")
        await tab.click("#stop")
        assert control.told[-1].startswith("say"), "a stop is asked for twice"
        await tab.click("#stop")
        await until(tab, "document.getElementById('said').textContent === 'Stopping.'")
        await tab.click("#stop-all")
        await tab.click("#stop-all")
        while len(control.told) < 5:
            await asyncio.sleep(0.01)
        assert control.told == [
            "pause", "go on", f"say {chosen}: look at <b>that</b> page", f"cancel {chosen}", "cancel main"
        ]  # fmt: skip

    browser.show(write_journal(tmp_path / "run", events), work, control)


EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def hostile(folder: Path) -> Path:
    """A run in which every text that a model or a page can choose is an attack."""
    with Journal(folder) as journal:
        journal.append("run.started", mode=EVIL, model=EVIL)
        after = (journal.append("agent.created", agent="main", role="", prompt=EVIL, task="main", call="").seq,)
        journal.append("agent.began", agent="main", after=after, messages=[
            {"role": "system", "content": EVIL},
            {"role": "user", "content": [EVIL, {"image": journal.blob(b"no picture")}]},
        ])  # fmt: skip
        asked = journal.append("llm.started", agent="main", model=EVIL, turn=0)
        calls = [["0.0", "assign_task", EVIL], ["0.1", EVIL, json.dumps({EVIL: EVIL})]]
        message = {"role": "assistant", "content": EVIL, "reasoning": f"{EVIL}\n- fact | {EVIL} | {EVIL} | {EVIL} | 1 | javascript:window.hacked=1", "calls": calls}  # fmt: skip # noqa: E501
        usage = {"usage": [1, 1, 0, 0.1], "seconds": 1.0, "waited": 0.0, "attempts": 1}
        journal.append("llm.finished", agent="main", after=(asked.seq,), turn=0, message=message, **usage)
        for place, _, name in (("0.0", "", "assign_task"), ("0.1", "", EVIL)):
            journal.append("tool.started", agent="main", place=place, id=place, name=name, arguments=EVIL)
        journal.append("agent.created", agent="main/0", role=EVIL, prompt=EVIL, task=EVIL, call="0.0")
        table = f"| {EVIL} | {EVIL}b |\n|---|---|\n| {EVIL} | {EVIL} |"
        outcome = {"stop": "error", "reason": EVIL, "text": table, "steps": 0, "turns": 0}
        journal.append("agent.finished", agent="main/0", outcome=outcome)
        result = {
            "parts": [EVIL],
            "failure": "crash",
            "data": {"page": "javascript:alert(1)", "title": EVIL},
            "steps": 1,
        }
        journal.append("tool.finished", agent="main", place="0.1", id="x", name=EVIL, seconds=1.0, result=result)
        journal.append("llm.failed", agent="main", cause=EVIL, status=1, why=EVIL)
        journal.append(EVIL[:40], agent="main")
        journal.append("run.paused", reason=EVIL)
    (folder / "config.json").write_text(json.dumps({"task": EVIL, "mode": EVIL, "model": EVIL}))
    (folder / "artefacts").mkdir()
    (folder / "artefacts" / EVIL.replace("/", "-")).write_text(EVIL)
    return folder


async def untouched(tab: Any) -> None:
    """Look at everything, and find that nothing of it ran."""
    await loaded(tab, 13)
    await tab.wait_for_selector("#transcript .message")
    for opened in await tab.locator("details").all():
        await opened.evaluate("(one) => { one.open = true; }")
    await tab.wait_for_selector("#table button:enabled")
    await tab.locator("#table button:enabled").first.click()
    await tab.wait_for_selector("#cell .value")
    await tab.click("#tab-roles")
    await tab.wait_for_selector("#roles text")
    assert EVIL in await tab.inner_text("#transcript") and EVIL[:30] in await tab.inner_text("#tree")
    assert await tab.evaluate("window.hacked") is None
    assert await tab.locator("body img:not([alt]), main script, a[href^=javascript]").count() == 0


def test_what_models_and_pages_write_stays_text(browser, tmp_path) -> None:
    folder = hostile(tmp_path / "run")

    async def work(tab: Any, page: SwarmPage) -> None:
        await untouched(tab)
        await tab.wait_for_selector("#files a")
        assert EVIL.replace("/", "-") in await tab.inner_text("#files")

    browser.show(folder, work)

    async def exported() -> None:
        (tmp_path / "run.html").write_bytes(export_html(folder))
        async with browser.tab((tmp_path / "run.html").as_uri()) as tab:
            await untouched(tab)

    browser.run(exported())


def test_pictures_that_agents_saw_are_shown_live_and_in_the_export(browser, tmp_path) -> None:
    with Journal(tmp_path / "run") as journal:
        out = io.BytesIO()
        Image.new("RGB", (40, 30), (200, 30, 30)).save(out, "PNG")
        name = journal.blob(out.getvalue())
        after = (journal.append("agent.created", agent="main", role="", prompt="look", task="main", call="").seq,)
        messages = [{"role": "user", "content": ["look at this", {"image": name}, {"video": [name, name], "fps": 1.0}]}]
        journal.append("agent.began", agent="main", after=after, messages=messages)
    seen = "[...document.querySelectorAll('#transcript img')].filter((one) => one.naturalWidth === 40).length === 3"

    async def work(tab: Any, page: SwarmPage) -> None:
        await until(tab, seen)

    browser.show(tmp_path / "run", work)
    (tmp_path / "run.html").write_bytes(export_html(tmp_path / "run"))

    async def exported() -> None:
        async with browser.tab((tmp_path / "run.html").as_uri(), offline=True) as tab:
            await until(tab, seen)

    browser.run(exported())


def test_cells_fill_in_know_their_sources_and_flag_disagreement(browser, tmp_path) -> None:
    events = fake_events(6, seed=3)
    place = next(
        event.seq for event in events if event.kind == "llm.finished" and "/" in event.agent and event.data["turn"]
    )
    row = events[place].data["message"]["reasoning"].split(" | ")
    other = msgspec.json.decode(msgspec.json.encode(events[place].data))
    other["message"]["reasoning"] = " | ".join([*row[:3], "another value", "2019-01-01", "https://old.example/"])
    events[place + 1 :] = [
        Event(place + 1, "llm.finished", events[place].time, "main/5", (place,), other),
        *(msgspec.structs.replace(event, seq=event.seq + 1, after=tuple(n + (n > place) for n in event.after))
          for event in events[place + 1 :]),
    ]  # fmt: skip

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, len(events))
        await until(tab, "document.querySelectorAll('#table .answer').length === 18")
        heads = await tab.locator("#table-head span").all_text_contents()
        assert heads == ["Name", "Place", "Founded", "Members"]
        assert await tab.locator("#table .disagree").count() == 1
        assert "6 rows, 18 cells, 1 with" in await tab.inner_text("#table-count")
        await tab.click("#table .disagree button")
        said = await tab.inner_text("#cell")
        for part in (
            row[1],
            row[2],
            "another value",
            "https://old.example/",
            "noted, page of 2019-01-01",
            "in the answer",
        ):
            assert part in said, part
        await tab.locator("#cell .link").last.click()
        await until(tab, "document.getElementById('agent-title').textContent.startsWith('#5')")
        await tab.press("#cell", "Escape")
        assert await tab.locator("#cell:visible").count() == 0

    browser.show(write_journal(tmp_path / "run", events), work)


def test_a_run_is_watched_as_it_is_written_and_so_is_the_next(browser, tmp_path) -> None:
    events = fake_events(3, seed=6)
    first, second = tmp_path / "first", tmp_path / "second"

    def grow(journal: Journal, upto: int) -> None:
        for event in events[journal.count : upto]:
            journal.append(event.kind, agent=event.agent, after=event.after, **event.data)

    async def work(tab: Any, page: SwarmPage) -> None:
        with Journal(first) as journal:
            journal.listen(page.take)
            for upto in (1, 9, 30, len(events)):
                grow(journal, upto)
                await until(tab, f"window.manyeyes && window.manyeyes.events === {upto}")
        await until(tab, "document.getElementById('status').textContent === 'finished'")
        page.show(second)
        with Journal(second) as journal:
            journal.listen(page.take)
            grow(journal, 20)
            await until(tab, "document.getElementById('name').textContent === 'second'")
            await until(tab, "window.manyeyes.events === 20")
            await until(tab, "document.getElementById('status').textContent === 'live'")
        await tab.select_option("#runs", "0")
        await until(tab, f"window.manyeyes.events === {len(events)}")

    browser.show(first, work)


def test_a_page_that_lost_its_server_goes_on_where_it_was(browser, tmp_path) -> None:
    events = fake_events(4, seed=8)
    folder = write_journal(tmp_path / "run", events[:40])

    async def work() -> None:
        page = SwarmPage(folder, token="the-token-of-a-test")
        await page.__aenter__()
        port = int(page.url.split(":")[2].split("/")[0])
        context = await browser.chromium.new_context()
        tab = await context.new_page()
        await tab.goto(page.url)
        await tab.wait_for_url(page.url.partition("?")[0])
        await until(tab, "window.manyeyes && window.manyeyes.events === 40")
        await page.__aexit__()
        await until(tab, "!document.getElementById('offline').hidden")
        write_journal(folder, events)
        async with SwarmPage(folder, port=port, token="the-token-of-a-test"):
            await until(tab, f"window.manyeyes.events === {len(events)}")
            await until(tab, "document.getElementById('offline').hidden")
        await context.close()

    browser.run(work())


def test_the_export_opens_offline_from_a_file_with_transcripts_and_replay(browser, tmp_path) -> None:
    events = fake_events(8, rounds=2, seed=5)
    folder = write_journal(tmp_path / "run", events)
    content = export_html(folder)
    (tmp_path / "run.html").write_bytes(content)

    async def work() -> None:
        async with browser.tab((tmp_path / "run.html").as_uri(), offline=True) as tab:
            await loaded(tab, len(events))
            told, wanted = await hook(tab, "figures"), figures(events)
            assert (told["critical_steps"], told["total_steps"]) == (wanted.critical_steps, wanted.total_steps)
            await tab.locator("#tree .row", has_text="#3 ").first.click()
            await until(tab, "document.getElementById('agent-title').textContent.startsWith('#3')")
            await tab.wait_for_selector("#transcript .call .result")
            assert "Turn 0 of main/3." in await tab.inner_text("#transcript")
            assert not await tab.locator(".control:visible, #export:visible").count()
            await tab.select_option("#speed-choice", "100")
            await tab.click("#play")
            await until(tab, f"window.manyeyes.position === {len(events)}")

    browser.run(work())
    assert b"http://" not in content.partition(b"<script")[0], "nothing is loaded from anywhere"
    assert len(content) < 300_000


def test_the_page_fits_small_and_large_screens_and_keys_move_through_it(browser, tmp_path) -> None:
    events = fake_events(12, seed=7)

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, len(events))
        for width, height in ((1280, 800), (1920, 1080)):
            await tab.set_viewport_size({"width": width, "height": height})
            await until(tab, f"document.documentElement.clientWidth === {width}")
            assert await tab.evaluate(
                "document.body.scrollWidth <= innerWidth && document.body.scrollHeight <= innerHeight"
            )
        await tab.focus("#tree")
        await tab.keyboard.press("ArrowDown")
        await until(tab, "document.getElementById('agent-title').textContent.startsWith('#0')")
        await tab.focus("#timeline")
        whole = await hook(tab, "points")
        await tab.keyboard.press("+")
        assert await hook(tab, "points") != whole
        await tab.keyboard.press("0")
        assert await hook(tab, "points") == whole
        unnamed = await tab.evaluate(
            "[...document.querySelectorAll('button, input, select, [tabindex=\"0\"]')].filter((one) =>"
            " one.offsetParent && !one.textContent.trim() && !one.getAttribute('aria-label')).length"
        )
        assert unnamed == 0

    browser.show(write_journal(tmp_path / "run", events), work)


def test_a_thousand_agents_scroll_smoothly_while_events_pour_in(browser, tmp_path) -> None:
    events = fake_events(1000, seed=1)
    lines = [msgspec.json.encode(event) + b"\n" for event in events]
    folder = write_journal(tmp_path / "run", events[: len(events) // 2])
    counted: list[dict[str, float]] = []

    async def pour(page: SwarmPage) -> None:
        """The other half of the journal within some three seconds."""
        with (folder / "events.jsonl").open("ab", buffering=0) as file:
            for place in range(len(events) // 2, len(events), 600):
                file.write(b"".join(lines[place : place + 600]))
                for event in events[place : place + 600]:
                    page.take(event)
                await asyncio.sleep(0.1)

    async def work(tab: Any, page: SwarmPage) -> None:
        await loaded(tab, len(events) // 2)
        assert await tab.locator("#heat:visible").count() == 1
        assert await tab.locator("#tree .row").count() < 80, "rows out of sight do not exist"
        pouring = asyncio.ensure_future(pour(page))
        counted.extend([await tab.evaluate(FRAMES, [1000, 37]) for _ in range(3)])
        await pouring
        await loaded(tab, len(events))
        assert (await hook(tab, "figures"))["critical_steps"] == figures(events).critical_steps

    browser.show(folder, work)
    rates = [one["frames"] / one["seconds"] for one in counted]
    assert max(rates) >= 30, f"{counted}: what else runs on a machine only takes frames away"


def test_the_modules_can_stand_in_one_file() -> None:
    """The export puts them behind one another: no name may be there twice, and none may still import or export."""
    names: dict[str, int] = {}
    for line in bundle("app.js").splitlines():
        assert not line.startswith(("import ", "export ")), line
        words = line.replace("async ", "").split("(")[0].split("=")[0].split()
        if words and words[0] in ("const", "let", "class", "function") and not line.startswith(" "):
            names[words[1]] = names.get(words[1], 0) + 1
    assert len(names) > 30 and [name for name, count in names.items() if count > 1] == []
