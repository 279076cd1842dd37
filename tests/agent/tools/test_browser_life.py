"""How a browser begins and ends: nothing of it is left, whatever happened, and it sees nothing of its surroundings."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from manyeyes.agent.tools import browser_command, browser_folder, browser_process
from manyeyes.agent.tools.browser_command import BrowserConfig, installed_browser
from manyeyes.agent.tools.browser_folder import BrowserFolder
from manyeyes.agent.tools.browser_pool import BrowserPool
from manyeyes.core.errors import ConfigError

from .browser_site import BOTH, KINDS, Agent, Site, browser, descendants, left, with_site

CHILD = Path(__file__).parent / "browser_child.py"
GONE = 2.0
"""Seconds in which every process of a browser has to be gone."""


def gone_in_time(processes: dict[int, str]) -> bool:
    until = time.monotonic() + GONE
    while left(processes) and time.monotonic() < until:
        time.sleep(0.02)
    return not left(processes)


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_is_left_after_a_kill(kind: str) -> None:
    browser(kind)

    async def go() -> None:
        async with Site({"/": "<h1>page</h1><script>setInterval(() => fetch('/'), 50)</script>"}) as site:
            child = await asyncio.create_subprocess_exec(
                sys.executable, str(CHILD), kind, site.url, stdout=asyncio.subprocess.PIPE
            )
            assert child.stdout is not None and await child.stdout.readline() == b"ready \n"
            processes = descendants(child.pid)
            assert len(processes) > 4
            child.kill()
            await child.wait()
            assert gone_in_time(processes)

    asyncio.run(go())


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_is_left_after_close_even_of_a_browser_that_does_not_listen(kind: str) -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        assert (await agent("open", url=site.url)).failure == ""
        processes = descendants(os.getpid())
        main = [process for process in processes if _is_main(process)]
        assert main and len(processes) > 4
        for process in main:
            os.kill(process, signal.SIGSTOP)
        folder = pool._running.folder.path if pool._running is not None else Path("/")
        began = time.monotonic()
        await pool.close()
        assert gone_in_time({number: at for number, at in processes.items() if _is_browser(number)})
        assert time.monotonic() - began < 2 * GONE and not folder.exists()

    with_site(Site({"/": "<h1>page</h1>"}), browser(kind), go)


def test_a_driver_that_is_slow_to_start_is_waited_for_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is cancelled while it is half done; on a busy machine that half takes seconds."""

    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        monkeypatch.setattr(browser_process, "CLOSE_SECONDS", 0.01)
        before = set(descendants(os.getpid()))
        other = BrowserPool(pool.config, pool.guard)
        call = asyncio.create_task(Agent(other)("open", url=site.url))
        while not (new := {one for one in descendants(os.getpid()) if one not in before}):
            await asyncio.sleep(0.005)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await other.close()
        late = {number: at for number, at in descendants(os.getpid()).items() if number not in before}
        assert new and gone_in_time(late)

    with_site(Site({"/": "<h1>page</h1>"}), browser(), go)


def test_a_cancelled_start_and_a_cancelled_call_leave_nothing() -> None:
    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        for seconds in (0.05, 0.3, 0.6):
            before = set(descendants(os.getpid()))
            other = BrowserPool(pool.config, pool.guard)
            call = asyncio.create_task(Agent(other)("open", url=site.url))
            await asyncio.sleep(seconds)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await other.close()
            new = {number: at for number, at in descendants(os.getpid()).items() if number not in before}
            assert gone_in_time(new)

    with_site(Site({"/": "<h1>page</h1>"}), browser(), go)


def test_folders_of_the_dead_are_swept_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(browser_folder, "NEW_SECONDS", -1.0)
    living, dead = BrowserFolder(), BrowserFolder()
    (dead.path / "profile").mkdir()
    os.close(dead._lock)  # as a kill does
    (tmp_path / "manyeyes-browser-link").symlink_to(living.path)
    other = tmp_path / "something-else"
    other.mkdir()
    newest = BrowserFolder()
    assert living.path.exists() and other.exists() and newest.path.exists() and not dead.path.exists()
    living.close()
    living.close()
    assert not living.path.exists()


@pytest.mark.parametrize("kind", BOTH)
def test_the_browser_sees_no_key(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", "sk-hidden")

    async def go(site: Site, pool: BrowserPool, agent: Agent) -> None:
        await agent("open", url=site.url)
        mains = [process for process in descendants(os.getpid()) if _is_main(process)]
        assert mains
        for process in mains:
            assert b"sk-hidden" not in Path(f"/proc/{process}/environ").read_bytes()
            if kind == KINDS[0]:  # no folders of ours, no other network than its own loopback, no capabilities
                root = Path(f"/proc/{process}/root")
                assert not any((root / name).exists() for name in ("etc/passwd", "etc/hostname", "var", "root/.bashrc"))
                assert not (root / str(CHILD).lstrip("/")).exists() and not (root / "root" / ".ssh").exists()
                assert _interfaces(process) == ["lo"]
                assert "CapEff:\t0000000000000000" in Path(f"/proc/{process}/status").read_text()

    with_site(Site({"/": "<h1>page</h1>"}), browser(kind), go)


def test_a_browser_that_cannot_be_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "network of its own" in browser().isolation
    assert "without" in BrowserConfig("x", unsafe=True).isolation
    with pytest.raises(ConfigError, match="no program at /nowhere"):
        installed_browser(chromium="/nowhere", unsafe=True)
    monkeypatch.setattr(browser_command, "PROGRAMS", ())
    with pytest.raises(ConfigError, match="apt-get install chromium"):
        installed_browser(unsafe=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigError, match="apt-get install bubblewrap"):
        BrowserConfig("/usr/bin/true")
    with pytest.raises(ConfigError, match="at least 1"):
        BrowserConfig("/usr/bin/true", unsafe=True, contexts=0)


def test_a_program_that_is_no_browser_says_so() -> None:
    config = replace(browser(), chromium="/usr/bin/false")

    async def go() -> None:
        pool = BrowserPool(config)
        with pytest.raises(ConfigError, match="/usr/bin/false does not start"):
            await pool.open()
        await pool.close()

    asyncio.run(go())


def _is_main(process: int) -> bool:
    words = _words(process)
    return "--remote-debugging-pipe" in words and not any("bwrap" in word or "--type=" in word for word in words)


def _is_browser(process: int) -> bool:
    return any(name in word for word in _words(process) for name in ("chromium", "bwrap", "browser_relay"))


def _words(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _interfaces(process: int) -> list[str]:
    lines = Path(f"/proc/{process}/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]
