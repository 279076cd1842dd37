"""A run as small as can be: a bandit whose arms are tokens, a sampler that is a model's plain forward pass, sources."""

import copy
import dataclasses
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manyeyes.agent.judge import Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.ctx import RolloutCtx
from manyeyes.agent.rollouts.token_environment import TokenObservation, TokenStep
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import Completion, OnToken, SampleRequest, SamplingParams
from manyeyes.core.seeds import stream
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.model.multimodal import K25
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.optim.schedule import Schedule
from manyeyes.rl.curriculum import Curriculum
from manyeyes.rl.domains import Domain, Domains, Place
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.rl_config import RlConfig
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.step import StepRules

from ..train.small_system import TOKENIZER, system

NEVER = frozenset({TOKENIZER.media_pad})
Verdicts = Callable[[RolloutCtx, float], Awaitable[Verdict | None]]


class ModelSampler:
    """A forward pass over everything for each token: what is said depends on weights and request alone."""

    def __init__(self, model: K25, *, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self.model, self.version, self.asked, self.before = copy.deepcopy(model), 0, 0, before
        self.published: list[int] = []

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        self.asked += 1
        ids, said, params = list(request.ids), Completion(), request.params
        for number in range(params.max_new_tokens):
            if self.before is not None:
                await self.before()
            log_p_V = self._log_p(ids, params)
            draw = stream(params.seed, "bandit", request.drawn + number).random()
            token = min(int(np.searchsorted(np.exp(log_p_V).cumsum(), draw)), len(log_p_V) - 1)
            said.ids.append(token)
            said.logprobs.append(float(log_p_V[token]))
            said.versions.append(self.version)
            ids.append(token)
        return said

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        raise NotImplementedError

    async def pause(self, *, hand_back: bool = False) -> None:
        pass

    async def resume(self) -> None:
        pass

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        self.model.load_state_dict(dict(tensors))
        self.version = version
        self.published.append(version)

    def _log_p(self, ids: list[int], params: SamplingParams) -> np.ndarray:
        with torch.no_grad():
            scores_V = self.model.logits(self.model(torch.tensor([ids], dtype=torch.int32)).hidden_BTD)[0, -1]
        scores_V = (scores_V / params.temperature).index_fill(0, torch.tensor(sorted(params.never)), -torch.inf)
        return scores_V.double().log_softmax(-1).numpy()


@dataclass
class Evens:
    """Worth the share of even tokens; `verdict` has the last word."""

    name: str = "evens"
    params: SamplingParams = SamplingParams(max_new_tokens=1, temperature=0.9, never=NEVER)
    verdict: Verdicts | None = None

    async def reset(self, task: Task, ctx: RolloutCtx) -> TokenObservation:
        return TokenObservation(np.array([1, 7, int(task.prompt)], np.int32))

    async def step(self, completion: Completion, ctx: RolloutCtx) -> TokenStep:
        ctx.state = sum(token % 2 == 0 for token in completion.ids) / len(completion.ids)
        return TokenStep(None, {"even": ctx.state})

    async def judge(self, outcome: Outcome, ctx: RolloutCtx) -> Verdict | None:
        return None if self.verdict is None else await self.verdict(ctx, ctx.state)


def place(
    name: str, *, size: int | None = None, epochs: int | None = None, verdict: Verdicts | None = None, tokens: int = 1
) -> Place:
    """Tasks "<name>/<n>" of a bandit, three prompts."""
    tasks = Tasks(lambda n: Task(f"{name}/{n}", str(9 + n % 3)), size=size or 6, epochs=epochs, seed=1, name=name)

    def episode(temperature: float) -> Evens:
        params = SamplingParams(max_new_tokens=tokens, temperature=temperature, never=NEVER)
        return Evens(name, params, verdict)

    return Place(name, tasks, episode)


def two_domains(curriculum: Curriculum | None = None) -> Domains:
    domains = [Domain("reasoning", (place("text"), place("pictures"))), Domain("agentic", (place("tools"),), 0.5)]
    return Domains(domains, seed=5, curriculum=curriculum)


def one_place(**settings: Any) -> Domains:
    return Domains([Domain("reasoning", (place("text", **settings),))], seed=5)


CONFIG = RlConfig(
    SampleRules(row_length=32, pad_id=TOKENIZER.pad),
    steps=4,
    groups=3,
    attempts=4,
    update=StepRules(micro_rows=8),
    schedule=Schedule(peak=2e-2, decay=0.0),
    never=NEVER,
    checkpoint_every=2,
)


def make_run(
    path: Path, *, domains: Domains | None = None, store: TrajectoryStore | None = None,
    before: Callable[[], Awaitable[None]] | None = None, rollouts: RolloutConfig | None = None,
    config: RlConfig = CONFIG, **more: Any,
) -> RlLoop:  # fmt: skip
    """A run in a folder that is made when it is not there; new networks, as in a new process."""
    model = system().main
    settings = {name: more.pop(name) for name in list(more) if name in {f.name for f in dataclasses.fields(RlConfig)}}
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(weight_decay=0.0), model=model)
    folder = RunFolder.open(path) if (path / "config.json").exists() else RunFolder.create(path, {})
    return RlLoop(
        model, optimizer, ModelSampler(model, before=before), domains or two_domains(),
        config=dataclasses.replace(config, **settings), folder=folder, store=store,
        rollouts=rollouts or RolloutConfig(infra_retries=0, judge_tries=0), **more,
    )  # fmt: skip


def sampler_of(run: RlLoop) -> ModelSampler:
    assert isinstance(run.sampler, ModelSampler)
    return run.sampler


def rows(run: RlLoop, kind: str = "rl") -> list[dict[str, Any]]:
    return [row.values | {"step": row.step} for row in run.folder.metrics(kind)]


def weights(run: RlLoop) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def plain(figures: Mapping[str, Any]) -> dict[str, Any]:
    """NaN equals NaN."""
    return {k: "NaN" if isinstance(v, float) and math.isnan(v) else v for k, v in figures.items()}
