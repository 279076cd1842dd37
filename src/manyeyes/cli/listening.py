"""What commands that listen share: a token from a file, a fast event loop, waiting until they are stopped."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from manyeyes.core.errors import ConfigError
from manyeyes.inference.serve_guard import checked_token, is_loopback

T = TypeVar("T")


def given_token(file: Path | None, *, host: str) -> str | None:
    """The token of --token-file; None when one is to be made.

    Raises:
        ConfigError: the file cannot be read or holds no token, or other machines could come without one.
    """
    if file is None:
        if not is_loopback(host):
            raise ConfigError(f"--host {host} is open to other machines: name a --token-file as well")
        return None
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise ConfigError(f"--token-file {file}: cannot be read ({why})") from None
    return checked_token(token)


async def stopped() -> None:
    """Wait for SIGTERM or Ctrl-C; a second signal ends the process at once."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told.set)
    await told.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.remove_signal_handler(number)


def event_loop() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine; on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run
