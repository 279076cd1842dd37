"""Groups whose attempts share long prompts make the same update as groups whose attempts are whole."""

import dataclasses

import numpy as np
import pytest
import torch

from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Draw
from manyeyes.core.trajectory import AgentSpan, Node, Trajectory
from manyeyes.model.multimodal import K25
from manyeyes.rl.group_samples import GroupSamples, group_samples
from manyeyes.rl.icepop import IcePop
from manyeyes.rl.learn import learn_rl
from manyeyes.rl.logprobs import SampledFrom, batch_logprobs
from manyeyes.rl.objective import Eq1, Objective
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.token_count import TokenCount

from ..train.small_system import CPU, TOKENIZER, system
from .loop_worlds import CONFIG, make_run
from .rollout_samples import gradients
from .rollout_samples import one_thread as one_thread

PROMPT = 48
SHARING = SampleRules(row_length=400, pad_id=TOKENIZER.pad)
WHOLE = dataclasses.replace(SHARING, share_prompts=False)


def attempt(name: str, prompt: np.ndarray, rng: np.random.Generator, reward: float) -> Trajectory:
    """Two turns at two temperatures, the second in two branches; and another agent that begins in its own way."""
    one = Trajectory(
        name, name.rpartition("/")[0].rpartition("/")[0], agents=[AgentSpan(ended=1.0), AgentSpan("main/0", parent=0)],
        stop="done", reward=reward, rewards={"outcome": reward},
    )  # fmt: skip

    def turn(given: np.ndarray, sampled: int, temperature: float, *, parent: int = -1, agent: int = 0) -> int:
        ids = np.concatenate([given, rng.integers(6, 1700, sampled)]).astype(np.int32)
        logprobs = np.full(sampled, -7.4, np.float32) + rng.normal(0, 0.3, sampled).astype(np.float32)
        node = Node(
            ids, len(given), logprobs, np.full(sampled, 2, np.int32), parent=parent, agent=agent,
            draw=Draw(temperature),
        )  # fmt: skip
        return one.add(node)

    root = turn(prompt, int(rng.integers(3, 9)), 0.7)
    turn(rng.integers(6, 1700, 4), 5, 1.3, parent=root)
    turn(rng.integers(6, 1700, 6), 2, 1.3, parent=root)
    turn(prompt[::-1], 4, 0.7, agent=1)
    one.agents[1].ended = 1.0
    return one


def group(number: int, rewards: list[float]) -> Group:
    rng = np.random.default_rng(number)
    request, prompt = (
        GroupRequest(str(number), Task("sum", "?"), episode=None, size=len(rewards)),
        rng.integers(6, 1700, PROMPT),
    )
    attempts = [attempt(request.name_of(n), prompt, rng, reward) for n, reward in enumerate(rewards)]
    return Group(request, attempts, complete=True)


GROUPS = [group(0, [1.0, 0.0, 0.0, 1.0]), group(1, [0.0, 1.0, 0.0]), group(2, [1.0, 1.0])]


def made(groups: list[Group], rules: SampleRules) -> GroupSamples:
    found = group_samples(groups, rules, step=0, source=SampledFrom(1.0))
    assert not [one for one in found.findings if one.severity == "error"]
    return found


def learned(
    model: K25, found: GroupSamples, objective: Objective, *, moved: float = 0.0, count: TokenCount | None = None
) -> dict[str, float]:
    """Gradients are added to those that are there.

    Args:
        moved: how far the policy has moved since the first step on this batch.
    """
    assert found.batch is not None
    before = batch_logprobs(
        model, found.batch, found.source, micro_rows=1, device=CPU, temperature_BT=found.temperature_BT
    ).logprobs_BT
    return learn_rl(
        model, found.batch, objective, count=count or found.count, source=found.source, micro_rows=1,
        clip_threshold=100.0, device=CPU, temperature_BT=found.temperature_BT,
        proximal_BT=before - np.float32(moved),
    ).parts  # fmt: skip


@pytest.mark.parametrize(("objective", "moved"), [(Eq1(tau=0.05), 0.0), (IcePop(), 0.5)])
def test_sharing_prompts_changes_rounding_alone(objective: Objective, moved: float) -> None:
    model = system(aux_loss_alpha=0.5).main
    whole, shared = made(GROUPS, WHOLE), made(GROUPS, SHARING)
    assert shared.count == whole.count and shared.source == whole.source
    assert whole.tally["tokens/shared"] == 0 and whole.tally["tokens/read"] == whole.count.positions
    assert shared.tally["tokens/shared"] > 0.5 * shared.count.positions
    assert shared.tally["tokens/read"] + shared.tally["tokens/shared"] == shared.count.positions
    expected = learned(model, whole, objective, moved=moved)
    gradient = gradients(model)
    assert learned(model, shared, objective, moved=moved) == pytest.approx(expected, abs=2e-6)
    if moved:
        assert expected["clip_share"] > 0.1
    for name, ours in gradients(model).items():
        torch.testing.assert_close(ours, gradient[name], atol=1e-5, rtol=1e-3, msg=name)


def test_ranks_that_share_what_they_hold_have_the_gradient_of_the_whole() -> None:
    """Each rank packs its own groups; the count is that of all."""
    model = system(aux_loss_alpha=0.5).main
    learned(model, made(GROUPS, WHOLE), Eq1(tau=0.05))
    expected = gradients(model)
    parts = [made(GROUPS[:1], SHARING), made(GROUPS[1:], SHARING)]
    count = parts[0].count + parts[1].count
    assert count == made(GROUPS, WHOLE).count and count.told == 2
    for part in parts:
        learned(model, part, Eq1(tau=0.05), count=count)
    for name, ours in gradients(model).items():
        torch.testing.assert_close(ours, expected[name], atol=1e-5, rtol=1e-3, msg=name)


def test_each_token_keeps_its_temperature() -> None:
    told = {}
    for rules in (WHOLE, SHARING):
        found = made(GROUPS, rules)
        assert found.batch is not None and found.temperature_BT is not None
        told[rules.share_prompts] = {
            name: found.temperature_BT[row][(found.batch.segments_BT[row] == n) & (found.batch.weights_BT[row] > 0)]
            for row, names in enumerate(found.batch.names) for n, name in enumerate(names) if "[" not in name
        }  # fmt: skip
    assert told[True].keys() == told[False].keys()
    assert all(np.array_equal(told[True][name], told[False][name]) for name in told[True])
    assert {np.float32(0.7), np.float32(1.3)} == set(np.concatenate(list(told[True].values())))


def test_half_precision_on_a_cpu_is_refused_before_anything_is_sampled(tmp_path) -> None:
    run = make_run(tmp_path)
    run.model.compute_dtype = torch.bfloat16
    with pytest.raises(ConfigError, match="share_prompts=False"):
        type(run)(run.model, run.optimizer, run.sampler, run.domains, config=CONFIG, folder=run.folder)
    whole = dataclasses.replace(CONFIG, samples=dataclasses.replace(CONFIG.samples, share_prompts=False))
    assert type(run)(run.model, run.optimizer, run.sampler, run.domains, config=whole, folder=run.folder).step == 0
