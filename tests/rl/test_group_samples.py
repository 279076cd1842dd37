"""What can be learned from becomes a batch; what cannot is counted and named; the order of groups does not matter."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.task import Task
from manyeyes.core.data_rules import Rules
from manyeyes.core.trajectory import AgentSpan, Node, Trajectory
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.rl.advantage import AdvantageRule, to_main
from manyeyes.rl.group_samples import GroupSamples, group_samples
from manyeyes.rl.logprobs import SampledFrom
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.step import RlStep, StepRules, rl_step
from manyeyes.rl.toggle import Toggle, ToggleRule
from manyeyes.train.batches import samples_of

from ..train.small_system import system

RULES = SampleRules(row_length=64, pad_id=0, checks=Rules(vocab_size=500, version=3))


def attempt(name: str, task: str, reward: float | None, *, sampled: int = 4, seed: int = 0) -> Trajectory:
    """Two turns, of which one branches; a frozen agent talks in between."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    one = Trajectory(
        name, task, agents=[AgentSpan(ended=1.0), AgentSpan("main/0", parent=0, policy="frozen", ended=1.0)]
    )

    def node(given: int, count: int, parent: int = -1, agent: int = 0) -> int:
        return one.add(Node(
            rng.integers(1, 500, given + count).astype(np.int32), given,
            -rng.exponential(1.0, count).astype(np.float32), np.full(count, 2, np.int32), parent=parent, agent=agent,
        ))  # fmt: skip

    root = node(3, sampled)
    node(2, 5, agent=1)
    node(2, 3, root)
    node(2, 1, root)
    one.reward, one.stop = reward, "done"
    if reward is not None:
        one.rewards = {"outcome": reward}
    return one


def group(
    rewards: Sequence[float | None], *, id: str = "0", task: str = "sum", lengths: Sequence[int] = (), **more
) -> Group:
    request = GroupRequest(id, Task(task, "?"), episode=None, size=max(len(rewards), 1))
    sizes = lengths or [4] * len(rewards)
    attempts = [
        attempt(request.name_of(n), task, reward, sampled=size)
        for n, (reward, size) in enumerate(zip(rewards, sizes, strict=True))
    ]
    return Group(request, attempts, **({"complete": True} | more))


def made(groups: list[Group], rules: SampleRules = RULES, **more) -> GroupSamples:
    return group_samples(groups, rules, **({"step": 0} | more))


def stepped(found: GroupSamples, **more) -> RlStep:
    model = system().main
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(), model=model)
    return rl_step(
        model, optimizer, found.batch, StepRules(micro_rows=2), count=found.count, source=SampledFrom(0.8), version=3,
        rate=1e-3, device=torch.device("cpu"), **more,
    )  # fmt: skip


def advantages(found: GroupSamples) -> dict[str, float]:
    """Of each trajectory that is in the batch."""
    assert found.batch is not None
    return {
        one.name.partition("#")[0]: float(one.advantages[one.weights > 0][0]) for one in samples_of(found.batch)
        if one.advantages is not None
    }  # fmt: skip


def test_reward_less_mean_on_every_token_of_every_branch_once() -> None:
    found = made([group([1.0, 0.0, 0.0, 1.0])])
    assert advantages(found) == {f"sum/0/{n}": value for n, value in enumerate([0.5, -0.5, -0.5, 0.5])}
    assert found.batch is not None
    weights, told = found.batch.weights_BT, found.batch.advantages_BT
    assert told is not None and (np.abs(told[weights > 0]) == 0.5).all() and not told[weights == 0].any()
    assert int(weights.sum()) == 4 * 8 == found.count.tokens == found.tally["tokens/generated"]
    assert (found.count.sequences, found.count.groups, found.count.positions) == (8, 1, found.batch.tokens)
    assert found.figures == {"reward": 0.5, "reward_learned": 0.5, "length": 8.0}
    assert not [one for one in found.findings if one.severity == "error"]


