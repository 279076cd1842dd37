"""A recipe learns from the tokens of a server, and gives it the new weights."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_control import WeightSource
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer
from manyeyes.model.checkpoint import load_model
from manyeyes.recipes.rl_execute import execute_rl

from .post_worlds import REGISTRY, Holding, checkpoint_of_little, folder_of, little_run, plain_rows


@contextmanager
def served(model: Path, root: Path) -> Iterator[tuple[str, str, list[int]]]:
    """Address and token of a server in a thread, and the version that it had when it ended."""
    told, ended, versions = threading.Event(), threading.Event(), list[int]()
    place: list[str] = []

    async def serve() -> None:
        tokenizer, policy = Tokenizer.load(model), load_model(model, dtype=torch.float32)
        async with AsyncEngine(policy, tokenizer) as engine:
            about = Served("little", tokenizer, policy.config.rules, engine.context, Grammars(tokenizer))
            weights = WeightSource(root, lambda folder: load_model(folder, dtype=torch.float32).state_dict())
            async with ChatServer(engine, about, control=engine, weights=weights) as server:
                place.extend((server.url, server.token))
                told.set()
                await asyncio.to_thread(ended.wait)
                versions.append(engine.version)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert told.wait(60)
        yield place[0], place[1], versions
    finally:
        ended.set()
        thread.join()


def test_a_run_learns_from_an_engine_elsewhere(tmp_path: Path) -> None:
    start, root = checkpoint_of_little(tmp_path / "start"), tmp_path / "weights"
    root.mkdir()
    with served(start, root) as (address, token, versions):
        run = little_run(start, steps=2, engine=address, engine_weights=str(root))
        with folder_of(tmp_path / "run", run.to_json()) as folder:
            given = {"device": torch.device("cpu"), "registry": REGISTRY}
            with pytest.raises(ConfigError, match="asks for the token"):
                execute_rl(run, folder, **given)
            assert execute_rl(run, folder, engine_token=token, **given)
        fresh = replace(run, name="again")
        with (
            folder_of(tmp_path / "again", fresh.to_json()) as folder,
            pytest.raises(ConfigError, match="version 2, this"),
        ):
            execute_rl(fresh, folder, engine_token=token, **given)
    assert versions == [2]
    folder = folder_of(tmp_path / "run", {})
    assert [row["updated"] for row in plain_rows(folder, "rl")] == [True, True]
    assert plain_rows(folder, "start")[0]["engine"].startswith("manyeyes serve at http")
    assert sorted(path.name for path in root.iterdir()) == ["run-1", "run-2"]


def test_attempts_under_way_go_on_with_a_server_that_was_started_anew(tmp_path: Path) -> None:
    start, root, path = checkpoint_of_little(tmp_path / "start"), tmp_path / "weights", tmp_path / "run"
    root.mkdir()
    holding, said, ended = Holding(), list[str](), list[bool]()
    for stop in (lambda: len(holding.held) >= 3 and any(line.startswith("step 1") for line in said), lambda: False):
        with served(start, root) as (address, token, _):
            run = little_run(start, loop="async", measured=(), engine=address, engine_weights=str(root))
            with folder_of(path, run.to_json()) as folder:
                ended.append(execute_rl(
                    run, folder, device=torch.device("cpu"), registry=holding.registry, announce=said.append,
                    engine_token=token, stop=stop,
                ))  # fmt: skip
        holding.open = True
    assert ended == [False, True] and any("under way at the last" in line for line in said)
    groups = [group for row in plain_rows(folder_of(path, {}), "rl") for group in row["groups"]]
    assert len(groups) == len(set(groups)) >= 6
    with TrajectoryStore(path / "trajectories", mode="read") as store:
        assert any(store.get(name).nodes[0].versions[0] == 0 for name in holding.held if name in store)
