"""How weights reach a server: each function makes a `Carry` for one documented way of one kind of server.

    sglang_from_disk       a folder that both see                                  POST /update_weights_from_disk
    sglang_from_tensors    tensors in the request, serialised as SGLang does       POST /update_weights_from_tensor
    vllm_transfer          vLLM's weight transfer, a broadcast beside the requests:
                           POST /start_weight_update, /update_weights, /finish_weight_update

This wing has no tensors of its own: what writes, serialises or broadcasts them is given by who trains.

Report: App. D. Followed: "SGLang for RL Systems" (docs.sglang.io), "Weight Transfer" (docs.vllm.ai, v0.29 and later).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from manyeyes.agent.remote_policy import Carry, Post
from manyeyes.core.all_of import all_of
from manyeyes.core.sampler import SamplerError

Tensors = Mapping[str, Any]
Write = Callable[[int, Tensors], str]
"""Writes a checkpoint of this version and says where, as the server sees it. Runs in a thread."""


def sglang_from_disk(write: Write, **fields: Any) -> Carry:
    """`model_path`, `weight_version`, `flush_cache`; `fields` are further ones of the request."""

    async def carry(post: Post, version: int, tensors: Tensors) -> None:
        path = await asyncio.to_thread(write, version, tensors)
        body = {"model_path": path, "weight_version": str(version), "flush_cache": True, **fields}
        _succeeded(await post("/update_weights_from_disk", body))

    return carry


def sglang_from_tensors(serialise: Callable[[Tensors], Sequence[str]], **fields: Any) -> Carry:
    """`serialized_named_tensors`: for each tensor-parallel rank what SGLang's `MultiprocessingSerializer` gives."""

    async def carry(post: Post, version: int, tensors: Tensors) -> None:
        payload = await asyncio.to_thread(serialise, tensors)
        body = {"serialized_named_tensors": list(payload), "weight_version": str(version), "flush_cache": True}
        _succeeded(await post("/update_weights_from_tensor", body | fields))

    return carry


def vllm_transfer(
    update_info: Callable[[int, Tensors], dict[str, Any]], send: Callable[[int, Tensors], Awaitable[None]]
) -> Carry:
    """`update_info` as the transfer backend documents it; `send` broadcasts while the server receives.

    The connection must be up: `init_weight_transfer_engine` is the trainer's, once.
    """

    async def carry(post: Post, version: int, tensors: Tensors) -> None:
        await post("/start_weight_update", {})
        await all_of(_received(post, {"update_info": update_info(version, tensors)}), _sent(send(version, tensors)))
        await post("/finish_weight_update", {"weight_version": str(version)})

    return carry


async def _received(post: Post, body: dict[str, Any]) -> None:
    await post("/update_weights", body)


async def _sent(sending: Awaitable[None]) -> None:
    await sending


def _succeeded(answer: Any) -> None:
    if not isinstance(answer, dict) or not answer.get("success"):
        said = answer.get("message") if isinstance(answer, dict) else answer
        raise SamplerError(f"the server did not take the weights: {said}")