def test_masked_unjudged_and_refused_attempts_are_left_out_named_and_still_in_n() -> None:
    one = group([1.0, 0.0, None, 1.0, math.nan, 0.0])
    one.trajectories[3].masked = "judge: it took too long"
    broken = one.trajectories[5]
    broken.nodes[0] = dataclasses.replace(broken.nodes[0], ids=np.full(7, 999, np.int32))
    found = made([one])
    assert advantages(found) == {"sum/0/0": 0.5, "sum/0/1": -0.5}
    fates = {
        name: found.tally[f"attempts/{name}"] for name in ("judged", "unjudged", "masked", "refused", "not_finite")
    }
    assert fates == {"judged": 2, "unjudged": 1, "masked": 1, "refused": 1, "not_finite": 1}
    assert sum(fates.values()) == found.tally["attempts"] == 6
    named = {f.name for f in found.findings if f.severity == "error"}
    assert {"sum/0/2", "sum/0/4", "sum/0/5"} <= named
    assert found.count.tokens == 6 * 8 and found.tally["tokens/learned"] == 2 * 8
    assert found.count.sequences == 2 * 2 + 4


def test_n_does_not_depend_on_masks() -> None:
    whole, masked = group([1.0, 0.0, 1.0]), group([1.0, 0.0, 1.0])
    masked.trajectories[2].masked = "capture: a hole"
    assert made([whole]).count.tokens == made([masked]).count.tokens


def test_groups_that_teach_nothing_are_counted_by_why() -> None:
    groups = [
        group([1.0, 0.0], id="a"), group([1.0, 1.0], id="b"), group([1.0, None], id="c"), group([None, None], id="d"),
        group([1.0, 0.0], id="e", complete=False, stale=True), group([1.0], id="f", complete=False), group([], id="g"),
    ]  # fmt: skip
    found = made(groups)
    kinds = ("told", "equal", "quorum", "empty", "stale", "incomplete")
    assert {kind: found.tally[f"groups/{kind}"] for kind in kinds} == {
        "told": 1, "equal": 1, "quorum": 1, "empty": 2, "stale": 1, "incomplete": 1,
    }  # fmt: skip
    assert found.tally["groups"] == 7 and found.count.groups == 2
    assert set(advantages(found)) == {"sum/a/0", "sum/a/1", "sum/b/0", "sum/b/1"}
    lighter = made(groups, dataclasses.replace(RULES, drop_equal=True))
    assert set(advantages(lighter)) == {"sum/a/0", "sum/a/1"} and lighter.count.tokens == found.count.tokens


@pytest.mark.parametrize("groups", [[], [group([None, None])], [group([1.0, 0.0], complete=False)]])
def test_nothing_to_learn_from_is_no_batch(groups: list[Group]) -> None:
    found = made(groups)
    assert found.batch is None and found.count.tokens == 0 and found.tally["groups"] == len(groups)


def test_a_batch_in_which_no_rewards_differ_teaches_nothing() -> None:
    """Its gradient is next to nothing, and an optimiser with steps of a fixed size would make a whole step of it."""
    equal = [group([1.0, 1.0], id="a"), group([0.0, 0.0], id="b")]
    found = made(equal)
    assert found.count.told == 0 and found.tally["groups/equal"] == 2 and found.count.tokens == 4 * 8
    mixed = made([*equal, group([1.0, 0.0], id="c")])
    assert mixed.count.told == 1
    cases = [(found, 1), (found, 0), (mixed, 1), (mixed, 2)]
    assert [stepped(one, least_told=least).updated for one, least in cases] == [False, True, True, False]


def test_without_a_baseline_equal_rewards_teach_unless_they_are_0() -> None:
    rules = dataclasses.replace(RULES, advantage=AdvantageRule("none", quorum=1), drop_equal=True)
    found = made([group([1.0], id="a"), group([1.0, 1.0], id="b"), group([0.0, 0.0], id="c")], rules)
    assert found.count.told == 2 and stepped(found).updated
    assert set(advantages(found)) == {"sum/a/0", "sum/b/0", "sum/b/1"}


