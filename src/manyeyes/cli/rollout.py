"""Run an environment's tasks with a model: many attempts at once, judged, kept as trajectories.

- manyeyes rollout: the environments that there are
- manyeyes rollout puzzles --model RUN: with a trained model of your own, token for token
- manyeyes rollout coding --endpoint URL --model NAME: with any OpenAI-compatible endpoint (key: MANYEYES_API_KEY)
- manyeyes rollout puzzles --folder RUN ...: goes on; attempts that are over are not run again
- manyeyes rollouts RUN --web: what came of it
"""

import asyncio
import inspect
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tyro

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.endpoint import Endpoint
from manyeyes.agent.environment import Environment
from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import OpenAIChat
from manyeyes.agent.registry import Registry
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.rollouts.pool import EnvironmentPool
from manyeyes.agent.rollouts.snapshot import TRAJECTORIES, RolloutSnapshot
from manyeyes.agent.shipped_toolsets import shipped_rooms
from manyeyes.agent.task_source import TaskSource, jsonl_tasks
from manyeyes.cli.locations import model_folder, runs_folder, short
from manyeyes.cli.swarm_model import embedded
from manyeyes.cli.swarm_services import check_endpoint, endpoint_key
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import new_run_path
from manyeyes.core.sampler import Sampler
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Policy
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.view.wording import duration

CONFIG = "config.json"
TELL_SECONDS = 2.0
STOPPED = 130
MOST_ROOMS = 32
"""Sandboxes with a Python kernel at once; more attempts than that wait for theirs."""
KEPT = ("environment", "source", "model", "endpoint", "attempts", "seed")
"""Options that belong to a run from its beginning."""


@dataclass(frozen=True)
class Options:
    """Which environment, with what model, how much of it."""

    environment: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """Name of the environment; without one they are listed."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """A run or a checkpoint folder; with --endpoint the name of the model there."""
    endpoint: Annotated[str, tyro.conf.arg(metavar="URL", help_behavior_hint="")] = ""
    """Base URL of an OpenAI-compatible endpoint. What it says is kept as text: it tells no token ids."""
    source: Annotated[str, tyro.conf.arg(metavar="NAME|FILE", help_behavior_hint="")] = ""
    """Where tasks come from: the name of a task source, or a .jsonl file; left out: the environment's own."""
    tasks: int = 16
    """How many of them."""
    attempts: int = 4
    """At each task."""
    seed: int = 0
    """Of everything that is drawn."""
    concurrent: int = 64
    """Attempts at once at most."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Run folder; a new one under MANYEYES_RUNS or ./runs when left out. One that is there already is gone on with."""


def main(options: Options) -> int:
    """Run them; returns 0, 1 when attempts failed, 130 when it was stopped."""
    registry = Registry()
    if not options.environment:
        for one in registry.listed("environments"):
            print(f"{one.name:<16} {one.source or 'registered by hand'}: {one.place}")
        return 0
    registry.maker("environments", options.environment)
    _check(options)
    environment = registry.environment(options.environment)
    source = _source(registry, options)
    folder = options.folder or new_run_path(runs_folder(), f"rollout-{options.environment}")
    _begin(folder, options)
    try:
        return asyncio.run(_run(options, environment, source, folder))
    except KeyboardInterrupt:
        print(f"\nstopped; go on with the same command and --folder {short(folder)}")
        return STOPPED


