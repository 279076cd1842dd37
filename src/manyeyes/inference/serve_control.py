"""What a trainer does to a server, and what watches it.

    POST /pause {"hand_back"}   POST /resume   POST /update_weights {"path", "version", "hand_back"}
    GET /health                 GET /metrics

Weights are read from safetensors files below one folder that was named at the start; nothing that could run is loaded.

Report: App. D (weights that change under running rollouts).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from manyeyes.core.sampler import PolicySampler
from manyeyes.inference.serve_desk import Desk
from manyeyes.inference.serve_errors import ApiError, bad, json_response
from manyeyes.inference.serve_openai import body
from manyeyes.inference.serve_wire import read


class Pause(Struct, forbid_unknown_fields=True):
    """`POST /pause`."""

    hand_back: bool = False


class Update(Struct, forbid_unknown_fields=True):
    """`POST /update_weights`."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    version: Annotated[int, Meta(ge=0, le=2**62)]
    hand_back: bool = False


@dataclass(frozen=True, slots=True)
class WeightSource:
    """Where new weights may come from.

    Attributes:
        root: the folder that they lie below.
        read: the tensors of a checkpoint folder, by the names that the sampler knows; runs in a thread.
    """

    root: Path
    read: Callable[[Path], Mapping[str, Any]]

    def folder(self, name: str) -> Path:
        """The checkpoint folder of that name. Raises ApiError when it is none, or lies elsewhere."""
        root = self.root.resolve()
        try:
            folder = (root / name).resolve()
            inside = folder.is_relative_to(root) and folder.is_dir()
        except (OSError, ValueError, RuntimeError):
            inside, folder = False, root
        if not inside:
            raise bad("path must name a checkpoint folder below the server's --weights-root", "path")
        if not any(folder.glob("*.safetensors")):
            raise bad("that folder has no safetensors files; other forms of weights are not read", "path")
        return folder


class ControlRoutes:
    """See the module.

    Args:
        control: the sampler, where its pace and weights can be controlled.
        weights: where new ones may come from; None: nowhere.
    """

    def __init__(self, desk: Desk, control: PolicySampler | None, weights: WeightSource | None) -> None:
        self.desk, self.control, self.weights = desk, control, weights
        self.paused = False
        self._updating, self._pace = asyncio.Lock(), asyncio.Lock()

    @property
    def table(self) -> list[web.RouteDef]:
        """For the application."""
        watched = [web.get("/health", self.health), web.get("/metrics", self.metrics)]
        if self.control is None:
            return watched
        return [
            *watched,
            web.post("/pause", self.pause),
            web.post("/resume", self.resume),
            web.post("/update_weights", self.update_weights),
        ]

    async def health(self, http: web.Request) -> web.Response:
        """Whether it answers."""
        status = "draining" if self.desk.draining else "paused" if self.paused else "ok"
        return json_response({"status": status, "version": self.desk.sampler.version},
                             status=503 if self.desk.draining else 200)  # fmt: skip

    async def metrics(self, http: web.Request) -> web.Response:
        """What Prometheus reads."""
        metrics = self.desk.metrics
        metrics.version.set(self.desk.sampler.version)
        return web.Response(body=metrics.text(), headers={"Content-Type": metrics.content_type})

    async def pause(self, http: web.Request) -> web.Response:
        """Nothing is sampled until `resume`."""
        asked = read(await body(http) or b"{}", Pause)
        async with self._pace:
            self.paused = True  # even if who asked for it leaves now
            await self._sampler.pause(hand_back=asked.hand_back)
        return self._state()

    async def resume(self, http: web.Request) -> web.Response:
        """It goes on."""
        async with self._pace:
            await self._sampler.resume()
            self.paused = False
        return self._state()

    async def update_weights(self, http: web.Request) -> web.Response:
        """New weights, between two steps; one update at a time."""
        asked = read(await body(http), Update)
        if self.weights is None:
            raise bad("this server takes no new weights: start it with --weights-root")
        folder = self.weights.folder(asked.path)
        async with self._updating:
            if asked.version <= self._sampler.version:
                raise ApiError(409, f"version {asked.version} is not above {self._sampler.version}", param="version")
            tensors = await asyncio.to_thread(self.weights.read, folder)
            async with self._pace:
                await self._swap(asked, tensors)
        return self._state()

    async def _swap(self, asked: Update, tensors: Mapping[str, Any]) -> None:
        """While nothing is sampled: who hears of a token as it comes then knows which weights it is of."""
        try:
            await self._sampler.pause()
            await self._sampler.publish(asked.version, tensors, hand_back=asked.hand_back)
        finally:
            if not self.paused:
                await self._sampler.resume()

    @property
    def _sampler(self) -> PolicySampler:
        if self.control is None:
            raise ApiError(404, "this server's sampler cannot be controlled")
        return self.control

    def _state(self) -> web.Response:
        return json_response({"paused": self.paused, "version": self.desk.sampler.version})