@given(order=st.permutations(range(5)))
def test_the_order_of_delivery_does_not_matter(order: list[int]) -> None:
    groups = [group([1.0, 0.0, n / 5], id=str(n), task=f"t{n % 2}", lengths=[3, 9 + n, 5]) for n in range(5)]
    first, again = (
        made(some, toggle=Toggle(ToggleRule(threshold=0.3))) for some in (groups, [groups[place] for place in order])
    )
    assert first.count == again.count and first.tally == again.tally and first.batch is not None
    for one, other in zip(first.batch, again.batch or (), strict=True):
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_toggle_gates_before_the_baseline_and_its_budget_stays() -> None:
    toggle = Toggle(ToggleRule(every=1, threshold=0.5, percentile=50))
    attempts = group([1.0, 1.0, 1.0, 0.0], lengths=[4, 20, 6, 4])
    brief = made([attempts], toggle=toggle)
    assert toggle.budget("sum") == 10  # the main agent's tokens: 4 + 4, 20 + 4, 6 + 4
    assert advantages(brief) == {"sum/0/0": 0.5, "sum/0/1": -0.5, "sum/0/2": 0.5, "sum/0/3": -0.5}
    assert (brief.tally["toggle/gated"], brief.tally["toggle/enforced"], brief.figures["toggle/phase"]) == (1, 1, 0)
    assert (brief.figures["reward"], brief.figures["reward_learned"]) == (0.75, 0.5)
    free = made([group([1.0, 1.0, 1.0, 0.0], id="1", lengths=[40] * 4)], toggle=toggle, step=1)
    assert toggle.budget("sum") == 10 and free.tally["toggle/gated"] == 0
    assert advantages(free) == {"sum/1/0": 0.25, "sum/1/1": 0.25, "sum/1/2": 0.25, "sum/1/3": -0.75}
    negative = made([group([-1.0, 1.0, 0.0], id="2")], toggle=toggle, step=2)
    assert set(advantages(negative)) == {"sum/2/1", "sum/2/2"} and negative.tally["attempts/refused"] == 1
    assert any(one.check == "toggle" and "prize" in one.words for one in negative.findings)


def test_what_an_attempt_is_worth_may_depend_on_the_update() -> None:
    """A part that is annealed away; asked of judged attempts alone, and what it says is what Toggle gates."""
    one = group([1.0, 0.0, None, 1.0, 0.0])
    one.trajectories[3].masked = "judge: it took too long"
    for number, attempted in enumerate(one.trajectories):
        attempted.rewards = attempted.rewards | {"parallel": number / 4}

    def annealed(attempted: Trajectory, step: int) -> float | None:
        assert attempted.reward is not None and not attempted.masked
        return (
            None if attempted.rewards["parallel"] == 0.25 else attempted.reward + attempted.rewards["parallel"] / step
        )

    first, second = made([one], step=2, reward_of=annealed), made([one], step=4, reward_of=annealed)
    assert advantages(first) == {"sum/0/0": 0.25, "sum/0/4": -0.25} and first.figures["reward"] == 0.75
    assert advantages(second) == {"sum/0/0": 0.375, "sum/0/4": -0.375} and second.tally["attempts/unjudged"] == 2
    gated = made([one], step=4, reward_of=annealed, toggle=Toggle(ToggleRule(correct=0.2, percentile=0)))
    assert gated.figures["reward"] == 0.625 and gated.tally["toggle/enforced"] == 1


def test_budgets_are_of_answers_that_the_judge_calls_right() -> None:
    one = group([0.95, 0.97], lengths=[6, 16])
    one.trajectories[0].rewards, one.trajectories[1].rewards = {"right": 1.0}, {"right": 0.0}
    toggle = Toggle()
    made([one], toggle=toggle)
    assert toggle.budget("sum") == 10.0


def test_phases_of_toggle_count_steps_of_the_run_and_not_updates() -> None:
    """A step that taught nothing goes on with the phase all the same."""
    toggle = Toggle(ToggleRule(every=2))
    phases = [made([group([1.0, 0.0])], step=0, iteration=n, toggle=toggle).figures["toggle/phase"] for n in range(5)]
    assert phases == [0.0, 0.0, 1.0, 1.0, 0.0]


