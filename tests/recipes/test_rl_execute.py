"""An RL run from its configuration to its weights: resumed bit for bit, measured, with everything that it may have."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Rewards
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Node, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.model.checkpoint import load_model
from manyeyes.model.multimodal import K25
from manyeyes.recipes.rl_execute import execute_rl
from manyeyes.recipes.rl_kept import UNCONSTRAINED
from manyeyes.recipes.rl_measure import MEASURED
from manyeyes.recipes.rl_parts import Frozen, PtxSpec
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.curriculum import CurriculumRule
from manyeyes.rl.toggle import ToggleRule

from .post_worlds import (
    ASKS,
    PLACE,
    REGISTRY,
    Holding,
    checkpoint_of_less,
    checkpoint_of_little,
    folder_of,
    little_run,
    plain_rows,
    said_anything,
    sums,
)

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


def weights_of(path: Path, name: str = "model") -> dict[str, torch.Tensor]:
    return load_model(path / name).state_dict()


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


def same(one: Path, other: Path, name: str = "model") -> bool:
    mine, theirs = weights_of(one, name), weights_of(other, name)
    return all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_run_that_was_stopped_ends_with_the_same_weights_and_rows(start: Path, tmp_path: Path) -> None:
    """Few tasks, so that they come again: the curriculum passes some over, and Toggle knows budgets."""
    place = replace(PLACE, tasks={"size": 3}, answer_tokens=6)
    run = little_run(
        start, places=(place,), steps=7, curriculum=CurriculumRule(patience=1, rest=1),
        toggle=ToggleRule(every=1, threshold=0.1), ptx=PtxSpec({"small_talk": 1.0}, rows=1),
    )  # fmt: skip
    assert executed(run, tmp_path / "whole")
    for _ in range(3):
        assert not executed(run, tmp_path / "parts", stop_after=1)
    assert executed(run, tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts", UNCONSTRAINED)
    whole, parts = folder_of(tmp_path / "whole", {}), folder_of(tmp_path / "parts", {})
    for kind in ("rl", "evaluation"):
        assert plain_rows(parts, kind) == plain_rows(whole, kind)
    rows = plain_rows(whole, "rl")
    assert rows[-1]["skipped"] > 0 and sum(row["tally"].get("toggle/enforced", 0) for row in rows) > 0


def test_toggle_leaves_both_models_and_measures_the_end_of_both_phases(start: Path, tmp_path: Path) -> None:
    run = little_run(start, steps=5, toggle=ToggleRule(every=1), evaluate_every=0)
    assert executed(run, tmp_path / "toggle")
    rows = plain_rows(folder_of(tmp_path / "toggle", {}), "evaluation")
    assert [(row["step"], row["final"], row["sums/questions"]) for row in rows] == [
        (0, True, 4.0), (4, True, 4.0), (5, True, 4.0)
    ]  # fmt: skip
    brief, free = weights_of(tmp_path / "toggle"), weights_of(tmp_path / "toggle", UNCONSTRAINED)
    assert any(not torch.equal(brief[name], free[name]) for name in brief)
    store = TrajectoryStore(tmp_path / "toggle" / MEASURED, mode="read")
    assert {store.summary(name).last_version for name in store.names()} == {0, 4, 5}


def test_steps_that_teach_nothing_do_not_move_the_phases(start: Path, tmp_path: Path) -> None:
    """No step is an update, and yet each phase ends where it is said to."""
    dull = replace(PLACE, world={"lenient": False})
    run = little_run(start, places=(dull,), measured=(), steps=6, toggle=ToggleRule(every=2))
    assert executed(run, tmp_path / "run")
    rows = plain_rows(folder_of(tmp_path / "run", {}), "rl")
    assert [row["updated"] for row in rows] == [False] * 6
    assert [row["toggle/phase"] for row in rows] == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_a_model_that_is_there_already_is_replaced(start: Path, tmp_path: Path) -> None:
    """A life that died behind its export and before it said that it was finished."""
    run = little_run(start, measured=(), steps=3, toggle=ToggleRule(every=1))
    assert executed(run, tmp_path / "run")
    before = weights_of(tmp_path / "run")
    folder = folder_of(tmp_path / "run", {})
    log = folder.path / "metrics.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if '"finished"' not in line))
    assert executed(run, tmp_path / "run")
    after = weights_of(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


class NoSandbox(Environment):
    """Needs what is not there."""

    async def ready(self) -> None:
        raise ConfigError("no sandbox works here; to mend it: install bubblewrap")


def test_what_an_environment_needs_is_tried_before_the_first_attempt(start: Path, tmp_path: Path) -> None:
    def needy() -> Environment:
        return NoSandbox(lambda ctx: Together(), judge=Rewards(odd=said_anything), name="sums")

    registry = Registry({"environments": {"sums": needy}, "task_sources": {"sums": sums}}, installed=Found(()))
    run = little_run(start)
    with folder_of(tmp_path / "run", run.to_json()) as folder:
        with pytest.raises(ConfigError, match="install bubblewrap"):
            execute_rl(run, folder, device=CPU, registry=registry)
        assert not (folder.path / MEASURED).exists() and not folder.metrics("start")


def test_sub_agents_change_with_the_steps_and_a_resumed_run_has_the_same_ones(start: Path, tmp_path: Path) -> None:
    other = checkpoint_of_little(tmp_path / "other", seed=9)
    run = little_run(start, places=(ASKS,), measured=(), steps=4, frozen=(Frozen(0, str(start)), Frozen(2, str(other))))
    assert executed(run, tmp_path / "whole")
    assert not executed(run, tmp_path / "parts", stop_after=1)
    assert not executed(run, tmp_path / "parts", stop_after=2)
    assert executed(run, tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")
    rows = plain_rows(folder_of(tmp_path / "whole", {}), "rl")
    assert rows == plain_rows(folder_of(tmp_path / "parts", {}), "rl")
    (balance,) = plain_rows(folder_of(tmp_path / "whole", {}), "balance")
    assert balance["places_live"] + balance["places_frozen"] == run.running
    alone = replace(run, frozen=(Frozen(0, str(start)),))
    assert executed(alone, tmp_path / "alone")
    unchanged = plain_rows(folder_of(tmp_path / "alone", {}), "rl")
    assert rows[:2] == unchanged[:2] and rows[2:] != unchanged[2:]


def test_a_small_sub_agent_answers_first_and_then_a_larger_one(start: Path, tmp_path: Path) -> None:
    """Fewer layers, narrower ones, the same words. Whose weights an answer is of is told by its log-probabilities."""
    small = checkpoint_of_less(tmp_path / "small")
    frozen = (Frozen(0, str(small)), Frozen(2, str(start)))
    run = little_run(start, places=(ASKS,), measured=(), steps=4, frozen=frozen)
    assert executed(run, tmp_path / "run")
    answered = {"small": load_model(small), "large": load_model(start)}
    sizes = {name: (model.config.text.num_hidden_layers, model.config.text.hidden_size)
             for name, model in answered.items()}  # fmt: skip
    assert sizes == {"small": (2, 48), "large": (3, 64)}
    told: dict[int, set[str]] = {}
    with TrajectoryStore(tmp_path / "run" / "trajectories", mode="read") as store:
        for row in plain_rows(folder_of(tmp_path / "run", {}), "rl"):
            own = [store.get(name) for name in store.names() if name.split("/")[-2] in row["groups"]]
            told[row["step"]] = {sampled_by(answered, one) for one in own}
    assert told == {1: {"small"}, 2: {"small"}, 3: {"large"}, 4: {"large"}}


def sampled_by(models: dict[str, K25], attempt: Trajectory) -> str:
    """The model whose log-probabilities are those of the attempt's sub-agent."""
    (sub,) = (node for node in attempt.nodes if attempt.agents[node.agent].policy == "frozen")
    never = torch.tensor(sorted(out_of_turn(Tokenizer.tiny(), thinking=True)))
    (found,) = (name for name, model in models.items() if np.abs(log_p(model, sub, never) - sub.logprobs).max() < 1e-3)
    return found


