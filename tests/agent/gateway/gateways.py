"""A gateway over a sampler that plays turns from a script, and clients of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import openai

from manyeyes.agent.gateway.config import GatewayConfig
from manyeyes.agent.gateway.gateway import Gateway
from manyeyes.agent.gateway.sampler_settings import TokenSettings
from manyeyes.agent.gateway.sampler_upstream import SamplerUpstream
from manyeyes.agent.gateway.upstream import Upstream
from manyeyes.core.fakes import FakeSampler, Script
from manyeyes.core.media import MediaRules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_prompt import Served

TINY = Tokenizer.tiny()
RULES = MediaRules(patch_size=8)
GRAMMARS = Grammars(TINY)
TOKEN = "a-token-of-this-test"
CONTEXT = 4096
SERVED = Served("tiny", TINY, RULES, CONTEXT, GRAMMARS)
ZOOM = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
TOOL = {"type": "function", "function": {"name": "zoom", "description": "Zooms.", "parameters": ZOOM}}


class Place(NamedTuple):
    """A gateway that listens, and a connection pool with its token."""

    gateway: Gateway
    http: aiohttp.ClientSession

    def openai(self, session: str = "s", **options: Any) -> openai.AsyncOpenAI:
        """The official client, with the key of a session."""
        settings = {"max_retries": 0, "timeout": 60.0} | options
        return openai.AsyncOpenAI(
            base_url=f"{self.gateway.url}/s/{session}/v1", api_key=self.gateway.key_of(session), **settings
        )

    async def post(self, path: str, body: Any, **options: Any) -> tuple[int, Any]:
        """A request by hand; returns status and JSON."""
        content = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(self.gateway.url + path, **content, **options) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def listening(upstream: Upstream, **settings: Any) -> AsyncIterator[Place]:
    """A gateway in front of an upstream."""
    async with Gateway(upstream, config=GatewayConfig(**settings), token=TOKEN) as gateway:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            yield Place(gateway, http)
            await settled(lambda: gateway.desk.open == 0)


def sampler(script: Script | Sequence[Sequence[int]] | None = None, **options: Any) -> FakeSampler:
    return FakeSampler(script, vocab_size=TINY.n_vocab, tokenizer=TINY, **{"context_tokens": CONTEXT} | options)


def over(fake: FakeSampler, **settings: Any) -> SamplerUpstream:
    return SamplerUpstream(fake, SERVED, TokenSettings(**settings))


async def settled(done: Callable[[], bool]) -> None:
    """Wait for what other tasks do; a test that waits in vain fails by its own time limit."""
    while not done():
        await asyncio.sleep(0.001)


def run(work: Callable[[], Any], *, seconds: float = 120) -> None:
    asyncio.run(asyncio.wait_for(work(), seconds))


def turn(
    text: str = "", *, reasoning: str | None = "", calls: Sequence[tuple[str, str]] = (), at: int = 0
) -> list[int]:
    """An assistant turn as it is sampled; call ids count from `at`."""
    ids = [] if reasoning is None else [*TINY.encode(reasoning), TINY.end_think]
    ids += TINY.encode(text)
    for number, (name, arguments) in enumerate(calls):
        ids += [TINY.calls_begin] * (number == 0)
        ids += [TINY.call_begin, *TINY.encode(f"functions.{name}:{at + number}"), TINY.call_argument_begin]
        ids += [*TINY.encode(arguments), TINY.call_end]
    return [*ids, *([TINY.calls_end] if calls else []), TINY.im_end]


def paths(gateway: Gateway, session: str = "s") -> list[list[int]]:
    """Every branch of a session's trajectory, end to end."""
    whole = gateway.trajectory(session)
    return [whole.path(leaf).ids.tolist() for leaf in whole.leaves]
