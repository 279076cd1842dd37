"""Let agents that only speak a standard LLM API take part: OpenAI's chat and responses, Anthropic's messages.

- manyeyes gateway --upstream http://127.0.0.1:8000/v1: in front of an OpenAI-compatible endpoint
- manyeyes gateway --upstream http://127.0.0.1:8765 --tokens --vocabulary DIR: in front of `manyeyes serve`
- manyeyes gateway --model RUN_OR_CHECKPOINT: in front of a trained model, served in this process

Every call is kept token for token. docs/gateway.md lists the routes. Ctrl-C or SIGTERM answers what runs, then ends.
"""

import itertools
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from manyeyes.agent.gateway.config import GatewayConfig
from manyeyes.agent.gateway.endpoint_pictures import Eyes
from manyeyes.agent.gateway.endpoint_server import EndpointServer
from manyeyes.agent.gateway.endpoint_upstream import EndpointUpstream
from manyeyes.agent.gateway.gateway import Gateway
from manyeyes.agent.gateway.sampler_settings import TokenSettings
from manyeyes.agent.gateway.sampler_upstream import SamplerUpstream
from manyeyes.agent.gateway.upstream import Upstream
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.agent.remote_wire import Server
from manyeyes.cli.listening import event_loop, given_token, stopped
from manyeyes.cli.locations import MODEL, model_folder
from manyeyes.cli.threads import check_threads, use_threads
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_prompt import Served

PORT = 8766
STOPPED = "the gateway was stopped before anybody judged it"
KEY_VARIABLE = "MANYEYES_UPSTREAM_KEY"


