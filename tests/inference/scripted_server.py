"""A server over a sampler that plays turns from a script, and the official client of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import openai

from manyeyes.core.fakes import FakeSampler, Script
from manyeyes.core.media import MediaRules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_control import WeightSource
from manyeyes.inference.serve_media import MediaLimits
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer, ServerConfig

TOKENIZER = Tokenizer.tiny()
GRAMMARS = Grammars(TOKENIZER)
TOKEN = "a-token-of-this-test"
CONTEXT = 2048
ZOOM = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "how": {"enum": ["in", "out"]}},
    "required": ["x"],
    "additionalProperties": False,
}


class Serving(NamedTuple):
    """A server that listens, a client of it, and what stands behind it."""

    server: ChatServer
    client: openai.AsyncOpenAI
    fake: FakeSampler
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any, **options: Any) -> tuple[int, Any]:
        """A request by hand; returns status and JSON."""
        content = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(self.base + path, **content, **options) as answer:
            return answer.status, await answer.json()

    @property
    def base(self) -> str:
        """Where the server's own routes are."""
        return self.server.url.removesuffix("/v1")


@asynccontextmanager
async def serving(
    script: Script | Sequence[Sequence[int]] | None = None,
    *,
    config: ServerConfig | None = None,
    weights: WeightSource | None = None,
    media: MediaLimits = MediaLimits(),  # noqa: B008 - frozen
    **options: Any,
) -> AsyncIterator[Serving]:
    fake = FakeSampler(script, vocab_size=TOKENIZER.n_vocab, tokenizer=TOKENIZER, context_tokens=CONTEXT, **options)
    served = Served("tiny", TOKENIZER, MediaRules(), CONTEXT, GRAMMARS, media)
    async with ChatServer(fake, served, token=TOKEN, config=config, control=fake, weights=weights) as server:
        client = openai.AsyncOpenAI(base_url=server.url, api_key=TOKEN, max_retries=0, timeout=60)
        async with client, aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            yield Serving(server, client, fake, http)
        await settled(lambda: server.desk.open == 0 and fake.running == 0 and fake.waiting == 0)


def turn(text: str = "", *, reasoning: str | None = None, calls: Sequence[tuple[str, str]] = ()) -> list[int]:
    """An assistant turn as it is sampled."""
    ids = [] if reasoning is None else [*TOKENIZER.encode(reasoning), TOKENIZER.end_think]
    ids += TOKENIZER.encode(text)
    if calls:
        ids.append(TOKENIZER.calls_begin)
        for number, (name, arguments) in enumerate(calls):
            ids += [TOKENIZER.call_begin, *TOKENIZER.encode(f"functions.{name}:{number}")]
            ids += [TOKENIZER.call_argument_begin, *TOKENIZER.encode(arguments), TOKENIZER.call_end]
        ids.append(TOKENIZER.calls_end)
    return [*ids, TOKENIZER.im_end]


async def settled(true: Callable[[], bool]) -> None:
    """Wait for what must come true soon, on however slow a machine."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.002)


def tool(name: str = "zoom", parameters: Any = None, **more: Any) -> dict[str, Any]:
    """A declaration."""
    function = {"name": name, "description": "looks closer", "parameters": ZOOM if parameters is None else parameters}
    return {"type": "function", "function": function | more}


class Held:
    """A pace that a test lets go on, a token at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(0)

    async def __call__(self) -> None:
        await self._turns.acquire()

    @property
    def spent(self) -> bool:
        """Whether all were taken."""
        return self._turns.locked()

    def let(self, count: int) -> None:
        for _ in range(count):
            self._turns.release()
