"""What the live page serves, and to whom it serves nothing: every test speaks HTTP to a page that really listens."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest

from manyeyes.agent.limiter import Limiter
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event, Journal
from manyeyes.view.swarm_page import SwarmPage
from manyeyes.view.swarm_page_fake import fake_events, write_journal

TOKEN = "a-token-of-this-test"
PNG = bytes.fromhex("89504e470d0a1a0a") + b"the rest of a picture"
EVENTS = fake_events(4, seed=1)


class Recorder:
    """A control that writes down what it was told."""

    def __init__(self) -> None:
        self.paused, self.told = False, []

    def pause(self) -> None:
        self.paused = True

    def go_on(self) -> None:
        self.paused = False

    def cancel(self, agent: str = "main") -> None:
        self.told.append(("cancel", agent))

    def say(self, agent: str, text: str) -> None:
        self.told.append(("say", agent, text))


class Client:
    """Requests to one page, with its token unless told otherwise."""

    def __init__(self, session: aiohttp.ClientSession, page: SwarmPage) -> None:
        self.session, self.page = session, page
        self.base = page.url.partition("/?")[0]

    async def ask(self, path: str, *, method: str = "GET", token: str | None = TOKEN, **options):
        headers = options.pop("headers", {}) | ({} if token is None else {"Authorization": f"Bearer {token}"})
        async with self.session.request(
            method, self.base + path, headers=headers, allow_redirects=False, **options
        ) as answer:
            return answer.status, answer.headers, await answer.read()

    async def tell(self, action: str, *, agent: str = "", text: str = "", origin: str | None = "") -> int:
        headers = {} if origin is None else {"Origin": origin or self.base}
        body = {"action": action, "agent": agent, "text": text}
        return (await self.ask("/api/control", method="POST", json=body, headers=headers))[0]

    async def frames(self, path: str, *, until: int, headers: dict[str, str] | None = None) -> list[tuple[str, object]]:
        """Server-sent events until one has told of the event with this number."""
        found: list[tuple[str, object]] = []
        headers = (headers or {}) | {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.get(self.base + path, headers=headers) as answer, asyncio.timeout(20):
            kind = ""
            async for line in answer.content:
                if line.startswith(b"event: "):
                    kind = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    found.append((kind, json.loads(line[6:])))
                    if kind == "events" and found[-1][1][-1][0] >= until:
                        return found
        return found


def served(work: Callable[[Client], Awaitable[None]], folder: Path, control=None, **options) -> None:
    """Run `work` beside a page."""

    async def run() -> None:
        async with SwarmPage(folder, control, token=TOKEN, **options) as page, aiohttp.ClientSession() as session:
            await work(Client(session, page))

    asyncio.run(run())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_journal(tmp_path / "run", EVENTS)


PATHS = (
    "/", "/app.js", "/page.css", "/api/runs", "/api/runs/0/events", "/api/runs/0/agent?name=main",
    "/api/runs/0/files?name=main",
    "/api/runs/0/file?name=main&path=/artefacts/a", "/api/runs/0/blobs/" + "0" * 64, "/api/runs/0/export", "/nothing",
    "/v1/models", "/v1/chat/completions",
)  # fmt: skip


def test_nobody_without_the_token_gets_anything(folder) -> None:
    async def work(client: Client) -> None:
        for path in PATHS:
            for token in (None, "another-token-entirely", ""):
                status, headers, body = await client.ask(path, token=token)
                assert status == 401 and "main" not in body.decode() and headers["Cache-Control"] == "no-store", path
                assert "Set-Cookie" not in headers
        for path in PATHS:
            status, *_ = await client.ask(path, method="POST", token=None, json={"model": "m", "messages": []})
            assert status == 401
        assert (await client.ask("/?token=wrong", token=None))[0] == 401

    served(work, folder)


def test_curl_and_the_openai_client_get_nothing_without_the_token(folder) -> None:
    curl = shutil.which("curl")

    async def work(client: Client) -> None:
        if curl is not None:
            command = [curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"]
            made = await asyncio.to_thread(subprocess.run, [*command, client.base + "/api/runs"], capture_output=True)
            assert made.stdout == b"401"
            keyed = [*command, "-H", f"Authorization: Bearer {TOKEN}", client.base + "/api/runs"]
            assert (await asyncio.to_thread(subprocess.run, keyed, capture_output=True)).stdout == b"200"
        try:
            from openai import APIStatusError, AsyncOpenAI
        except ImportError:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}  # what that client would send
            status, *_ = await client.ask("/v1/chat/completions", method="POST", token="sk-none", json=body)
            assert status == 401
            return
        async with AsyncOpenAI(base_url=client.base + "/v1", api_key="sk-none", max_retries=0) as openai:
            with pytest.raises(APIStatusError) as refused:
                await openai.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
            assert refused.value.status_code == 401

    served(work, folder)


def test_the_token_in_the_address_becomes_a_cookie_that_no_script_and_no_other_site_has(folder) -> None:
    async def work(client: Client) -> None:
        status, headers, _ = await client.ask(f"/?token={TOKEN}", token=None)
        cookie = headers["Set-Cookie"]
        assert status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
        kept = cookie.partition(";")[0]
        assert (await client.ask("/", token=None, headers={"Cookie": kept}))[0] == 200
        assert (await client.ask("/", token=None, headers={"Cookie": kept.replace(TOKEN, "x" * 20)}))[0] == 401

    served(work, folder)


def test_other_names_and_other_sites_are_refused_even_with_the_token(folder) -> None:
    async def work(client: Client) -> None:
        port = client.base.rpartition(":")[2]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{int(port) + 1}", ""):
            assert (await client.ask("/", headers={"Host": host}))[0] in (400, 403), host
        assert (await client.ask("/", headers={"Host": f"localhost:{port}"}))[0] == 200
        for origin in ("https://evil.example", f"http://127.0.0.1:{int(port) + 1}", "null"):
            assert (await client.ask("/api/runs", headers={"Origin": origin}))[0] == 403, origin
        for site in ("cross-site", "same-site"):
            assert (await client.ask("/api/runs", headers={"Sec-Fetch-Site": site}))[0] == 403

    served(work, folder)


def test_every_answer_forbids_foreign_scripts_frames_and_caches(folder) -> None:
    blob = Journal(folder / "other").blob(PNG)
    shutil.copytree(folder / "other" / "blobs", folder / "blobs", dirs_exist_ok=True)

    async def work(client: Client) -> None:
        for path in (
            "/",
            "/app.js",
            "/api/runs",
            "/api/runs/0/agent?name=main",
            f"/api/runs/0/blobs/{blob}",
            "/nothing",
        ):
            _, headers, _ = await client.ask(path)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        status, headers, body = await client.ask(f"/api/runs/0/blobs/{blob}")
        assert status == 200 and body == PNG and headers["Content-Type"] == "image/png"
        assert "sandbox" in headers["Content-Security-Policy"]
        assert (await client.ask("/api/runs/0/blobs/" + "f" * 64))[0] == 404
        assert (await client.ask("/api/runs/0/blobs/..%2Fevents.jsonl"))[0] == 404

    served(work, folder)


def test_files_of_agents_are_downloads_and_nothing_else_of_the_disk_is(folder, tmp_path) -> None:
    (folder / "artefacts").mkdir()
    (folder / "work" / "main-1").mkdir(parents=True)
    (folder / "artefacts" / "page.html").write_text("<script>alert(1)</script>")
    (folder / "work" / "main-1" / "notes.md").write_text("mine")
    (tmp_path / "secret").write_text("what nobody may see")
    (folder / "artefacts" / "link").symlink_to(tmp_path / "secret")
    (folder / "artefacts" / "folder").symlink_to(tmp_path)

    async def work(client: Client) -> None:
        await client.ask("/api/runs/0/agent?name=main")
        *_, body = await client.ask("/api/runs/0/files?name=main/1")
        assert [path for path, _ in json.loads(body)] == ["/artefacts/page.html", "/workspace/notes.md"]
        status, headers, body = await client.ask("/api/runs/0/file?name=main/1&path=/artefacts/page.html")
        assert status == 200 and body == b"<script>alert(1)</script>"
        assert headers["Content-Disposition"].startswith("attachment")
        assert headers["Content-Type"] == "application/octet-stream" and "sandbox" in headers["Content-Security-Policy"]
        for path in ("/artefacts/link", "/artefacts/folder/secret", "/artefacts/../events.jsonl", "/etc/passwd", "",
                     "../events.jsonl", "/workspace/../../config.json", "/artefacts", "/artefacts/none"):  # fmt: skip
            status, _, body = await client.ask("/api/runs/0/file", params={"name": "main/1", "path": path})
            assert status == 404 and b"nobody may" not in body, path
        for name in ("../..", "main/../..", "nobody"):
            params = {"name": name, "path": "/workspace/notes.md"}
            assert (await client.ask("/api/runs/0/file", params=params))[0] == 404

    served(work, folder)


def test_a_file_that_is_cut_while_it_is_sent_ends_its_connection(folder) -> None:
    (folder / "artefacts").mkdir()
    large = folder / "artefacts" / "large"
    large.write_bytes(bytes(64 << 20))

    async def work(client: Client) -> None:
        await client.ask("/api/runs/0/agent?name=main")
        place = client.base.removeprefix("http://")
        head = f"Host: {place}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        reader, writer = await asyncio.open_connection(*place.split(":"))
        writer.write(f"GET /api/runs/0/file?name=main&path=/artefacts/large HTTP/1.1\r\n{head}".encode())
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        os.truncate(large, 0)
        writer.write(f"GET /api/runs HTTP/1.1\r\n{head}".encode())  # its answer is no part of the file
        body = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(30):
                body = await reader.read()
        assert not body.strip(b"\0")
        writer.close()

    served(work, folder)


def test_numbers_that_no_event_has_are_none(folder) -> None:
    async def work(client: Client) -> None:
        many = "9" * 5_000
        assert (await client.ask(f"/api/runs/{many}/agent"))[0] == 404
        assert (await client.ask(f"/api/runs/0/agent?name=main&after={many}"))[0] == 200

    served(work, folder)


def test_a_stream_goes_on_from_the_number_that_a_client_has(folder) -> None:
    last = len(EVENTS) - 1

    async def work(client: Client) -> None:
        whole = [
            one
            for kind, batch in await client.frames("/api/runs/0/events", until=last)
            if kind == "events"
            for one in batch
        ]
        assert [event[0] for event in whole] == list(range(len(EVENTS)))
        rest = await client.frames("/api/runs/0/events?after=40", until=last)
        again = await client.frames("/api/runs/0/events", until=last, headers={"Last-Event-ID": "40"})
        for frames in (rest, again):
            told = [one for kind, batch in frames if kind == "events" for one in batch]
            assert told == whole[41:]

    served(work, folder)


def test_events_come_as_they_are_written_and_a_run_that_has_not_begun_is_waited_for(tmp_path) -> None:
    async def work(client: Client) -> None:
        listening = asyncio.ensure_future(client.frames("/api/runs/0/events", until=2))
        await asyncio.sleep(0)
        with Journal(tmp_path / "later") as journal:
            journal.listen(client.page.take)
            for number in range(3):
                journal.append("llm.started", agent="main", turn=number)
                await asyncio.sleep(0)
            frames = await listening
        assert [one[0] for kind, batch in frames if kind == "events" for one in batch] == [0, 1, 2]

    served(work, tmp_path / "later")


def test_a_client_that_does_not_read_holds_no_memory_and_nobody_up(tmp_path) -> None:
    big = [Event(number, "llm.failed", 1.0, "main", (), {"why": "x" * 150}) for number in range(60_000)]
    folder = write_journal(tmp_path, big)

    async def work(client: Client) -> None:
        async with client.session.get(client.base + "/api/runs/0/events", headers={"Authorization": f"Bearer {TOKEN}"}):
            (run,) = client.page._runs.runs
            frames = await client.frames("/api/runs/0/events?after=59990", until=59_999)
            assert [one[0] for kind, batch in frames if kind == "events" for one in batch][-1] == 59_999
            known = run.feed._starts.itemsize * len(run.feed._starts) + sum(
                one.itemsize * len(one) for one in run.feed.agents.values()
            )
            assert known < 1.1e6, "numbers of lines, not lines"

    served(work, folder)


def test_control_reaches_the_run_and_only_from_this_page(folder) -> None:
    control = Recorder()

    async def work(client: Client) -> None:
        assert await client.tell("pause") == 200 and control.paused
        assert await client.tell("go_on") == 200 and not control.paused
        assert await client.tell("cancel", agent="main/1") == 200
        assert await client.tell("say", agent="main/2", text=" look again ") == 200
        assert control.told == [("cancel", "main/1"), ("say", "main/2", "look again")]
        assert await client.tell("cancel", agent="nobody") == 404
        assert await client.tell("say", agent="main", text="  ") == 400
        assert await client.tell("say", agent="main", text="x" * 20_001) == 400
        assert await client.tell("explode") == 400
        assert await client.tell("pause", origin=None) == 403
        assert await client.tell("pause", origin="https://evil.example") == 403
        headers = {"Origin": client.base, "Content-Type": "text/plain"}  # what a form of another page could send
        assert (await client.ask("/api/control", method="POST", data=b'{"action":"pause"}', headers=headers))[0] == 415
        assert not control.paused and len(control.told) == 2

    served(work, folder, control)


def test_a_run_that_is_over_or_anothers_is_not_steered(folder) -> None:
    async def work(client: Client) -> None:
        assert await client.tell("pause") == 409
        client.page.attach(Recorder())
        assert await client.tell("pause") == 200
        client.page.take(Event(len(EVENTS), "run.finished", 1.0))
        assert await client.tell("pause") == 409

    served(work, folder)


def test_vitals_tell_of_runs_queue_and_pause(folder, tmp_path) -> None:
    control, limiter = Recorder(), Limiter(3)
    limiter.pause("no money")

    async def work(client: Client) -> None:
        vitals = json.loads((await client.ask("/api/runs"))[2])
        assert vitals["queue"] == {"queued": 0, "in_flight": 0, "state": "paused"} and vitals["steerable"]
        assert vitals["runs"][0]["asked"]["mode"] == "swarm" and "endpoint" not in vitals["runs"][0]["asked"]
        client.page.show(tmp_path / "next")
        client.page.show(write_journal(tmp_path / "last", EVENTS), control)
        runs = json.loads((await client.ask("/api/runs"))[2])["runs"]
        assert [run["id"] for run in runs] == [0, 2], "a run that never began is not offered"
        assert (
            (await client.ask("/api/runs/0/agent?name=main"))[0]
            == 200
            == (await client.ask("/api/runs/2/agent?name=main"))[0]
        )
        assert (
            (await client.ask("/api/runs/7/agent?name=main"))[0] == 404 == (await client.ask("/api/runs/-1/export"))[0]
        )

    served(work, folder, control, limiter=limiter)


def test_whole_events_of_one_agent_come_from_a_number_on(folder) -> None:
    own = [event for event in EVENTS if event.agent == "main/2"]

    async def work(client: Client) -> None:
        *_, body = await client.ask("/api/runs/0/agent?name=main/2")
        assert msgspec.json.decode(body, type=list[Event]) == own
        *_, body = await client.ask(f"/api/runs/0/agent?name=main/2&after={own[3].seq}")
        assert msgspec.json.decode(body, type=list[Event]) == own[4:]
        assert json.loads((await client.ask("/api/runs/0/agent?name=<b>"))[2]) == []

    served(work, folder)


def test_a_damaged_journal_is_told_and_not_a_crash(folder) -> None:
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b"no event\n")

    async def work(client: Client) -> None:
        frames = await client.frames("/api/runs/0/events", until=10**9)
        assert frames[-1][0] == "problem" and f"line {len(EVENTS) + 1}" in str(frames[-1][1])
        for path in ("/api/runs/0/agent?name=main", "/api/runs/0/export"):
            status, headers, body = await client.ask(path)
            assert status == 500 and b"is no event" in body and "Content-Security-Policy" in headers

    served(work, folder)


def test_a_port_that_is_taken_and_a_short_token_are_said(folder) -> None:
    async def run(port: int) -> None:
        async with SwarmPage(folder, port=port):
            pass

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot be used"):
            asyncio.run(run(taken.getsockname()[1]))
    with pytest.raises(ConfigError, match="16 characters"):
        SwarmPage(folder, token="short")
