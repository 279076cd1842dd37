"""An update learns a bandit under every objective, measures what it learned from, and leaves weights alone else."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from manyeyes.core.errors import DataError, ManyeyesError
from manyeyes.core.sample import Sample
from manyeyes.data.packing import Batch, pack, stack
from manyeyes.model.multimodal import K25
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.rl.advantage import advantages_of
from manyeyes.rl.band import Band
from manyeyes.rl.grpo import Grpo
from manyeyes.rl.gspo import Gspo
from manyeyes.rl.icepop import IcePop
from manyeyes.rl.k15 import K15
from manyeyes.rl.learned_tokens import LearnedTokens
from manyeyes.rl.objective import Eq1, Loss, Objective
from manyeyes.rl.step import RlStep, StepRules, rl_step, update
from manyeyes.rl.token_count import TokenCount
from manyeyes.train import in_order

from ..train.small_system import CPU, batch, system
from .rollout_samples import SOURCE, one_a_row, rollout_samples, tight
from .rollout_samples import one_thread as one_thread

PROMPT = torch.tensor([[1, 7, 9]], dtype=torch.int32)


def optimizer_of(model: K25, **settings) -> MuonClip:
    return MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(**settings), model=model)


def step(model: K25, optimizer: MuonClip, batch: Batch | None, rules: StepRules | None = None, **more) -> RlStep:
    count = TokenCount() if batch is None else TokenCount.of(batch)
    settings = {"count": count, "source": SOURCE, "version": 1, "rate": 1e-3, "device": CPU} | more
    return rl_step(model, optimizer, batch, rules or StepRules(), **settings)


def scores(model: K25) -> torch.Tensor:
    with torch.no_grad():
        scores_V = model.logits(model(PROMPT).hidden_BTD)[0, -1] / SOURCE.temperature
    return scores_V.index_fill(0, torch.tensor(sorted(SOURCE.never)), -torch.inf)


def bandit(model: K25, generator: torch.Generator, version: int, *, pulls: int = 48) -> tuple[Batch, float]:
    """One token behind a prompt, rewarded when even."""
    log_p_V = scores(model).log_softmax(-1)
    drawn = torch.multinomial(log_p_V.exp(), pulls, replacement=True, generator=generator).tolist()
    rewards = [float(token % 2 == 0) for token in drawn]
    samples = [
        Sample(
            np.array([*PROMPT[0].tolist(), token], np.int32), np.array([0, 0, 0, 1], np.float32), name=f"even/0/{n}#0",
            logprobs=np.array([0, 0, 0, float(log_p_V[token])], np.float32),
            advantages=np.array([0, 0, 0, advantage], np.float32), versions=np.array([-1, -1, -1, version], np.int32),
        )
        for n, (token, advantage) in enumerate(zip(drawn, advantages_of(rewards).values, strict=True))
    ]  # fmt: skip
    return stack([pack(samples[at : at + 8], 32, pad_id=0) for at in range(0, pulls, 8)]), sum(rewards) / pulls


@pytest.mark.parametrize(
    "objective", [Eq1(), Grpo(), Gspo(0.2, 0.28), IcePop(), K15()], ids=lambda one: type(one).__name__
)
def test_a_bandit_is_learned(objective: Objective) -> None:
    model, generator = system().main, torch.Generator().manual_seed(0)
    optimizer = optimizer_of(model, weight_decay=0.0)
    shares = []
    for version in range(14):
        shares.append(float(scores(model).softmax(-1)[::2].sum()))
        rows, _ = bandit(model, generator, version)
        rules = StepRules(objective, micro_rows=3)
        found = step(model, optimizer, rows, rules, version=version, rate=2e-2, least_told=0)  # all are even in the end
        assert found.updated and found.mismatch.all.mean_absolute < 1e-4  # learned from what was just sampled
    assert shares[0] < 0.65 and shares[-1] > 0.85, shares


def test_figures_tell_loss_kl_entropy_masks_and_the_update() -> None:
    model = system().main
    found = step(model, optimizer_of(model), tight(rollout_samples(model)), StepRules(micro_rows=2))
    figures = found.figures
    assert {"loss", "policy", "squared", "masked", "balance", "entropy", "learning_rate", "gradient_norm"} <= set(
        figures
    )
    assert figures["mismatch/kl_k3"] > 0 and figures["temperature"] == 0.9 and figures["mismatch/tokens/stale 0"] > 0
    assert found.mismatch.all.masked_share == pytest.approx(figures["masked"])
    assert all(math.isfinite(value) for value in figures.values())
    assert found.mismatch.routing.differing_share == 0.0


def test_replay_and_another_band_go_through() -> None:
    model = system().main
    rules = StepRules(replay=True, band=Band(0.99, 1.01))
    found = step(model, optimizer_of(model), tight(rollout_samples(model)), rules)
    assert found.mismatch.all.masked_share > 0.9


def test_heads_are_clipped_and_experts_balanced_as_in_pre_training() -> None:
    model = system().main
    bias = [layer.mlp.gate.e_score_correction_bias.clone() for layer in model.language_model.model.layers[1:]]
    found = step(model, optimizer_of(model, clip_threshold=0.01), tight(rollout_samples(model)))
    assert found.clipped > 0 and found.max_logit > 0.01 and found.load >= 1.0
    after = [layer.mlp.gate.e_score_correction_bias for layer in model.language_model.model.layers[1:]]
    assert not any(one.equal(other) for one, other in zip(bias, after, strict=True))


def test_ptx_is_mixed_in() -> None:
    model, other = system().main, system().main
    rows = tight(rollout_samples(model))
    plain = step(model, optimizer_of(model), rows)
    mixed = step(other, optimizer_of(other), rows, StepRules(ptx_weight=0.5), ptx=batch())
    assert "ptx" not in plain.parts and mixed.parts["ptx"] > 1.0
    assert mixed.gradient_norm != pytest.approx(plain.gradient_norm, rel=1e-3)


@pytest.mark.parametrize("empty", [None, "silent"])
def test_nothing_to_learn_from_is_no_update(empty: str | None) -> None:
    model = system().main
    optimizer = optimizer_of(model)
    step(model, optimizer, tight(rollout_samples(model)))  # momentum that could move weights
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    silent = [dataclasses.replace(s, weights=np.zeros_like(s.weights)) for s in rollout_samples(model)]
    found = step(model, optimizer, tight(silent) if empty else None, count=TokenCount(tokens=9))
    assert not found.updated and all(math.isfinite(value) for value in found.figures.values())
    assert all(before[name].equal(tensor) for name, tensor in model.state_dict().items())


def test_a_gradient_that_is_not_finite_steps_nothing() -> None:
    model = system().main
    optimizer = optimizer_of(model)
    before = model.head_weight.detach().clone()
    model.head_weight.grad = torch.full_like(model.head_weight, math.nan)
    with pytest.raises(ManyeyesError, match="not finite .*policy 2"):
        update(optimizer, rate=1e-3, gradient_norm=1.0, parts={"policy": 2.0})
    assert model.head_weight.equal(before)


@pytest.mark.parametrize("settings", [{"micro_rows": 0}, {"gradient_norm": 0.0}, {"ptx_weight": -1.0}])
def test_rules_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ManyeyesError, match="micro_rows"):
        StepRules(**settings)


def test_a_rank_without_a_batch_is_told_so_before_others_wait_for_it() -> None:
    model = system().main
    with pytest.raises(DataError, match="rows of padding"):
        step(model, optimizer_of(model), None, count=TokenCount(tokens=9, told=1), reduce=lambda seen: None)


@pytest.mark.parametrize(("sets", "threads_of_a_piece"), [(9, {1}), (2, {1}), (1.9, {2})])
def test_gradients_that_are_held_aside_are_bounded(
    sets: float, threads_of_a_piece: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several pieces at once have one thread each; where two sets are too many they go one by one, with all threads."""
    model, seen = system().main, set[int]()
    monkeypatch.setattr(in_order, "MOST_ASIDE", int(sets * 4 * sum(one.numel() for one in model.parameters())))
    plain = Eq1()

    def objective(tokens: LearnedTokens, count: TokenCount) -> Loss:
        seen.add(torch.get_num_threads())
        return plain(tokens, count)

    try:
        torch.set_num_threads(2)
        step(model, optimizer_of(model), one_a_row(rollout_samples(model)), StepRules(objective))
    finally:
        torch.set_num_threads(1)
    assert seen == threads_of_a_piece
