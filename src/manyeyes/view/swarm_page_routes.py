"""What the live page's server answers; see `swarm_page` for the list.

Everything that is shown is read from the journal's file, so a page opened late, after a break or beside another process
shows the same. A client that reads slowly waits at its own place in the file.

Report: none.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from manyeyes.agent.workspace import PathRefused
from manyeyes.core.journal import JournalError, read_blob
from manyeyes.view.swarm_export import export_html
from manyeyes.view.swarm_page_events import thin
from manyeyes.view.swarm_page_files import disposition, files_of, opened, picture_type
from manyeyes.view.swarm_page_runs import Control, ShownRun, ShownRuns
from manyeyes.view.swarm_server import FILE_POLICY, protect

BATCH, BATCH_SECONDS, IDLE_SECONDS, HEARTBEAT_SECONDS = 2000, 0.1, 0.5, 10.0
"""Events sent at once, shortest time between batches, how often a file that nobody tells us about is looked at, and the
longest silence."""
LONGEST_SAID = 20_000
"""Characters that a person may say to an agent at once."""
MOST_DIGITS = 15
PIECE = 2**18
"""Bytes of a file that are sent at once."""
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
BYTES = "application/octet-stream"
_JSON = msgspec.json.Encoder().encode


class Routes:
    """The handlers.

    Args:
        runs: that can be asked for.
    """

    def __init__(self, runs: ShownRuns) -> None:
        self.runs, self.closed = runs, False

    @property
    def table(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get("/", self.static),
            web.get("/{name}", self.static),
            web.get("/api/runs", self.listed),
            web.get("/api/runs/{run}/events", self.events),
            web.get("/api/runs/{run}/agent", self.agent),
            web.get("/api/runs/{run}/files", self.files),
            web.get("/api/runs/{run}/file", self.file),
            web.get("/api/runs/{run}/blobs/{blob}", self.blob),
            web.get("/api/runs/{run}/export", self.export),
            web.post("/api/control", self.control),
        ]

    async def static(self, request: web.Request) -> web.StreamResponse:
        """A file of the page itself."""
        name = request.match_info.get("name") or "index.html"
        found = {file.name: file for file in files("manyeyes.view").joinpath("swarm_web").iterdir() if file.is_file()}
        if name not in found:
            return web.Response(status=404, text="no such page")
        kind = TYPES.get(Path(name).suffix, "text/plain")
        return web.Response(body=found[name].read_bytes(), content_type=kind, charset="utf-8")

    async def listed(self, request: web.Request) -> web.StreamResponse:
        """The runs, and the vitals of the current one."""
        return _json(self.runs.vitals(self.runs.current))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events from a number on."""
        run, more = self._run(request), self.runs.listen()
        had = request.headers.get("Last-Event-ID", "")
        first = max(_after(request), _whole(had)) + 1
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        protect(response)
        try:
            await response.prepare(request)
            await self._send(response, run, first, more)
        except ConnectionError:
            pass  # the browser is gone; it asks again from where it was
        except JournalError as error:
            with suppress(ConnectionError):
                await response.write(_frame("problem", _JSON(str(error))))
        finally:
            self.runs.forget(more)
        return response

    async def _send(self, response: web.StreamResponse, run: ShownRun, first: int, more: asyncio.Event) -> None:
        """Batches of events, and vitals whenever they change, until the browser or the server goes."""
        vitals, quiet_since = b"", time.monotonic()
        await response.write(b"retry: 1000\n\n")  # milliseconds until a browser that was cut off asks again
        while not self.closed:
            more.clear()
            run.feed.refresh()
            if events := run.feed.events(first, most=BATCH):
                first = events[-1].seq + 1
                await response.write(_frame("events", _JSON([thin(event) for event in events]), id=events[-1].seq))
            if (now := _JSON(self.runs.vitals(run))) != vitals:
                vitals = now
                await response.write(_frame("vitals", vitals))
            elif not events and time.monotonic() - quiet_since > HEARTBEAT_SECONDS:
                await response.write(b": still here\n\n")
            elif not events:
                await _wait(more, IDLE_SECONDS)
                continue
            quiet_since = time.monotonic()
            if first >= run.feed.count:
                await asyncio.sleep(BATCH_SECONDS)

    async def agent(self, request: web.Request) -> web.StreamResponse:
        """Whole events of one agent from a number on, as many as fit into one answer."""
        feed = self._run(request).feed
        feed.refresh()
        return _json(feed.of_agent(request.query.get("name", ""), _after(request) + 1))

    async def files(self, request: web.Request) -> web.StreamResponse:
        """Names and sizes of files that an agent can see."""
        run, agent = self._run(request), request.query.get("name", "")
        if agent not in run.feed.agents:
            return web.Response(status=404, text="no such agent")
        found = await asyncio.to_thread(files_of, run.folder, agent)  # agents can make folders by the ten thousand
        return _json([[entry.path, entry.size] for entry in found])

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file that an agent wrote, to be kept and not to be shown."""
        run, agent, path = self._run(request), request.query.get("name", ""), request.query.get("path", "")
        if agent not in run.feed.agents:
            return web.Response(status=404, text="no such agent")
        try:
            file, left = opened(run.folder, agent, path)
        except PathRefused as error:
            return web.Response(status=404, text=str(error))
        response = web.StreamResponse(headers=_kept(path) | {"Content-Type": BYTES})
        protect(response)
        response.content_length = left
        with file, suppress(ConnectionError):  # a browser that is gone
            await response.prepare(request)
            while left > 0 and (piece := file.read(min(left, PIECE))):
                left -= len(piece)
                await response.write(piece)
        if left and request.transport is not None:  # it was cut meanwhile: the next answer is not to pass for its rest
            request.transport.abort()
        return response

    async def blob(self, request: web.Request) -> web.StreamResponse:
        """A picture by its hash."""
        try:
            content = read_blob(self._run(request).folder, request.match_info["blob"])
        except JournalError as error:
            return web.Response(status=404, text=str(error))
        headers = {"Content-Security-Policy": FILE_POLICY}
        return web.Response(body=content, content_type=picture_type(content), headers=headers)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The run as one file."""
        folder = self._run(request).folder
        content = await asyncio.to_thread(export_html, folder)
        return web.Response(body=content, content_type=BYTES, headers=_kept(f"{folder.name}.html"))

    async def control(self, request: web.Request) -> web.StreamResponse:
        """Do what a person asks for to the current run."""
        run = self.runs.current
        if request.content_type != "application/json":
            return web.Response(status=415, text="expected JSON")
        try:
            wanted = msgspec.json.decode(await request.read(), type=dict[str, str])
        except msgspec.DecodeError as error:
            return web.Response(status=400, text=f"expected an object of texts: {error}")
        if (control := run.steers) is None:
            return web.Response(status=409, text="this run cannot be steered: it is over, or another process runs it")
        run.feed.refresh()
        if (refused := _refused(wanted, run)) is not None:
            return refused
        _acts(control, wanted)[wanted["action"]]()
        self.runs.wake()
        return _json({"paused": control.paused})

    def _run(self, request: web.Request) -> ShownRun:
        number = _whole(request.match_info["run"])
        if not 0 <= number < len(self.runs.runs):
            raise web.HTTPNotFound(text="no such run")
        return self.runs.runs[number]


