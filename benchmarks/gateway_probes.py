"""What a gateway recovers, each found out by asking: a row of the table is one coroutine here.

A probe passes when the client has the right answer and the gateway, asked afterwards, gives back what it should have
kept. The mock endpoint's answers are known in advance, so every id and log-probability is compared.
"""

import asyncio
import base64
import io
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from gateway_mock import ids, logprob, prompt_ids

sys.path.insert(0, str(Path(__file__).parent / "gateway_peers"))
from gateways import Gateway, Kept

TOOL = {"type": "function", "function": {"name": "zoom", "parameters": {"type": "object", "properties": {}}}}
RETRY = {"x-stainless-retry-count": "1"}
WRITE_SECONDS = 10.0
"""Within which a gateway has written down what it keeps."""


@dataclass
class Asked:
    """A gateway under question.

    Attributes:
        mock: address of the endpoint.
        exact: whether ids are those of the mock's chat endpoint; over the token API the gateway renders prompts itself.
    """

    gateway: Gateway
    http: aiohttp.ClientSession
    mock: str
    exact: bool = True

    async def chat(
        self, session: str, messages: list[Any], *, agent: str = "", headers: dict[str, str] | None = None, **more: Any
    ) -> Any:
        """A chat completion; None when it is refused."""
        url = f"{self.gateway.url(session, agent)}/chat/completions"
        body = {"model": "m", "messages": messages} | more
        async with self.http.post(url, json=body, headers=self.gateway.headers | (headers or {})) as answer:
            text = await answer.text()
            if answer.status != 200:
                return None
            return text if more.get("stream") else json.loads(text)

    async def kept(self, session: str, calls: int) -> list[Kept]:
        """What it kept, as soon as that is so many calls or time is up."""
        kept: list[Kept] = []
        for _ in range(int(WRITE_SECONDS / 0.1)):
            kept = await self.gateway.kept(self.http, session)
            if len(kept) >= calls:
                break
            await asyncio.sleep(0.1)
        return kept

    async def calls(self) -> int:
        """Of the mock since the last question."""
        async with self.http.get(f"{self.mock}/stats") as answer:
            return (await answer.json())["calls"]

    def right(self, kept: Kept, messages: list[Any], number: int) -> bool:
        """Whether ids are those that the endpoint told."""
        if kept.prompt is None or kept.ids is None:
            return False
        return not self.exact or (kept.prompt == prompt_ids(messages) and kept.ids == ids(number))


def user(number: int, more: str = "") -> list[Any]:
    return [{"role": "user", "content": f"question #{number} {more}"}]


async def token_ids(asked: Asked) -> bool:
    messages = user(11)
    await asked.chat("ids", messages)
    kept = await asked.kept("ids", 1)
    return len(kept) == 1 and asked.right(kept[0], messages, 11)


async def log_probabilities(asked: Asked) -> bool:
    await asked.chat("lps", user(12))
    kept = await asked.kept("lps", 1)
    if len(kept) != 1 or kept[0].ids is None or kept[0].logprobs is None:
        return False
    wanted = [logprob(token) for token in kept[0].ids]
    close = [abs(a - b) < 1e-6 for a, b in zip(kept[0].logprobs, wanted, strict=False)]
    return len(kept[0].logprobs) == len(wanted) and all(close)


async def streaming(asked: Asked) -> bool:
    messages = user(13)
    text = await asked.chat("stream", messages, stream=True)
    kept = await asked.kept("stream", 1)
    told = text is not None and text.rstrip().endswith("[DONE]")
    return told and len(kept) == 1 and asked.right(kept[0], messages, 13) and bool(kept[0].logprobs)


async def retries(asked: Asked) -> bool:
    """The client gives up waiting and its library asks again: one record, and it is the answer that the client has."""
    messages = user(14, "slow")
    said = await _asked_twice(asked, "retry", messages)
    kept = await asked.kept("retry", 1)
    return said and len(kept) == 1 and asked.right(kept[0], messages, 14) and kept[0].usable


async def retries_sampled_once(asked: Asked) -> bool:
    """The same, and the endpoint was asked once."""
    await asked.calls()
    said = await _asked_twice(asked, "once", user(16, "slow"))
    kept = await asked.kept("once", 1)
    return said and await asked.calls() == 1 and len(kept) == 1 and kept[0].ids is not None


async def _asked_twice(asked: Asked, session: str, messages: list[Any]) -> bool:
    try:
        async with asyncio.timeout(0.3):
            await asked.chat(session, messages)
    except TimeoutError:
        pass
    said = await asked.chat(session, messages, headers=RETRY)
    await asyncio.sleep(1.5)  # an answer that nobody waits for may still be written down
    return said is not None