@torch.no_grad()
def log_p(model: K25, node: Node, never: torch.Tensor) -> np.ndarray:
    """Of its sampled ids, at temperature 1."""
    ids_T = torch.from_numpy(node.ids.copy())
    logits_TV = model.logits(model(ids_T[None]).hidden_BTD)[0].index_fill(-1, never, -torch.inf)
    return logits_TV.log_softmax(-1)[torch.arange(node.given, len(ids_T)) - 1, ids_T[node.given :].long()].numpy()


def test_a_run_whose_tasks_end_is_measured_at_its_end(start: Path, tmp_path: Path) -> None:
    few = replace(PLACE, tasks={"size": 5, "epochs": 1})
    assert executed(little_run(start, places=(few,), steps=9, evaluate_every=0), tmp_path / "run")
    folder = folder_of(tmp_path / "run", {})
    assert [(row["step"], row["final"]) for row in plain_rows(folder, "evaluation")] == [(0, True), (3, True)]
    assert plain_rows(folder, "used_up") and (tmp_path / "run" / "model" / "config.json").exists()


def test_what_other_weights_said_at_the_same_step_is_measured_anew(start: Path, tmp_path: Path) -> None:
    """A life that died behind a measurement and before its checkpoint; the next one comes to other weights there."""
    run = little_run(start, steps=2, evaluate_every=1)
    assert not executed(run, tmp_path / "run", stop_after=1)
    with TrajectoryStore(tmp_path / "run" / MEASURED, mode="read") as store:
        first = set(store.names())
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.rmtree(tmp_path / "run" / "trajectories")
    other = checkpoint_of_little(tmp_path / "other", seed=9)
    with folder_of(tmp_path / "run", {}) as folder:
        moved = replace(run, start_model=str(other))
        folder.write_config(moved.to_json())
    assert executed(moved, tmp_path / "run")
    with TrajectoryStore(tmp_path / "run" / MEASURED, mode="read") as store:
        assert len(set(store.names()) - first) == 4 + 2 + 4