def _acts(control: Control, wanted: dict[str, str]) -> dict[str, Callable[[], None]]:
    """What can be asked for."""
    return {
        "pause": control.pause,
        "go_on": control.go_on,
        "cancel": lambda: control.cancel(wanted["agent"]),
        "say": lambda: control.say(wanted["agent"], wanted["text"].strip()),
    }


def _refused(wanted: dict[str, str], run: ShownRun) -> web.Response | None:
    """What is wrong with what is asked for."""
    action, agent, text = (wanted.get(key, "") for key in ("action", "agent", "text"))
    if action not in ("pause", "go_on", "cancel", "say"):
        return web.Response(status=400, text="expected an action: pause, go_on, cancel or say")
    if action in ("cancel", "say") and agent not in run.feed.agents:
        return web.Response(status=404, text=f"no agent {agent!r}")
    if action == "say" and not 0 < len(text.strip()) <= LONGEST_SAID:
        return web.Response(status=400, text=f"say something, {LONGEST_SAID:,} characters at most")
    return None


def _kept(name: str) -> dict[str, str]:
    """Headers of what is kept in a file and never shown as a page of ours."""
    return {"Content-Disposition": disposition(name), "Content-Security-Policy": FILE_POLICY}


def _json(value: Any) -> web.Response:
    return web.Response(body=_JSON(value), content_type="application/json", charset="utf-8")


def _frame(kind: str, data: bytes, *, id: int | None = None) -> bytes:
    """One server-sent event; JSON has no line breaks."""
    number = b"" if id is None else b"id: %d\n" % id
    return number + b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def _after(request: web.Request) -> int:
    """The number of the last event that is known there; -1 for none."""
    return _whole(request.query.get("after", ""))


def _whole(given: str) -> int:
    """A whole number; -1 for anything else, such as one of more digits than an event can have."""
    return int(given) if given.isdecimal() and len(given) <= MOST_DIGITS else -1


async def _wait(more: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await more.wait()
    except TimeoutError:
        pass
