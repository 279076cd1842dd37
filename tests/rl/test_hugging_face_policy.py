"""A model of transformers learns by the same objective, loop and optimiser as K2.5."""

import asyncio
import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sample import Sample
from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.core.trajectory import UNVERSIONED
from manyeyes.data.packing import pack_all, stack
from manyeyes.data.shared_beginnings import pack_shared
from manyeyes.inference.hugging_face_sampler import HuggingFaceSampler
from manyeyes.model.hugging_face import HuggingFaceModel
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.optim.schedule import Schedule
from manyeyes.rl.learn import learn_rl
from manyeyes.rl.logprobs import SampledFrom
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.objective import Eq1
from manyeyes.rl.policy_model import PolicyModel
from manyeyes.rl.ptx import learn_ptx
from manyeyes.rl.rl_config import RlConfig
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.sync_loop import sync_loop
from manyeyes.rl.token_count import TokenCount

from ..model.toy_hugging_face import VOCABULARY, toy
from ..train.small_system import CPU, system
from .loop_worlds import Evens, one_place, rows
from .rollout_samples import one_thread as one_thread

NEVER = frozenset({6, 31})
SOURCE = SampledFrom(0.9, NEVER)
TAU = 0.05


def both_are_policies(one: HuggingFaceModel) -> tuple[PolicyModel, PolicyModel]:
    """For the type checker; at run time the laws below say it."""
    return one, system().main


def answers(model: HuggingFaceModel, *, spread: float = 0.5) -> list[list[Sample]]:
    """Two groups of three, sampled, with log-probabilities that another policy might have told."""
    rng, groups = np.random.default_rng(0), list[list[Sample]]()

    async def sampled(prompt: list[int], seed: int) -> Sample:
        params = SamplingParams(max_new_tokens=4 + seed, temperature=0.9, seed=seed, never=NEVER)
        done = await HuggingFaceSampler(model).sample(SampleRequest(np.array(prompt, np.int32), params=params))
        blank, told = np.zeros(len(prompt), np.float32), len(done.ids)
        logprobs = np.array(done.logprobs) + rng.normal(0, spread, told)
        return Sample(
            np.array([*prompt, *done.ids], np.int32), np.concatenate([blank, np.ones(told, np.float32)]),
            name=f"t/{prompt[0]}/{seed}#0",
            logprobs=np.concatenate([blank, logprobs]).astype(np.float32),
            advantages=np.concatenate([blank, np.full(told, rng.normal(), np.float32)]),
            versions=np.concatenate([np.full(len(prompt), UNVERSIONED), done.versions]).astype(np.int32),
        )  # fmt: skip

    for prompt in ([5, *range(9, 27)], [40, 41, 42]):  # the first is long enough to be shared
        groups.append([asyncio.run(sampled(prompt, seed)) for seed in range(3)])
    return groups


def plain_gradients(model: HuggingFaceModel, samples: list[Sample]) -> tuple[dict[str, torch.Tensor], float]:
    """Eq. 1 by autograd alone: transformers' own forward pass, a sequence at a time, nothing packed."""
    n, total, masked = sum(int(one.weights.sum()) for one in samples), torch.zeros(()), 0
    for one in samples:
        ids_T = torch.from_numpy(one.ids.astype(np.int64))
        scores_TV = model.whole(ids_T[None]).logits[0, :-1] / SOURCE.temperature
        scores_TV = scores_TV.index_fill(1, torch.tensor(sorted(NEVER)), -torch.inf)
        assert one.logprobs is not None and one.advantages is not None
        at_T = torch.from_numpy(one.weights[1:] > 0)
        now_N = scores_TV.log_softmax(-1).gather(1, ids_T[1:, None])[:, 0][at_T]
        ratio_N = now_N - torch.from_numpy(one.logprobs[1:])[at_T]
        inside_N = (ratio_N.detach().abs() <= math.log(2)).float()
        policy_N = inside_N * ratio_N.exp() * torch.from_numpy(one.advantages[1:])[at_T]
        total = total - (policy_N - TAU * ratio_N.square()).sum() / n
        masked += int((inside_N == 0).sum())
    total.backward()
    return taken(model), masked / n


