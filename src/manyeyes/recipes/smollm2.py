"""`smollm2.reasoning`: Eq. 1 on a real pretrained small language model, SmolLM2-135M-Instruct, and reasoning-gym.

    python examples/rl_smollm2.py DATA RUN

The same loop, objective, packing and optimiser as for K2.5; only the model, its chat template and its sampler are
others. Tasks are held out by their text: nothing that is measured is learned from. A family's scorer is given the last
word of an answer.

Hardware: one thread of a CPU and 4.5 GB; 23 s a step in the median beside other work, 20 s for reading the weights.
Expected (one run, one seed, 24 held-out tasks a family): sums 0.21 to 0.92, words backward 0.03 to 0.10: not learned.

Report: §4.4.2, Eq. 1; Allal et al., "SmolLM2", 2025.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from manyeyes.agent.adapters.one_answer import OneAnswer
from manyeyes.agent.adapters.reasoning_gym import ReasoningGym
from manyeyes.agent.judge import Case, Rewards, Verdict
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.data_rules import Rules
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import SamplingParams
from manyeyes.inference.hugging_face_sampler import HuggingFaceSampler
from manyeyes.model.hugging_face import HuggingFaceModel
from manyeyes.model.hugging_face_tokens import HuggingFaceTokens
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.held_out import named
from manyeyes.recipes.rl_measure import figures_of
from manyeyes.rl.domains import Domain, Domains, Place
from manyeyes.rl.loop import RlLoop
from manyeyes.rl.rl_config import RlConfig
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.step import StepRules
from manyeyes.rl.sync_loop import sync_loop
from manyeyes.rl.temperature import TemperatureSchedule

SYSTEM = "Answer with the result alone."


@dataclass(frozen=True, slots=True)
class ReasoningRun:
    """What a run computes.

    Attributes:
        families: of reasoning-gym, with their options.
        system: the system prompt.
        each: tasks of a family, before those are left out that are measured.
        held_out: of each family, measured and never learned from.
        steps, groups, attempts: as in `RlConfig`.
        answer_tokens, context: of an answer, and of a prompt with its answer.
        row_length, rows: tokens of a packed row; attempts that are sampled at once.
        temperature: of all answers, measured ones too; at 1 a model of this size rambles.
        schedule: learning rate by updates.
        embedding_rate: factor on it for embeddings, which AdamW steps about five times as far as Muon steps a matrix.
        evaluate_every: steps between measurements.
        seed: of tasks and draws.
    """

    families: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            "chain_sum": {"max_terms": 2, "max_digits": 1},
            "spell_backward": {"min_word_len": 3, "max_word_len": 4},
        }
    )
    system: str = SYSTEM
    each: int = 400
    held_out: int = 24
    steps: int = 50
    groups: int = 4
    attempts: int = 16
    answer_tokens: int = 12
    context: int = 160
    row_length: int = 256
    rows: int = 64
    temperature: float = 0.8
    schedule: Schedule = field(default_factory=lambda: Schedule(peak=5e-5, warmup=2, decay=0.0))
    embedding_rate: float = 0.2
    evaluate_every: int = 10
    seed: int = 0


def reasoning() -> ReasoningRun:
    """See the module."""
    return ReasoningRun()


class Reasoning:
    """A run, wired: model and sampler, environments and tasks, the loop, and measurements on held-out tasks.

    Args:
        model: that learns; the sampler gets a copy.
        tokens: its vocabulary and chat template.
        gym: where tasks come from; `close` ends its scorers.
        folder: of the run; one that was begun before goes on.

    Raises:
        ConfigError: tasks cannot be made. CheckpointError: the folder holds a run of another configuration.
    """

    def __init__(
        self,
        run: ReasoningRun,
        model: HuggingFaceModel,
        tokens: HuggingFaceTokens,
        gym: ReasoningGym,
        folder: RunFolder,
        *,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.run, self.model, self.tokens, self.folder, self.announce = run, model, tokens, folder, announce
        self.gym = gym
        self.environment = gym.environment(system=run.system, judge=Rewards(score=LastWord(gym)))
        self.tasks = {name: split(gym, run, name) for name in run.families}
        self.sampler = HuggingFaceSampler(copy.deepcopy(model), rows=run.rows, context=run.context)
        rules = MuonClipConfig(weight_decay=0.0, learning_rates=((r"(^|\.)embed_tokens\.", run.embedding_rate),))
        optimizer = MuonClip.from_named_parameters(model.named_parameters(), rules)
        self.loop = RlLoop(
            model, optimizer, self.sampler, self._domains(), config=self._config(model), folder=folder,
            rollouts=RolloutConfig(most_running=run.rows), fingerprint=fingerprint_of(asdict(run)), announce=announce,
            after_step=self.measure,
        )  # fmt: skip

    async def train(self, *, stop: Callable[[], bool] = lambda: False) -> bool:
        """To the end, from wherever the run stands; True when it is finished."""
        if not self.loop.resume():
            await self.measure(0)
        return await sync_loop(self.loop, stop=stop)

    async def close(self) -> None:
        """End the scorers of the tasks."""
        await self.gym.close()

    async def measure(self, step: int) -> None:
        """Score the held-out tasks where it is due, and log it."""
        run = self.run
        if step not in (0, run.steps) and (not run.evaluate_every or step % run.evaluate_every):
            return
        found: dict[str, list[Group]] = {name: [] for name in run.families}
        config, episode = RolloutConfig(most_running=run.rows), self._episode(run.temperature)
        async with RolloutManager({"live": self.sampler}, config=config) as manager:
            for _, held_out in self.tasks.values():
                for task in held_out:
                    manager.submit(GroupRequest(f"{step}/{task.id}", task, episode, 1, seed=run.seed))
            async for group in manager.results():
                found[group.request.task.id.split("/")[1]].append(group)
        figures = {name: figures_of(groups) for name, groups in found.items()}
        self.folder.log("evaluation", step, stage="smollm2.reasoning", final=step == run.steps, **named(figures))
        told = ", ".join(f"{name} {one.get('reward', 0.0):.3f}" for name, one in figures.items())
        self.announce(f"measured after step {step}: {told}")

    def _domains(self) -> Domains:
        places = [Place(name, learned, self._episode) for name, (learned, _) in self.tasks.items()]
        return Domains([Domain("reasoning", tuple(places))], seed=self.run.seed)

    def _episode(self, temperature: float) -> OneAnswer:
        params = SamplingParams(max_new_tokens=self.run.answer_tokens, temperature=temperature)
        return OneAnswer.of(self.environment, self.tokens, params)

    def _config(self, model: HuggingFaceModel) -> RlConfig:
        run = self.run
        checks = Rules(vocab_size=model.config.text.vocab_size)
        return RlConfig(
            SampleRules(run.row_length, self.tokens.pad, checks=checks, drop_equal=True), steps=run.steps,
            groups=run.groups, attempts=run.attempts, update=StepRules(), schedule=run.schedule, seed=run.seed,
            temperature=TemperatureSchedule(run.temperature, run.temperature),
            checkpoint_every=run.evaluate_every or run.steps,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LastWord:
    """A family's own scorer, given the last word that was said: so small a model never writes <answer> tags.

    All that was said would be worth the share of the letters that the right answer takes: two runs of 50 and 60 steps
    learned to say "4 + 2 = 6.", worth a tenth, and went no further.
    """

    gym: ReasoningGym

    async def __call__(self, case: Case) -> Verdict:
        """See `agent.judge.Reward`."""
        word = (case.outcome.text.split() or [""])[-1].strip(".,;:!?'\"*")
        outcome = replace(case.outcome, text=f"<answer>{word}</answer>")
        return await self.gym.scored(replace(case, outcome=outcome))


def split(gym: ReasoningGym, run: ReasoningRun, family: str) -> tuple[Tasks, list[Task]]:
    """Tasks to learn from, and those that are held out; none of the first says what one of the second says.

    Raises:
        ConfigError: they cannot be made.
    """
    options = {family: run.families[family]}
    held_out = list(gym.tasks(seed=run.seed + 1, each=run.held_out, families=[family], options=options))
    asked = {task.prompt for task in held_out}
    made = gym.tasks(seed=run.seed, each=run.each, families=[family], options=options, shuffled=False)
    kept = [task for task in made if task.prompt not in asked]
    name = f"{made.name}/but {run.held_out} of {run.seed + 1}"
    return Tasks(kept.__getitem__, size=len(kept), seed=run.seed, epochs=None, name=name), held_out