async def disconnects(asked: Asked) -> bool:
    """A client leaves for good: nothing is offered for training that no agent has ever read."""
    if not await token_ids_in(asked, "gone-before"):
        return False
    try:
        async with asyncio.timeout(0.3):
            await asked.chat("gone", user(15, "slow"))
    except TimeoutError:
        pass
    await asyncio.sleep(2.0)
    return not any(one.usable for one in await asked.gateway.kept(asked.http, "gone"))


async def token_ids_in(asked: Asked, session: str) -> bool:
    await asked.chat(session, user(10))
    kept = await asked.kept(session, 1)
    return len(kept) == 1 and kept[0].ids is not None


async def parallel_sub_agents(asked: Asked) -> bool:
    """Four agents of one rollout at once: one read gives all calls, each with its agent."""
    names = ["a", "b", "c", "d"]
    await asyncio.gather(*(asked.chat("swarm", user(20 + i), agent=name) for i, name in enumerate(names)))
    kept = await asked.kept("swarm", 4)
    return len(kept) == 4 and len({one.agent for one in kept}) == 4 and all(one.ids for one in kept)


async def tools(asked: Asked) -> bool:
    """A call and its result: the client has the call, and the second prompt begins with the first turn's tokens."""
    first = await asked.chat("tools", user(30), tools=[TOOL])
    if first is None:
        return False
    message = first["choices"][0]["message"]
    if asked.exact and not message.get("tool_calls"):
        return False
    calls = message.get("tool_calls") or []
    more = [{"role": "tool", "tool_call_id": call["id"], "content": "#31 seen"} for call in calls] or user(31)
    await asked.chat("tools", [*user(30), message, *more], tools=[TOOL])
    kept = await asked.kept("tools", 2)
    if len(kept) != 2 or not all(one.prompt and one.ids for one in kept):
        return False
    stream = [*(kept[0].prompt or []), *(kept[0].ids or [])]
    return (kept[1].prompt or [])[: len(stream)] == stream


async def reasoning(asked: Asked) -> bool:
    said = await asked.chat("think", user(40, "think"))
    kept = await asked.kept("think", 1)
    if said is None or len(kept) != 1 or kept[0].ids is None:
        return False
    thought = said["choices"][0]["message"].get("reasoning_content")
    return bool(thought) if asked.exact else thought is not None


async def images(asked: Asked) -> bool:
    """The ids, and the pixels that stand behind them."""
    shown = [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": "#50"}]}]  # fmt: skip
    said = await asked.chat("image", shown)
    kept = await asked.kept("image", 1)
    return said is not None and len(kept) == 1 and bool(kept[0].ids) and kept[0].picture and kept[0].usable


async def responses_dialect(asked: Asked) -> bool:
    return await _dialect(asked, "responses", {"model": "m", "input": "question #60"})


async def messages_dialect(asked: Asked) -> bool:
    return await _dialect(asked, "messages", {"model": "m", "max_tokens": 99, "messages": user(61)})


async def weight_update(asked: Asked) -> bool:
    """While weights change a new call waits or is told to come again."""
    if not await asked.gateway.pause(asked.http):
        return False
    refused = await asked.chat("paused", user(70)) is None
    await asked.gateway.resume(asked.http)
    return refused and await asked.chat("paused", user(71)) is not None


async def _dialect(asked: Asked, path: str, body: Any) -> bool:
    url = f"{asked.gateway.url(path)}/{path}"
    headers = asked.gateway.headers | {"anthropic-version": "2023-06-01"}
    async with asked.http.post(url, json=body, headers=headers) as answer:
        if answer.status != 200:
            return False
        said = await answer.json()
    kept = await asked.kept(path, 1)
    return bool(said.get("output") or said.get("content")) and len(kept) == 1 and kept[0].ids is not None


def picture() -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


PROBES: dict[str, Callable[[Asked], Awaitable[bool]]] = {
    "token ids": token_ids,
    "log-probabilities": log_probabilities,
    "streaming": streaming,
    "retries": retries,
    "retries, sampled once": retries_sampled_once,
    "disconnects": disconnects,
    "parallel sub-agents": parallel_sub_agents,
    "tools": tools,
    "reasoning": reasoning,
    "images": images,
    "responses dialect": responses_dialect,
    "messages dialect": messages_dialect,
    "weight update": weight_update,
}
SESSIONS = (
    "ids", "lps", "stream", "retry", "once", "gone-before", "gone", "swarm", "tools", "think", "image",
    "responses", "messages", "paused",
)  # fmt: skip


async def capabilities(asked: Asked) -> dict[str, bool | str]:
    """All probes of a gateway; what fails in an error is told by its name."""
    await asked.gateway.begin(asked.http, SESSIONS, asked.mock)
    found: dict[str, bool | str] = {}
    for name, probe in PROBES.items():
        try:
            async with asyncio.timeout(60):
                found[name] = await probe(asked)
        except Exception as error:  # a gateway that falls over has not passed, and the others are asked all the same
            found[name] = f"{type(error).__name__}: {error}"[:120]
    return found
