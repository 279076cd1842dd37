"""`RemotePolicy`: new weights under running requests, on servers that need not say which weights sampled a token.

    publish    shut the door · abort all requests, which end with what they have · wait until each has ended here too
               · carry the weights · open the door · requests go on as continuations, or are handed back

So no request spans two versions at the server, and each token's version is known for certain. The price is that prompts
are read again, which new weights ask for anyway: what is cached of the old ones is of no use.

If the weights cannot be carried the door stays shut: nothing may be sampled from weights that nobody knows. Publish
again, or `resume` to sample from what there is.

Report: App. D (weights that change under running rollouts).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from manyeyes.agent.remote_sampler import RemoteSampler
from manyeyes.agent.remote_wire import Server
from manyeyes.core.errors import ConfigError

Post = Callable[[str, Any], Awaitable[Any]]
Carry = Callable[[Post, int, Mapping[str, Any]], Awaitable[None]]
"""Brings weights to a server: by requests of its, and by what stands beside them (a disk, a broadcast)."""


class RemotePolicy(RemoteSampler):
    """A `PolicySampler` over HTTP.

    Args:
        server: where.
        carry: brings weights there (`remote_weights`); None where nobody publishes.
        version: of the weights that it has now.
    """

    def __init__(self, server: Server, *, carry: Carry | None = None, version: int = 0) -> None:
        super().__init__(server, version=version)
        self._carry = carry
        self._paused = False
        self._one_at_a_time = asyncio.Lock()

    async def pause(self, *, hand_back: bool = False) -> None:
        """See `PolicySampler.pause`. Without `hand_back` requests freeze at the server, at most for `Server.idle`."""
        async with self._one_at_a_time:
            self._paused = True
            self._door.clear()
            if hand_back:
                await self._tell_pause(abort=True)
                await self._end("handed_back")
            else:
                await self._tell_pause(abort=False)

    async def resume(self) -> None:
        """See `PolicySampler.resume`."""
        async with self._one_at_a_time:
            await self._tell_resume()
            self._paused = False
            self._door.set()

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """See `PolicySampler.publish`.

        Raises:
            ConfigError: nothing was given that carries weights.
            SamplerError: they did not arrive; nothing is sampled until another publish or `resume`.
        """
        if self._carry is None:
            raise ConfigError("this sampler was given nothing that carries weights; see agent.remote_weights")
        async with self._one_at_a_time:
            paused, self._paused = self._paused, True
            self._door.clear()
            await self._tell_pause(abort=True)
            await self._end("handed_back" if hand_back else "again")
            await self._carry(self.wire.ask, version, tensors)
            self._version = version
            if not paused:
                await self._tell_resume()
                self._paused = False
                self._door.set()

    async def _tell_pause(self, *, abort: bool) -> None:
        """Tell the server to stop, and whether to freeze requests or to end them."""
        raise NotImplementedError

    async def _tell_resume(self) -> None:
        """Tell the server to go on."""
        raise NotImplementedError