def _check(options: Options) -> None:
    """Raises ConfigError for what cannot work, before anything is made."""
    for name in ("tasks", "attempts", "concurrent"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.endpoint:
        check_endpoint(options.endpoint)
        endpoint_key()
        if not options.model:
            raise ConfigError("--endpoint needs --model NAME, the name of the model there")
    elif not options.model:
        raise ConfigError("name a model: --model RUN for one of your own, or --endpoint URL --model NAME")
    else:
        model_folder(options.model)


def _source(registry: Registry, options: Options) -> TaskSource:
    name = options.source or options.environment
    if name.endswith(".jsonl"):
        return jsonl_tasks(Path(name), seed=options.seed)
    return registry.task_source(name, options.seed)


def _begin(folder: Path, options: Options) -> None:
    """Write down what the run is, or see that it is the one that is gone on with."""
    said = {name: getattr(options, name) for name in KEPT}
    path = folder / CONFIG
    if path.is_file():
        before = _config(path)
        changed = [name for name in KEPT if before.get(name) != said[name]]
        if changed:
            was = ", ".join(f"--{name} {before.get(name)!r}" for name in changed)
            raise ConfigError(f"{short(folder)} was begun with {was}; name another --folder, or say the same again")
        return
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{short(folder)} is no run of this command and not empty; name another --folder")
    path.write_bytes(msgspec.json.encode(said))


def _config(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ConfigError(f"{short(path)} is none of this command's ({error}); name another --folder") from None


@asynccontextmanager
async def _model(options: Options, limiter: Limiter) -> AsyncIterator[ChatModel]:
    if not options.endpoint:
        async with embedded(options.model, limiter=limiter) as chat:
            yield chat
        return
    async with OpenAIChat(Endpoint(options.endpoint, options.model, endpoint_key()), limiter=limiter) as chat:
        yield chat


@asynccontextmanager
async def _pool(options: Options) -> AsyncIterator[EnvironmentPool]:
    """Rooms for environments whose toolsets borrow one; none is made before somebody asks."""
    most = min(options.concurrent, MOST_ROOMS)
    shared = SharedSandbox(kernels=most)
    with tempfile.TemporaryDirectory(prefix="manyeyes-rooms-", ignore_cleanup_errors=True) as rooms:
        try:
            async with EnvironmentPool(shipped_rooms(shared, Path(rooms), most=most)) as pool:
                yield pool
        finally:
            await shared.close()


async def _run(options: Options, environment: Environment, source: TaskSource, folder: Path) -> int:
    print(f"{options.environment}: {options.tasks} tasks, {options.attempts} attempts each, in {short(folder)}")
    config = RolloutConfig(most_running=options.concurrent)
    limiter = Limiter(most=options.concurrent)
    failed = 0
    try:
        with TrajectoryStore(folder / TRAJECTORIES, mode="append") as store:
            async with _model(options, limiter) as model:
                if isinstance(tokenizer := getattr(model, "tokenizer", None), Tokenizer):
                    tokenizer.save(folder / "tokenizer.tiktoken")
                models: dict[Policy, ChatModel | Sampler] = {"live": model, "frozen": model}
                async with _pool(options) as pool:
                    async with RolloutManager(models, config=config, pool=pool, store=store, folder=folder) as manager:
                        failed = await _collect(manager, _requests(options, environment, source), options)
    finally:
        await _closed(environment)
    print(f"look at it with: manyeyes rollouts {short(folder)} --web")
    return int(failed > 0)


def _requests(options: Options, environment: Environment, source: TaskSource) -> Iterator[GroupRequest]:
    for number in range(options.tasks):
        if (task := source.next()) is None:
            return
        yield GroupRequest(str(number), task, environment, options.attempts, seed=options.seed)


async def _collect(manager: RolloutManager, wanted: Iterator[GroupRequest], options: Options) -> int:
    """Submit all, tell how it goes; how many attempts failed."""
    began, telling = time.monotonic(), asyncio.create_task(_tell(manager))
    rewards: list[float] = []
    failed = 0
    try:
        async for group in _groups(manager, wanted):
            rewards += [one.reward for one in group.trajectories if one.reward is not None]
            failed += sum(group.failures.values())
            print(_line(group), flush=True)
    finally:
        telling.cancel()
    mean = f"mean reward {sum(rewards) / len(rewards):.3f} of {len(rewards)}" if rewards else "no verdict"
    print(f"{mean}, {failed} failed, {duration(time.monotonic() - began)}")
    return failed


async def _groups(manager: RolloutManager, wanted: Iterator[GroupRequest]) -> AsyncIterator[Group]:
    """Results while there is no room for more, and then the rest: who submits and never takes would wait for ever."""
    for request in wanted:
        while not manager.has_room(request) and (group := await manager.next_group()) is not None:
            yield group
        manager.submit(request)
        await asyncio.sleep(0)
    async for group in manager.results():
        yield group


async def _tell(manager: RolloutManager) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        print(_standing(manager.snapshot()), flush=True)


def _standing(now: RolloutSnapshot) -> str:
    over = now.finished + now.failed + now.cancelled
    waits = ", ".join(f"{count} {what}" for what, count in sorted(now.waiting_for.items()) if count)
    rate = over / max(now.seconds, 1e-9)
    left = f"{duration(now.open / rate)} left" if rate else "no end in sight yet"
    return (
        f"{over}/{now.submitted} attempts, {now.running} running ({waits or 'none waits'}), "
        f"{now.tokens_sampled:,} tokens, {rate:.2f} attempts/s, {left}"
    )


def _line(group: Group) -> str:
    rewards = " ".join("-" if one.reward is None else f"{one.reward:.2f}" for one in group.trajectories)
    causes = ", ".join(f"{count} {cause}" for cause, count in group.failures.items())
    return f"{group.request.task.id}: {rewards}{f'  ({causes})' if causes else ''}"


async def _closed(environment: Any) -> None:
    """Some environments hold a browser or a sandbox for all of their attempts."""
    close = getattr(environment, "close", None)
    if close is not None and inspect.isawaitable(closing := close()):
        await closing