def taken(model: HuggingFaceModel) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_the_gradient_of_packed_rows_is_that_of_plain_autograd_on_each_sequence(tied: bool, shared: bool) -> None:
    model = toy(tied=tied)
    groups = answers(model)
    samples = [one for group in groups for one in group]
    expected, masked = plain_gradients(model, samples)
    packs = pack_shared(groups, 48, pad_id=1) if shared else pack_all(samples, 40, pad_id=1)
    batch = stack(packs)
    assert (batch.continues_BT is not None) == shared and len(packs) > 1
    count = TokenCount(tokens=sum(int(one.weights.sum()) for one in samples), sequences=6, groups=2)
    learned = learn_rl(
        model, batch, Eq1(tau=TAU), count=count, source=SOURCE, micro_rows=1, clip_threshold=100.0, device=CPU
    )
    found = taken(model)
    assert found.keys() == expected.keys() and 0 < masked < 1
    assert learned.parts["masked"] == pytest.approx(masked)
    assert learned.expert_counts_LE is None and learned.max_logit_LH is None
    for name, wanted in expected.items():
        torch.testing.assert_close(found[name], wanted, atol=1e-6, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")


def test_what_was_sampled_a_moment_ago_has_the_trainers_log_probabilities() -> None:
    model = toy()
    samples = [one for group in answers(model, spread=0.0) for one in group]
    batch = stack(pack_all(samples, 64, pad_id=1))
    learned = learn_rl(
        model, batch, Eq1(), count=TokenCount.of(batch), source=SOURCE, micro_rows=2, clip_threshold=100.0, device=CPU
    )
    at_BT = batch.weights_BT > 0
    assert batch.logprobs_BT is not None and at_BT.sum() > 20
    np.testing.assert_allclose(learned.found.logprobs_BT[at_BT], batch.logprobs_BT[at_BT], atol=1e-5)


def test_text_can_be_learned_beside_it() -> None:
    model = toy()
    samples = [dataclasses.replace(one, logprobs=None, advantages=None, versions=None) for one in answers(model)[0]]
    batch = stack(pack_all(samples, 64, pad_id=1))
    text = learn_ptx(model, batch, weight=1.0, micro_rows=1, clip_threshold=100.0, device=CPU)
    found, total = taken(model), torch.zeros(())
    for one in samples:
        ids_T, weights_T = torch.from_numpy(one.ids.astype(np.int64)), torch.from_numpy(one.weights[1:])
        now_T = model.whole(ids_T[None]).logits[0, :-1].log_softmax(-1).gather(1, ids_T[1:, None])[:, 0]
        total = total - (now_T * weights_T).sum() / sum(float(other.weights.sum()) for other in samples)
    total.backward()
    assert text.parts["ptx"] == pytest.approx(float(total.detach()), rel=1e-5)
    expected = taken(model)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def run_in(path: Path, *, steps: int, model: HuggingFaceModel | None = None) -> RlLoop:
    """The bandit whose even tokens are worth more."""
    model = model or toy()
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(weight_decay=0.0))
    config = RlConfig(
        SampleRules(row_length=32, pad_id=1), steps=steps, groups=4, attempts=6, checkpoint_every=3,
        schedule=Schedule(peak=2e-2, decay=0.0),
    )  # fmt: skip
    folder = RunFolder.open(path) if (path / "config.json").exists() else RunFolder.create(path, {})
    domains = one_place(tokens=2)
    place = domains.domains[0].places[0]
    evens = Evens(params=SamplingParams(max_new_tokens=2, temperature=1.0))
    patched: Any = dataclasses.replace(place, episode=lambda temperature: evens)
    domains._places["reasoning/text"] = patched
    return RlLoop(
        model, optimizer, HuggingFaceSampler(copy.deepcopy(model), rows=8), domains, config=config, folder=folder,
        rollouts=RolloutConfig(infra_retries=0, judge_tries=0),
    )  # fmt: skip


def test_a_loop_learns_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", steps=9)
    began = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    assert asyncio.run(sync_loop(run, stop=lambda: run.step >= 6)) is False
    again = run_in(tmp_path / "run", steps=9)
    assert again.resume() and again.step == 6
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name
    assert asyncio.run(sync_loop(again)) is True
    seen = rows(again)
    assert [row["step"] for row in seen] == list(range(1, 10)) and again.sampler.version == 9
    assert np.mean([row["reward"] for row in seen[-3:]]) > np.mean([row["reward"] for row in seen[:3]]) + 0.15
    stepped = [row for row in seen if row["updated"]]
    assert len(stepped) > 4 and all(row["mismatch/kl_k3"] < 1e-6 and row["clipped"] == 0 for row in stepped)
    after = again.model.state_dict()
    assert all(not torch.equal(after[name], tensor) for name, tensor in began.items())
    assert int(after["language_model.model.stack.embed_tokens.weight"].shape[0]) == VOCABULARY
