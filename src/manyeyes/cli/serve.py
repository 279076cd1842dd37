"""Serve a trained model: the OpenAI API, for any client of it, and the token API, for trainers and agents.

manyeyes serve                          the last finished run, for this machine alone
manyeyes serve RUN_OR_CHECKPOINT --host 0.0.0.0 --token-file FILE

docs/serving.md lists the routes. Ctrl-C or SIGTERM finishes what runs, then ends.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from manyeyes.cli.listening import event_loop, given_token, stopped
from manyeyes.cli.locations import MODEL, model_folder
from manyeyes.cli.threads import check_threads, use_threads
from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_control import WeightSource
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer, ServerConfig

PORT = 8765


@dataclass(frozen=True)
class Options:
    """What is served, where, and to whom."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN_OR_CHECKPOINT]", help_behavior_hint="")] = (
        ""
    )
    """A run (path or name) or a checkpoint folder; the last finished run when left out."""
    host: str = "127.0.0.1"
    """127.0.0.1 is this machine alone; any other address needs --token-file."""
    port: int = PORT
    """0 for a free one."""
    token_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Holds the token that clients must bring; one is made and printed when left out."""
    name: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """What clients call the model; the run's or folder's name when left out."""
    context_tokens: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Prompt and answer together at most; what the model and the cache can hold when left out."""
    cache_tokens: int = 65_536
    """Tokens that are kept, of all requests and of prompts that may come again."""
    most_requests: int = 512
    """Answered or waiting at once; more are told to come again."""
    body_mb: int = 64
    """Of a request, pictures included."""
    weights_root: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """A folder of checkpoints that a trainer may have loaded (/update_weights)."""
    drain_seconds: float = 30.0
    """For answers under way, when it is stopped."""
    threads: Annotated[int, tyro.conf.arg(help_behavior_hint="")] = 0
    """CPU threads; OMP_NUM_THREADS, or one for each core that may be used, when left out. With many requests at once, 1
    is faster for a small model."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""


def main(options: Options) -> int:
    """Serve until it is stopped; returns the exit status."""
    check_threads(options.threads)
    folder, token = model_folder(options.model), given_token(options.token_file, host=options.host)
    config = ServerConfig(
        options.host, options.port, options.most_requests, options.body_mb * 2**20,
        drain_seconds=options.drain_seconds,
    )  # fmt: skip
    _require_address(options.host, options.port)
    weights_root, grammars = _weights_root(options), Grammars(Tokenizer.load(folder))
    # What the user typed is checked by now: loading torch takes seconds.
    from manyeyes.cli.device import chosen_device
    from manyeyes.inference.async_engine import AsyncEngine
    from manyeyes.inference.conversation import Assistant
    from manyeyes.inference.engine_config import EngineConfig

    sizes = EngineConfig(
        cache_tokens=options.cache_tokens, max_context=options.context_tokens, max_queue=options.most_requests,
        threads=use_threads(options.threads),
    )  # fmt: skip
    loaded = Assistant.load(folder, device=chosen_device(options.device))

    async def serve() -> int:
        async with AsyncEngine(loaded.model, loaded.tokenizer, sizes) as engine:
            served = Served(
                options.name or _name_of(folder), loaded.tokenizer, loaded.model.config.rules, engine.context,
                grammars,
            )  # fmt: skip
            weights = None if weights_root is None else WeightSource(weights_root, _tensors)
            server = ChatServer(engine, served, token=token, config=config, control=engine, weights=weights)
            about = f"computes with {engine.described}; CPU threads: {sizes.threads}"
            return await serve_until_stopped(server, served.name, about, token_told=token is not None)

    return event_loop()(serve())


async def serve_until_stopped(server: ChatServer, name: str, about: str, *, token_told: bool) -> int:
    """Listen until SIGTERM or Ctrl-C, then drain; a second signal ends at once."""
    async with server:
        print(f"{name} is served at {server.url}")
        print("token: that of --token-file" if token_told else f"token: {server.token}")
        print(about, flush=True)
        await stopped()
        left = f"; {server.desk.open} answers are under way" if server.desk.open else ""
        print(f"stopping{left}", flush=True)
        await server.drain()
    return 0


def _require_address(host: str, port: int) -> None:
    """Refuse an address that is taken before the model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be used ({error.strerror}); name another --port or --host") from None


def _weights_root(options: Options) -> Path | None:
    root = options.weights_root
    if root is not None and not root.is_dir():
        raise ConfigError(f"--weights-root {root} is no folder")
    return root


def _tensors(folder: Path) -> Mapping[str, Any]:
    """The tensors of a checkpoint by the model's names; safetensors only."""
    import torch

    from manyeyes.model.checkpoint import load_model

    return load_model(folder, dtype=torch.float32).state_dict()


def _name_of(folder: Path) -> str:
    folder = folder.absolute()
    return folder.parent.name if folder.name == MODEL else folder.name
