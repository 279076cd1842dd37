"""An RL run from its configuration to its weights: resumed bit for bit, measured, with everything that it may have."""

from pathlib import Path

import pytest
import torch

from manyeyes.agent.registry import Found, Registry
from manyeyes.core.errors import ConfigError
from manyeyes.model.checkpoint import load_model
from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import PtxSpec, RlRun
from manyeyes.rl.curriculum import CurriculumRule
from manyeyes.rl.toggle import ToggleRule

from .post_worlds import REGISTRY, checkpoint_of_little, folder_of, little_run, plain_rows

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of_little(tmp_path_factory.mktemp("little") / "model")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def executed(run: RlRun, path: Path, *, stop_after: int | None = None) -> bool:
    """Run it, or to a stop request after so many steps."""
    steps = 0

    def announce(line: str) -> None:
        nonlocal steps
        steps += line.startswith("step ")

    with folder_of(path, run.to_json()) as folder:
        return execute_rl(
            run, folder, device=CPU, registry=REGISTRY, announce=announce,
            stop=lambda: stop_after is not None and steps >= stop_after,
        )  # fmt: skip


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path / "model").state_dict()


def test_a_run_learns_is_measured_and_leaves_a_model(start: Path, tmp_path: Path) -> None:
    run = little_run(start)
    assert executed(run, tmp_path / "run")
    folder = folder_of(tmp_path / "run", {})
    measured = plain_rows(folder, "evaluation")
    assert [row["step"] for row in measured] == [0, 2, 3]
    assert [row["sums/questions"] for row in measured] == [4.0, 2.0, 4.0]
    assert all(0.0 <= row["sums/reward"] <= 1.0 and row["sums/failed"] == 0.0 for row in measured)
    assert [row["step"] for row in plain_rows(folder, "rl")] == [1, 2, 3]
    before, after = load_model(start).state_dict(), weights_of(tmp_path / "run")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert plain_rows(folder, "finished")


def test_a_run_that_was_stopped_ends_with_the_same_weights_and_rows(start: Path, tmp_path: Path) -> None:
    run = little_run(
        start, curriculum=CurriculumRule(patience=1, rest=1), toggle=ToggleRule(every=1),
        ptx=PtxSpec({"small_talk": 1.0}, rows=1),
    )  # fmt: skip
    assert executed(run, tmp_path / "whole")
    assert not executed(run, tmp_path / "parts", stop_after=1)
    assert not executed(run, tmp_path / "parts", stop_after=1)
    assert executed(run, tmp_path / "parts")
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    for kind in ("rl", "evaluation"):
        assert plain_rows(folder_of(tmp_path / "parts", {}), kind) == plain_rows(
            folder_of(tmp_path / "whole", {}), kind
        )


def test_the_asynchronous_loop_finishes_too(start: Path, tmp_path: Path) -> None:
    assert executed(little_run(start, loop="async"), tmp_path / "run")
    assert [row["step"] for row in plain_rows(folder_of(tmp_path / "run", {}), "rl")] == [1, 2, 3]


def test_another_configuration_is_refused(start: Path, tmp_path: Path) -> None:
    assert executed(little_run(start, steps=1, measured=()), tmp_path / "run")
    with pytest.raises(ConfigError, match="another configuration"):
        executed(little_run(start, steps=2, measured=()), tmp_path / "run")


def test_names_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    from dataclasses import replace

    from .post_worlds import PLACE

    run = little_run(tmp_path / "nowhere", places=(replace(PLACE, environment="sum"),), measured=())
    with pytest.raises(ConfigError, match="did you mean 'sums'"):
        executed(run, tmp_path / "run")


def test_a_place_without_held_out_tasks_is_not_measured(tmp_path: Path) -> None:
    from .post_worlds import sums, world

    unsplit = Registry(
        {"environments": {"sums": world}, "task_sources": {"sums": lambda seed=0: sums(seed)}}, installed=Found(())
    )
    with pytest.raises(ConfigError, match="takes no `split`"):
        Places(little_run(tmp_path / "nowhere"), unsplit)
