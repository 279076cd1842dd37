"""What the page of a rollout run is answered; see `rollout_page` for the list.

Report: App. D (monitoring).
"""

import asyncio
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from manyeyes.core.trajectory_index import ORDERS
from manyeyes.core.trajectory_store import TrajectoryStore, TrajectoryStoreError, Wanted, WireError
from manyeyes.view.rollout_metrics import CONTENT_TYPE, metrics_text
from manyeyes.view.rollout_run import ShownRollouts
from manyeyes.view.rollout_trajectory import blob, outline, shown, tokens
from manyeyes.view.swarm_server import FILE_POLICY

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
SHARED = ("dom.js", "scroller.js")
"""Of the page of swarms, which has the same lists and elements."""
MOST_ROWS = 500
"""Trajectories that are listed at once."""
LONGEST_CHOICE = 200
"""Values of a filter that are offered."""
_JSON = msgspec.json.Encoder().encode


class RolloutRoutes:
    """The handlers.

    Args:
        run: that is shown.
    """

    def __init__(self, run: ShownRollouts) -> None:
        self.run = run
        self._static = {file.name: file for file in _assets()}

    @property
    def table(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get("/", self.static),
            web.get("/metrics", self.metrics),
            web.get("/{name}", self.static),
            web.get("/api/series", self.series),
            web.get("/api/choices", self.choices),
            web.get("/api/list", self.listed),
            web.get("/api/outline", self.outline),
            web.get("/api/tokens", self.tokens),
            web.get("/api/blobs/{blob}", self.blob),
        ]

    async def static(self, request: web.Request) -> web.StreamResponse:
        """A file of the page itself."""
        name = request.match_info.get("name") or "index.html"
        if name not in self._static:
            return web.Response(status=404, text="no such page")
        kind = TYPES.get(Path(name).suffix, "text/plain")
        return web.Response(body=self._static[name].read_bytes(), content_type=kind, charset="utf-8")

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """For Prometheus, which brings the token as `Authorization: Bearer`."""
        await asyncio.to_thread(self.run.refresh)
        body = metrics_text(self.run.series.latest, run=self.run.folder.resolve().name)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def series(self, request: web.Request) -> web.StreamResponse:
        """Snapshots that the page lacks, and how the run stands."""
        await asyncio.to_thread(self.run.refresh)
        part = self.run.series.since(_whole(request, "generation", -1), _whole(request, "have", 0))
        store = self.run.store
        return _json({
            "name": self.run.folder.resolve().name,
            "live": self.run.live,
            "generation": part.generation,
            "first": part.first,
            "rows": [msgspec.to_builtins(row, str_keys=True) for row in part.rows],
            "stored": 0 if store is None else len(store),
            "problem": shown(self.run.problem),
            "vocabulary": self.run.tokenizer is not None,
        })  # fmt: skip

    async def choices(self, request: web.Request) -> web.StreamResponse:
        """What the filters of the list offer."""
        offered = await asyncio.to_thread(_choices, self.run.store)
        return _json(offered | {"orders": list(ORDERS)})

    async def listed(self, request: web.Request) -> web.StreamResponse:
        """A part of the list, and how long it is."""
        if (store := self.run.store) is None:
            return _json({"count": 0, "rows": []})
        wanted = _wanted(request)
        found, count = await asyncio.to_thread(lambda: (store.matching(wanted), store.count(wanted)))
        rows = [shown(msgspec.structs.asdict(one)) | {"key": one.name} for one in found]
        return _json({"count": count, "offset": wanted.offset, "rows": rows})

    async def outline(self, request: web.Request) -> web.StreamResponse:
        """A trajectory without its tokens."""
        body = await self._read(request, lambda store, name: _JSON(outline(self.run, store, name)))
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async def tokens(self, request: web.Request) -> web.StreamResponse:
        """The tokens of a trajectory."""
        body = await self._read(request, lambda store, name: tokens(self.run, store, name))
        return web.Response(body=body, content_type="application/octet-stream")

    async def blob(self, request: web.Request) -> web.StreamResponse:
        """A picture."""
        try:
            body = blob(self._store, request.match_info["blob"])
        except TrajectoryStoreError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        return web.Response(body=body, content_type="image/png", headers={"Content-Security-Policy": FILE_POLICY})

    @property
    def _store(self) -> TrajectoryStore:
        if (store := self.run.store) is None:
            raise web.HTTPNotFound(text="no trajectory is there yet")
        return store

    async def _read(self, request: web.Request, work: Any) -> bytes:
        """Of one trajectory; what is not there, or cannot be read, is told."""
        store, name = self._store, request.query.get("name", "")
        if name not in store:
            raise web.HTTPNotFound(text="no such trajectory")
        try:
            return await asyncio.to_thread(work, store, name)
        except (TrajectoryStoreError, WireError) as error:
            raise web.HTTPConflict(text=str(error)) from error


def _assets() -> Iterator[Traversable]:
    here = files("manyeyes.view")
    yield from (here.joinpath("swarm_web", name) for name in SHARED)
    yield from (file for file in here.joinpath("rollout_web").iterdir() if file.is_file())


def _choices(store: TrajectoryStore | None) -> dict[str, Any]:
    if store is None:
        return {}
    return {
        column: shown(list(store.values(column).items())[:LONGEST_CHOICE])
        for column in ("environment", "stop", "failure")
    }


def _wanted(request: web.Request) -> Wanted:
    """What the address asks for; of a limit or an order that cannot be, the nearest that can."""
    asked = request.query
    order = asked.get("order", "newest")
    return Wanted(
        task=asked.get("task") or None,
        environment=asked.get("environment"),
        stop=asked.get("stop"),
        failure=asked.get("failure"),
        text=asked.get("text") or None,
        min_reward=_number(asked.get("min_reward", "")),
        max_reward=_number(asked.get("max_reward", "")),
        version=None if "version" not in asked else _whole(request, "version", 0),
        order=order if order in ORDERS else "newest",
        limit=min(max(_whole(request, "limit", MOST_ROWS), 0), MOST_ROWS),
        offset=max(_whole(request, "offset", 0), 0),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _whole(request: web.Request, key: str, otherwise: int) -> int:
    text = request.query.get(key, "")
    return int(text) if text.isdecimal() and len(text) <= 12 else otherwise


def _json(value: Any) -> web.Response:
    return web.Response(body=_JSON(value), content_type="application/json", charset="utf-8")
