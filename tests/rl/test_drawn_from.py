"""What was drawn from a distribution that the trainer can have is learned from under that one; the rest is not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.environment import Environment
from manyeyes.agent.rollouts.group import Group
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Draw, LogprobKind, SamplingParams, never_mark
from manyeyes.core.trajectory import Trajectory
from manyeyes.rl.domains import Domain, Domains
from manyeyes.rl.drawn_from import require_learnable, source_of, temperature_T, unlearnable
from manyeyes.rl.group_samples import group_samples
from manyeyes.rl.logprobs import PLAIN, SampledFrom, batch_logprobs
from manyeyes.rl.sync_loop import sync_loop

from ..train.small_system import CPU, system
from .loop_worlds import make_run, place
from .rollout_samples import one_a_row, rollout_samples
from .test_group_samples import RULES, advantages, group
from .test_sync_loop import finished

RUN = SampledFrom(0.8, frozenset({3, 5}))
AS_SAID = SamplingParams(temperature=0.8, never=RUN.never)


def drawn(one: Trajectory, *draws: Draw | None, kind: LogprobKind = "sampled") -> Trajectory:
    """Its turns with these draws, the last one again and again."""
    told = [*draws, *[draws[-1]] * len(one.nodes)]
    pairs = zip(one.nodes, told, strict=False)
    one.nodes = [dataclasses.replace(node, draw=draw, logprob_kind=kind) for node, draw in pairs]
    return one


def attempts(*draws: Draw | None, kind: LogprobKind = "sampled") -> Group:
    """One attempt for each draw."""
    made = group([float(number % 2) for number in range(len(draws))])
    for one, draw in zip(made.trajectories, draws, strict=True):
        drawn(one, draw, kind=kind)
    return made


@pytest.mark.parametrize(
    ("params", "why"),
    [
        (AS_SAID, ""),
        (dataclasses.replace(AS_SAID, temperature=1.7), ""),
        (dataclasses.replace(AS_SAID, top_p=0.95), "top_p 0.95"),
        (dataclasses.replace(AS_SAID, top_k=4, min_p=0.1), "top_k 4, min_p 0.1"),
        (dataclasses.replace(AS_SAID, constraint=lambda: None), "a constraint"),  # pyright: ignore[reportArgumentType]
        (dataclasses.replace(AS_SAID, temperature=0.0), "temperature of 0"),
        (dataclasses.replace(AS_SAID, never=frozenset({3})), "other ids forbidden"),
    ],
)
def test_what_cannot_be_computed_again_is_said(params: SamplingParams, why: str) -> None:
    one = drawn(group([1.0]).trajectories[0], params.draw)
    found = list(unlearnable(one, RUN))
    assert [finding.severity for finding in found] == ["error"] * (3 if why else 0)  # the frozen agent's is its own
    assert all(why in finding.words for finding in found)


def test_raw_log_probabilities_are_of_the_plain_softmax_and_must_have_been_drawn_from_it() -> None:
    plain, warm, forbidden = Draw(1.0), Draw(0.8), Draw(1.0, never=never_mark(RUN.never))
    one, other = attempts(plain, plain, kind="raw").trajectories
    assert not list(unlearnable(one, RUN)) and source_of([one, other], RUN) == SampledFrom(0.8)
    assert (temperature_T(one, 2, RUN) == 1.0).all()
    assert "of the plain softmax" in next(unlearnable(drawn(one, warm, kind="raw"), RUN)).words
    assert "with ids forbidden" in next(unlearnable(drawn(one, forbidden, kind="raw"), RUN)).words
    mixed = [one, drawn(other, AS_SAID.draw)]
    assert source_of(mixed, PLAIN) == PLAIN
    with pytest.raises(ConfigError, match="one kind of engine"):
        source_of(mixed, RUN)


def test_some_that_cannot_be_learned_from_are_left_out_and_counted() -> None:
    cut = dataclasses.replace(AS_SAID, top_p=0.9).draw
    found = group_samples([attempts(AS_SAID.draw, None, cut, AS_SAID.draw)], RULES, step=0, source=RUN)
    assert set(advantages(found)) == {"sum/0/0", "sum/0/1", "sum/0/3"} and found.source == RUN
    assert found.tally["attempts/refused"] == 1 and found.count.tokens == 4 * 8
    assert [one.name for one in found.findings if one.check == "draw"] == ["sum/0/2"] * 3


def test_where_none_can_be_learned_from_the_run_ends_and_says_why() -> None:
    cut = dataclasses.replace(AS_SAID, top_p=0.9).draw
    with pytest.raises(ConfigError, match=r"nothing of this step .* top_p 0\.9, .* \(top_p=1\.0\)"):
        group_samples([attempts(cut, cut)], RULES, step=0, source=RUN)


def test_each_token_has_the_temperature_of_its_turn() -> None:
    """Two turns of a branch, an attempt that does not say, one of another temperature."""
    made = attempts(None, None, Draw(1.25))
    drawn(made.trajectories[0], Draw(0.5), Draw(0.25), Draw(2.0))
    found = group_samples([made], RULES, step=0, source=SampledFrom(0.75))
    assert found.batch is not None and found.temperature_BT is not None
    told = {}
    for row, names in enumerate(found.batch.names):
        for number, name in enumerate(names):
            here = found.batch.segments_BT[row] == number
            learned = here & (found.batch.weights_BT[row] > 0)
            told[name.removeprefix("sum/0/")] = found.temperature_BT[row, learned].tolist()
    assert told["0#2"] == [0.5] * 4 + [2.0] * 3 and told["1#2"] == [0.75] * 7 and told["2#3"] == [1.25]
    assert (found.temperature_BT[found.batch.segments_BT < 0] == 1.0).all()


def test_tokens_are_learned_from_under_their_own_temperature() -> None:
    model = system().main
    batch = one_a_row(rollout_samples(model))
    warm, cold = (
        batch_logprobs(model, batch, SampledFrom(t), micro_rows=2, device=CPU).logprobs_BT for t in (1.5, 0.5)
    )
    half_BT = np.arange(batch.ids_BT.shape[1])[None] % 2 == np.arange(len(batch.ids_BT))[:, None] % 2
    mixed_BT = np.where(half_BT, np.float32(1.5), np.float32(0.5))
    found = batch_logprobs(model, batch, PLAIN, micro_rows=2, device=CPU, temperature_BT=mixed_BT).logprobs_BT
    assert np.array_equal(found, np.where(half_BT, warm, cold))


@pytest.mark.parametrize(
    ("sampling", "why"),
    [
        (Sampling(1.0, 1.0), ""),
        (Sampling(0.7, 1.0, extra={"thinking": True, "seed": 3}), ""),
        (Sampling(), "top_p 0.95"),
        (Sampling(1.0, 1.0, extra={"top_k": 5}), "top_k 5"),
        (Sampling(0.0, 1.0), "temperature of 0"),
    ],
)
def test_an_environment_is_asked_before_anything_is_sampled(sampling: Sampling, why: str) -> None:
    world = Environment(lambda ctx: Together(), sampling=sampling)
    if not why:
        require_learnable(world, place="agentic/sums")
        return
    with pytest.raises(ConfigError, match=f"agentic/sums: drawn .*{why}"):
        require_learnable(world, place="agentic/sums")


def test_a_run_whose_rollouts_are_cut_does_not_begin(tmp_path: Path) -> None:
    fine = place("text")
    params = dataclasses.replace(fine.episode(0.9).params, top_p=0.95)
    cut = dataclasses.replace(fine, episode=lambda temperature: dataclasses.replace(fine.episode(0.9), params=params))
    run = make_run(tmp_path, domains=Domains([Domain("reasoning", (cut,))], seed=5))
    with pytest.raises(ConfigError, match=r"reasoning/text: drawn with top_p 0\.95"):
        finished(sync_loop(run))