def test_two_groups_of_one_task_share_an_estimate() -> None:
    toggle = Toggle()
    made([group([1.0, 0.0], id="1", lengths=[6, 6]), group([0.0, 1.0], id="0", lengths=[6, 16])], toggle=toggle)
    assert toggle.budget("sum") == 15.0


def test_the_orchestrator_alone_gets_the_advantage() -> None:
    groups = [group([1.0, 0.0])]
    for one in groups[0].trajectories:
        one.agents[1].policy = "live"
    everyone, main = made(groups), made(groups, credit=to_main)
    assert everyone.count == main.count and main.batch is not None and everyone.batch is not None
    pushed = [int(np.count_nonzero(found.batch.advantages_BT)) for found in (everyone, main) if found.batch]
    assert pushed == [2 * 13, 2 * 8]


def test_frozen_agents_carry_no_loss_and_do_not_count() -> None:
    found = made([group([1.0, 0.0])])
    assert found.count.tokens == 2 * 8 and found.tally["tokens/learned"] == 2 * 8


def test_a_group_delivered_twice_is_learned_once() -> None:
    found = made([group([1.0, 0.0]), group([1.0, 0.0])])
    assert found.tally["attempts/refused"] == 2 and found.tally["tokens/learned"] == 2 * 8
    assert any(f.check == "duplicates" and f.severity == "error" for f in found.findings)


def test_a_group_of_several_tasks_is_refused_as_a_whole() -> None:
    one = group([1.0, 0.0])
    one.trajectories[1].task = "another"
    found = made([one, group([1.0, 0.0], id="1")])
    assert set(advantages(found)) == {"sum/1/0", "sum/1/1"} and found.tally["attempts/refused"] == 2
    assert any("attempts at 2 tasks" in f.words for f in found.findings)


def test_a_branch_that_fits_no_row_is_refused_by_name() -> None:
    found = made([group([1.0, 0.0, 1.0], lengths=[4, 90, 4])])
    assert found.tally["attempts/refused"] == 1
    assert "at most 64 fit" in next(str(f) for f in found.findings if f.name == "sum/0/1")


def test_versions_from_the_future_are_refused() -> None:
    one = group([1.0, 0.0, 1.0])
    node = one.trajectories[0].nodes[0]
    one.trajectories[0].nodes[0] = dataclasses.replace(node, versions=np.full(4, 9, np.int32))
    assert set(advantages(made([one]))) == {"sum/0/1", "sum/0/2"}


def test_per_group_weights_add_up_to_one_for_every_group() -> None:
    rules = dataclasses.replace(RULES, per="groups")
    found = made([group([1.0, 0.0], id="a"), group([1.0, 0.0, 1.0], id="b", lengths=[9, 9, 9])], rules)
    assert found.batch is not None and found.count.whole == 2
    totals: dict[str, float] = {}
    for one in samples_of(found.batch):
        totals[one.name.split("/")[1]] = totals.get(one.name.split("/")[1], 0) + float(one.weights.sum())
    assert totals == pytest.approx({"a": 1.0, "b": 1.0})


def test_leave_one_out_and_std_go_through() -> None:
    found = made([group([1.0, 0.0])], dataclasses.replace(RULES, advantage=AdvantageRule("leave_one_out", "std")))
    assert advantages(found) == pytest.approx({"sum/0/0": 2.0, "sum/0/1": -2.0}, rel=1e-4)


def test_what_comes_of_it_can_be_stepped_on() -> None:
    """Far from what the model says, so that most tokens are masked; whole, and in the batch's own count."""
    found = made([group([1.0, 0.0, None], id="a"), group([1.0, 1.0], id="b")])
    took = stepped(found)
    assert took.updated and took.mismatch.all.tokens == found.tally["tokens/learned"] < found.count.tokens
    masked = took.mismatch.all.masked / found.count.tokens
    assert took.parts["masked"] == pytest.approx(masked) and masked > 0.5