@dataclass(frozen=True)
class Options:
    """What answers, where the gateway listens, and what it keeps."""

    upstream: Annotated[str, tyro.conf.arg(metavar="URL", help_behavior_hint="")] = ""
    """Base address of an OpenAI-compatible endpoint; its key is read from MANYEYES_UPSTREAM_KEY."""
    upstream_model: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """What the endpoint calls its model; the name that a client uses when left out."""
    upstream_ids: bool = True
    """Ask the endpoint for token ids, as vLLM tells them; without ids no sample can be trained on."""
    tokens: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """--upstream is a `manyeyes serve`: ask its token API, which tells every id; needs --vocabulary."""
    vocabulary: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """The endpoint's checkpoint folder: says how pictures become tokens. Samples with pictures are masked without."""
    model: Annotated[str, tyro.conf.arg(metavar="RUN_OR_CHECKPOINT", help_behavior_hint="")] = ""
    """A run (path or name) or a checkpoint folder, instead of --upstream; "last" is the last finished run."""
    host: str = "127.0.0.1"
    """127.0.0.1 is this machine alone; any other address needs --token-file."""
    port: int = PORT
    """0 for a free one."""
    token_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Holds the gateway's token; one is made and printed when left out."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Keep the trajectory of every session that ends; they are read with `manyeyes rollouts`."""
    temperature: float = 1.0
    """Of requests that do not say."""
    top_p: float = 1.0
    """Of requests that do not say."""
    context_tokens: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """With --model or --tokens: prompt and answer together at most; what the model can hold when left out."""
    cache_tokens: int = 131_072
    """With --model: tokens that are kept, of all requests and of prompts that may come again."""
    most_calls: int = 1024
    """Answered or waiting at once; more are told to come again."""
    drain_seconds: float = 30.0
    """For calls under way, when it is stopped."""
    threads: Annotated[int, tyro.conf.arg(help_behavior_hint="")] = 0
    """With --model: CPU threads; OMP_NUM_THREADS, or one for each core that may be used, when left out."""
    device: str = "auto"
    """With --model: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""


def main(options: Options) -> int:
    """Listen until it is stopped; returns the exit status."""
    check_threads(options.threads)
    if bool(options.upstream) == bool(options.model):
        raise ConfigError("name what answers: --upstream URL for an endpoint, or --model RUN for a trained model")
    config = GatewayConfig(
        options.host, options.port, most_calls=options.most_calls, drain_seconds=options.drain_seconds
    )
    token = given_token(options.token_file, host=options.host)
    return event_loop()(_serve(options, config, token))


async def _serve(options: Options, config: GatewayConfig, token: str | None) -> int:
    async with AsyncExitStack() as stack:
        upstream = await (_remote(options, stack) if options.upstream else _engine(options, stack))
        keep = _keeper(options, stack)
        gateway = await stack.enter_async_context(Gateway(upstream, config=config, token=token, on_finished=keep))
        await _until_stopped(gateway, token_told=token is not None)
    return 0


async def _until_stopped(gateway: Gateway, *, token_told: bool) -> None:
    print(f"{gateway.upstream.name} answers at {gateway.url}/s/SESSION/v1 (Anthropic: {gateway.url}/s/SESSION)")
    print("token: that of --token-file" if token_told else f"token: {gateway.token}", flush=True)
    await stopped()
    print(f"stopping; {gateway.desk.open} calls are under way", flush=True)
    await gateway.drain()
    for session in [one for one in gateway.sessions if one.parent is None]:
        judged = session.capture.whole.reward is not None
        try:
            gateway.sessions.end(session, "stopped", "" if judged else STOPPED)
        except (ManyeyesError, OSError) as error:
            print(f"session {session.id} was not kept: {error}", flush=True)


async def _remote(options: Options, stack: AsyncExitStack) -> Upstream:
    key, folder = os.environ.get(KEY_VARIABLE, "").strip(), options.vocabulary
    server = EndpointServer(options.upstream, options.upstream_model, key, ids=options.upstream_ids)
    if folder is None:
        if options.tokens:
            raise ConfigError("--tokens needs the model's --vocabulary DIR: conversations become tokens here")
        return EndpointUpstream(server)
    from manyeyes.model.checkpoint_folder import read_config

    config, tokenizer = read_config(folder), Tokenizer.load(folder)
    if not options.tokens:
        return EndpointUpstream(server, eyes=Eyes(config.rules, tokenizer.media_pad))
    below = ManyeyesSampler(Server(server.url.rstrip("/").removesuffix("/v1"), server.model, key))
    sampler = await stack.enter_async_context(below)
    context = options.context_tokens or config.text.max_position_embeddings
    served = Served(options.upstream_model or _name(folder), tokenizer, config.rules, context, Grammars(tokenizer))
    settings = TokenSettings(temperature=options.temperature, top_p=options.top_p)
    return SamplerUpstream(sampler, served, settings, limiter=Limiter(options.most_calls))


async def _engine(options: Options, stack: AsyncExitStack) -> Upstream:
    folder = model_folder("" if options.model == "last" else options.model)
    grammars = Grammars(Tokenizer.load(folder))
    # What the user typed is checked by now: loading torch takes seconds.
    from manyeyes.cli.device import chosen_device
    from manyeyes.inference.async_engine import AsyncEngine
    from manyeyes.inference.conversation import Assistant
    from manyeyes.inference.engine_config import EngineConfig

    sizes = EngineConfig(
        cache_tokens=options.cache_tokens, max_context=options.context_tokens, max_queue=options.most_calls,
        threads=use_threads(options.threads),
    )  # fmt: skip
    loaded = Assistant.load(folder, device=chosen_device(options.device))
    engine = await stack.enter_async_context(AsyncEngine(loaded.model, loaded.tokenizer, sizes))
    served = Served(_name(folder), loaded.tokenizer, loaded.model.config.rules, engine.context, grammars)
    settings = TokenSettings(temperature=options.temperature, top_p=options.top_p)
    return SamplerUpstream(engine, served, settings)


def _name(folder: Path) -> str:
    """Of a run's model that of the run."""
    return folder.absolute().parent.name if folder.name == MODEL else folder.absolute().name


def _keeper(options: Options, stack: AsyncExitStack | ExitStack) -> Callable[[Trajectory], object] | None:
    if options.store is None:
        return None
    store = TrajectoryStore(options.store, mode="append")
    stack.callback(store.close)

    def keep(trajectory: Trajectory) -> None:
        """A session may be begun anew under its name, here or after a restart: what it left before stays."""
        name, names = trajectory.name, (f"{trajectory.name}.{number}" for number in itertools.count(2))
        while name in store:
            name = next(names)
        store.append(replace(trajectory, name=name))

    return keep
