"""Inside the browser's sandbox: a port of its own loopback, joined to the proxy's socket; then the browser itself.

    python browser_relay.py FOLDER PORT PROGRAM ARGUMENT …      FOLDER holds the sockets `proxy` and `alive`

The sandbox has a network of its own with nothing in it but this port, so a browser that ignores its proxy settings, or
that was taken over by a page, reaches nothing else. Sockets that lead past a network namespace are refused by a filter
of calls (`sandbox_entry`, in FOLDER as `entry.py`). When `alive` breaks, everything in the sandbox is killed.
Runs by itself on the standard library, without manyeyes.

Report: App. E.8 (browser); the isolation is ours.
"""

import asyncio
import importlib
import os
import signal
import socket
import sys

PIECE = 2**16


def main(folder: str, port: int, program: list[str]) -> None:
    """Begin to relay in a process of its own, and become the program."""
    listening = socket.create_server(("127.0.0.1", port), backlog=256)
    alive = socket.socket(socket.AF_UNIX)
    alive.connect(f"{folder}/alive")
    if os.fork() == 0:
        os.closerange(3, min(listening.fileno(), alive.fileno()))  # the browser's pipes are not this process's
        try:
            asyncio.run(_relay(listening, alive, f"{folder}/proxy"))
        finally:
            os.kill(-1, signal.SIGKILL)
    listening.close()
    alive.close()
    sys.path.append(folder)
    entry = importlib.import_module("entry")
    if entry.knows_calls():
        entry.refuse_calls(sockets_alone=True)
    os.execv(program[0], program)


async def _relay(listening: socket.socket, alive: socket.socket, path: str) -> None:
    """Until `alive` breaks."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async with await asyncio.start_server(join, sock=listening):
        alive.setblocking(False)
        await asyncio.get_running_loop().sock_recv(alive, 1)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(PIECE):
            sink.write(piece)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