def test_a_run_that_goes_on_with_other_threads_says_so(start: Path, tmp_path: Path) -> None:
    run = little_run(start, measured=())
    assert not executed(run, tmp_path / "run", stop_after=1)
    torch.set_num_threads(2)
    assert executed(run, tmp_path / "run")
    (moved,) = plain_rows(folder_of(tmp_path / "run", {}), "moved")
    assert (moved["step"], moved["threads"]) == (1, 2)


def test_the_asynchronous_loop_finishes_too(start: Path, tmp_path: Path) -> None:
    assert executed(little_run(start, loop="async"), tmp_path / "run")
    assert [row["step"] for row in plain_rows(folder_of(tmp_path / "run", {}), "rl")] == [1, 2, 3]


def held_up(run: RlRun, path: Path, holding: Holding) -> set[str]:
    """Stop a run behind its first step, when attempts have said all that they say and wait for their judge."""
    said: list[str] = []
    with folder_of(path, run.to_json()) as folder:
        assert not execute_rl(
            run, folder, device=CPU, registry=holding.registry, announce=said.append,
            stop=lambda: len(holding.held) >= 3 and any(line.startswith("step 1") for line in said),
        )  # fmt: skip
    return set(holding.held)


@pytest.mark.parametrize("kept", [True, False])
def test_attempts_under_way_go_on_where_they_stood(kept: bool, start: Path, tmp_path: Path) -> None:
    """What they have said was said with the first weights."""
    holding, said = Holding(), list[str]()
    run = little_run(start, loop="async", measured=(), steps=4, keep_attempts=kept)
    held, holding.open = held_up(run, tmp_path / "run", holding), True
    with folder_of(tmp_path / "run", {}) as folder:
        assert execute_rl(run, folder, device=CPU, registry=holding.registry, announce=said.append)
    groups = [group for row in plain_rows(folder_of(tmp_path / "run", {}), "rl") for group in row["groups"]]
    assert len(groups) == len(set(groups)) >= 8
    with TrajectoryStore(tmp_path / "run" / "trajectories", mode="read") as store:
        first = {int(store.get(name).nodes[0].versions[0]) for name in held if name in store}
    assert (0 in first) == kept and first <= ({0, 1} if kept else {1, 2, 3})
    assert any("attempts that were under way at the last" in line for line in said) == kept
    assert (tmp_path / "run" / "attempts").exists() == kept


def test_a_life_that_keeps_no_attempts_leaves_none_of_an_earlier_one(start: Path, tmp_path: Path) -> None:
    """A later one would go on with what weights have said that this run has not."""
    run, holding = little_run(start, loop="async", measured=(), steps=4), Holding()
    held_up(run, tmp_path / "run", holding)
    (kept,) = (path for path in (tmp_path / "run" / "attempts").iterdir() if path.name == "step_00000001")
    assert any(kept.iterdir())
    anew = replace(run, keep_attempts=False)
    with folder_of(tmp_path / "run", {}) as folder:
        assert not execute_rl(anew, folder, device=CPU, registry=holding.registry, stop=lambda: True)
    assert not kept.exists()


def test_another_configuration_is_refused(start: Path, tmp_path: Path) -> None:
    assert executed(little_run(start, steps=1, measured=()), tmp_path / "run")
    with pytest.raises(ConfigError, match="another configuration"):
        executed(little_run(start, steps=2, measured=()), tmp_path / "run")


def test_names_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
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
