"""A process that speaks vLLM's wire for tokens and weights, and samples with the embedded engine: no vLLM is needed.

    POST /inference/v1/generate                    server-sent events, a token each
    POST /pause?mode=abort|keep, /resume, /abort_requests
    POST /init_weight_transfer_engine              joins the trainer's process group: gloo here, NCCL there
    POST /start_weight_update, /update_weights, /finish_weight_update     receives a broadcast, then swaps the weights

Prints its port. GET /seen tells the versions that were finished, and how many requests were aborted.
"""

import asyncio
import json
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from aiohttp import web
from tests.train.small_system import system

from manyeyes.core.sampler import Completion, SampleRequest, SamplingParams
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig

BANNED = -100.0


class StandIn:
    """An engine behind vLLM's routes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.open: dict[str, SampleRequest] = {}
        self.received: dict[str, torch.Tensor] = {}
        self.updating, self.paused, self.aborted = False, False, 0
        self.finished: list[str] = []
        self.called_off: set[SampleRequest] = set()

    @property
    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        routes = {
            "/inference/v1/generate": self.generate, "/pause": self.pause, "/resume": self.resume,
            "/abort_requests": self.abort, "/init_weight_transfer_engine": self.join,
            "/start_weight_update": self.start, "/update_weights": self.update, "/finish_weight_update": self.finish,
        }  # fmt: skip
        app.add_routes([web.post(path, handler) for path, handler in routes.items()])
        app.add_routes([web.get("/seen", self.seen)])
        return app

    async def generate(self, http: web.Request) -> web.StreamResponse:
        body = await http.json()
        asked = SampleRequest(np.array(body["token_ids"], np.int32), params=params_of(body["sampling_params"]))
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(http)
        told: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
        self.open[body["request_id"]] = asked
        while self.paused and asked not in self.called_off:  # it came when the door was shut already
            await asyncio.sleep(0.005)
        sampling = asyncio.create_task(self.sampled(asked, told))
        try:
            sent = 0
            while not (sampling.done() and told.empty()):
                getting = asyncio.ensure_future(told.get())
                await asyncio.wait({getting, sampling}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    continue
                token, logprob = getting.result()
                sent += 1
                last = sampling.done() and told.empty() and sent == len(sampling.result().ids)
                await answer.write(event(token, logprob, finish_of(sampling.result().stop) if last else None))
            if sampling.result().stop == "aborted":
                self.aborted += 1
                await answer.write(sse({"choices": [{"index": 0, "token_ids": [], "finish_reason": "abort"}]}))
            await answer.write(b"data: [DONE]\n\n")
        finally:
            sampling.cancel()
            del self.open[body["request_id"]]
        return answer

    async def sampled(self, asked: SampleRequest, told: "asyncio.Queue[tuple[int, float]]") -> Completion:
        if asked in self.called_off:
            return Completion(stop="aborted")
        return await self.engine.sample(asked, on_token=lambda *pair: told.put_nowait(pair))

    async def pause(self, http: web.Request) -> web.Response:
        self.paused = True
        if http.query["mode"] == "abort":
            await self.end(list(self.open.values()))
        return web.json_response({"status": "paused"})

    async def resume(self, http: web.Request) -> web.Response:
        self.paused = False
        return web.json_response({"status": "resumed"})

    async def abort(self, http: web.Request) -> web.Response:
        numbers = (await http.json())["request_ids"]
        await self.end([self.open[number] for number in numbers if number in self.open])
        return web.json_response({"status": "aborted"})

    async def end(self, requests: list[SampleRequest]) -> None:
        self.called_off |= set(requests)
        for asked in requests:
            await self.engine.abort(asked)

    async def join(self, http: web.Request) -> web.Response:
        info = (await http.json())["init_info"]
        await asyncio.to_thread(
            dist.init_process_group, "gloo", rank=info["rank_offset"], world_size=info["world_size"],
            init_method=f"tcp://{info['master_address']}:{info['master_port']}", timeout=timedelta(seconds=120),
        )  # fmt: skip
        return web.json_response({"message": "Weight transfer initialized"})

    async def start(self, http: web.Request) -> web.Response:
        assert self.paused and not self.open, "weights may not change under requests"
        self.updating = True
        return web.json_response({"message": "started"})

    async def update(self, http: web.Request) -> web.Response:
        assert self.updating
        info = (await http.json())["update_info"]
        self.received = await asyncio.to_thread(receive, info)
        return web.json_response({"message": "Weights updated"})

    async def finish(self, http: web.Request) -> web.Response:
        version = (await http.json())["weight_version"]
        await self.engine.publish(int(version), self.received)
        self.finished.append(version)
        self.updating = False
        return web.json_response({"message": "finished"})

    async def seen(self, http: web.Request) -> web.Response:
        return web.json_response({"versions": self.finished, "aborted": self.aborted})


def receive(info: dict[str, Any]) -> dict[str, torch.Tensor]:
    """One broadcast a tensor, in the order that was announced."""
    found = {}
    for name, kind, shape in zip(info["names"], info["dtype_names"], info["shapes"], strict=True):
        found[name] = torch.empty(shape, dtype=getattr(torch, kind))
        dist.broadcast(found[name], src=0)
    return found


def params_of(sampling: dict[str, Any]) -> SamplingParams:
    never = frozenset(int(token) for token, bias in sampling.get("logit_bias", {}).items() if bias <= BANNED)
    return SamplingParams(
        max_new_tokens=sampling["max_tokens"], temperature=sampling["temperature"], top_p=sampling["top_p"],
        seed=sampling["seed"], stop_ids=frozenset(sampling["stop_token_ids"]), never=never,
    )  # fmt: skip


def finish_of(stop: str) -> str | None:
    return {"stop": "stop", "length": "length"}.get(stop)


def event(token: int, logprob: float, finish: str | None) -> bytes:
    told = {"token": f"token_id:{token}", "logprob": logprob, "top_logprobs": []}
    choice = {"index": 0, "token_ids": [token], "logprobs": {"content": [told]}, "finish_reason": finish}
    return sse({"choices": [choice], "usage": None})


def sse(event: Any) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


async def main() -> None:
    torch.set_num_threads(1)
    async with AsyncEngine(system().main, config=EngineConfig(cache_tokens=4096, max_rows=32)) as engine:
        runner = web.AppRunner(StandIn(engine).app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
