"""Sockets to a kernel in a sandbox: files in its exchange folder, for it has no network.

    here  ──shell──▶  kernel      code to run, and at its end the reply
    here  ──control─▶ kernel      interrupts
    here  ◀──iopub──  kernel      what it prints and shows, while it runs

Code there can write into the folder and speak the protocol. So sockets are connected to once, before any code ran, and
never again (a link in their place could lead to another program's socket); how much they may send is bounded
(`ipython_wire`), and what is no message is passed over.

Report: App. D (tools: stateful IPython).
"""

import asyncio
import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from manyeyes.agent.sandbox_process import Running
from manyeyes.agent.tools.ipython_wire import Wire, WireBroken

SEND_SECONDS = 5.0
PLAN = "plan.json"
"""The file that tells the kernel its sockets and key."""
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
"""By their number, from 1, in the names of the socket files."""


BROKE = "the connection to it broke; perhaps it showed something very large"


class KernelDied(Exception):
    """A kernel is gone, or nothing can be said to it any more; never leaves the tool."""


class KernelSockets:
    """The sockets of one kernel.

    Args:
        folder: the exchange folder.
        inside: how the kernel names it.
    """

    def __init__(self, folder: Path, inside: str) -> None:
        from jupyter_client.session import Session  # pyright: ignore[reportMissingImports]

        key = secrets.token_hex(16)
        ports = {f"{name}_port": number for number, name in enumerate(CHANNELS, 1)}
        plan = {"transport": "ipc", "ip": f"{inside}/k", "key": key, "signature_scheme": "hmac-sha256", **ports}
        (folder / PLAN).write_text(json.dumps(plan), encoding="utf-8")
        self._folder = folder
        self._session = Session(key=key.encode(), signature_scheme="hmac-sha256")
        self._wires: dict[str, Wire] = {}

    def close(self) -> None:
        """Close all."""
        for wire in self._wires.values():
            wire.close()

    async def connect(self, running: Running) -> None:
        """Wait for the files, connect, and make sure that nothing shown is missed. Raises KernelDied."""
        while not all(self._file(name).is_socket() for name in CHANNELS):
            if running.status is not None:
                raise KernelDied("it ended at once")
            await asyncio.sleep(0.01)
        try:
            for name, kind in {"shell": "DEALER", "control": "DEALER", "iopub": "SUB"}.items():
                identity = b"" if kind == "SUB" else self._session.bsession
                self._wires[name] = await Wire.open(self._file(name), kind, identity=identity)
        except WireBroken as broken:
            raise KernelDied(str(broken)) from None
        await self._subscribed(running)

    async def ping(self, running: Running) -> None:
        """Wait for a sign of life, which is given when nothing else runs. Raises KernelDied."""
        number = await self.send("shell", "kernel_info_request", {})
        await self.reply(number, running)

    async def send(self, channel: str, kind: str, content: dict[str, Any]) -> str:
        """Send a request; its number. Raises KernelDied."""
        message = self._session.msg(kind, content)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._wires[channel].send(self._session.serialize(message))
        except (TimeoutError, WireBroken):
            raise KernelDied("it takes no requests any more") from None
        return message["header"]["msg_id"]

    async def reply(self, number: str, running: Running) -> dict[str, Any]:
        """What answers a request. Raises KernelDied."""
        while (message := await self.receive("shell", running))["parent_header"].get("msg_id") != number:
            pass
        return message

    async def receive(self, channel: str, running: Running) -> dict[str, Any]:
        """The next message that is one. Raises KernelDied."""
        while True:
            parts = await self._parts(channel, running)
            # What is not signed, was seen before, or is no message at all.
            with suppress(ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError):
                _, parts = self._session.feed_identities(parts)
                message = self._session.deserialize(parts)
                if isinstance(message["content"], dict) and isinstance(message["parent_header"], dict):
                    return message

    async def _parts(self, channel: str, running: Running) -> list[bytes]:
        arriving = asyncio.ensure_future(self._wires[channel].receive())
        ending = asyncio.ensure_future(running.wait())
        try:
            await asyncio.wait((arriving, ending), return_when=asyncio.FIRST_COMPLETED)
            if not arriving.done():
                raise KernelDied("its process ended")
            return arriving.result()
        except WireBroken:
            raise KernelDied(BROKE) from None
        finally:
            arriving.cancel()
            ending.cancel()

    async def _subscribed(self, running: Running) -> None:
        """Ask until something comes on iopub: a subscription takes effect when it likes."""
        while True:
            await self.ping(running)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self.receive("iopub", running)
                    return

    def _file(self, channel: str) -> Path:
        return self._folder / f"k-{CHANNELS.index(channel) + 1}"
