"""Post-training of `small` and `k25`: fine-tuning on text, visual RL, joint RL with Toggle, PARL; the report's order.

    command      manyeyes run small.sft, small.vision_rl, small.joint_rl, small.toggle, small.parl (and k25.*)
    hardware     small: one GPU; k25: a cluster. Neither was run here: `manyeyes run NAME --dry-run` checks and counts
    data         exact generators; environments that ship, by capability

The report prints no batch sizes, rates or numbers of steps for these stages; those here are a start, and no more.

Report: §2.2, §2.3, §3, §4.4.
"""

import dataclasses
from typing import NamedTuple

from manyeyes.data.mixture import constant
from manyeyes.data.synthesis.thinking_families import FAMILIES
from manyeyes.model.config import ModelConfig
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes import post_places, tiny_sft
from manyeyes.recipes.k25 import k25
from manyeyes.recipes.rl_parts import BlindRule, Frozen, PlaceSpec, PtxSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.recipes.small import small
from manyeyes.recipes.tiny_places import SIGHT_DOMAINS, by_ability
from manyeyes.rl.curriculum import CurriculumRule
from manyeyes.rl.temperature import TemperatureSchedule
from manyeyes.rl.toggle import ToggleRule
from manyeyes.swarm.parl import Fade, ParlRule
from manyeyes.train.stages import Stage


class Scale(NamedTuple):
    """What differs between the two.

    Attributes:
        base: name of the pre-training recipe.
        hardware: for `manyeyes recipes`.
        sft_steps, sft_rows: of fine-tuning.
        row_length: tokens of a row, in fine-tuning and RL.
        rate: of fine-tuning; RL learns at a tenth of it.
        steps, groups, attempts: of each RL run.
        answer_tokens: of one answer.
        side: of drawn pictures, pixels.
        running: attempts at once.
        cache_tokens: of the engine.
    """

    base: str
    hardware: str
    sft_steps: int
    sft_rows: int
    row_length: int
    rate: float
    steps: int
    groups: int
    attempts: int
    answer_tokens: int
    side: int
    running: int
    cache_tokens: int

    def tasks(self, places: int) -> int:
        """Of each of so many places that a run learns from, so that each comes about `VISITS` times."""
        return max(1, self.steps * self.groups // (VISITS * places))


VISITS = 4
"""Times that a task comes in a run: once to estimate a budget, then to keep it."""
SMALL = Scale("small", "one GPU, not run here", 2_000, 32, 4_096, 5e-4, 300, 64, 8, 1_024, 112, 1_024, 1_048_576)
K25 = Scale(
    "k25", "a cluster; configuration only, never run here", 6_000, 256, 65_536, 1e-5, 1_000, 512, 16, 32_768, 224,
    100_000, 268_435_456,
)  # fmt: skip


def sft(scale: Scale, model: ModelConfig) -> Run:
    """Zero-vision fine-tuning."""
    mixture = constant(0.0, weights=dict(tiny_sft.DIALOGUES))
    stage = Stage(
        name="sft", objective="language", trainable=("language_model",), steps=scale.sft_steps,
        row_length=scale.row_length, rows=scale.sft_rows, micro_rows=1, mixture=mixture,
        schedule=Schedule(scale.rate, warmup=100, decay=0.5, shape="cosine", end=0.1),
    )  # fmt: skip
    return Run(
        name=f"{scale.base}.sft", about=f"text-only fine-tuning of {scale.base}", hardware=scale.hardware, model=model,
        stages=(stage,), after=scale.base,
    )  # fmt: skip


def rl(scale: Scale, name: str, about: str, places: tuple[PlaceSpec, ...], *, after: str) -> RlRun:
    """A run of RL over some places."""
    return RlRun(
        name=f"{scale.base}.{name}", about=about, hardware=scale.hardware, after=f"{scale.base}.{after}",
        places=places, loop="async", steps=scale.steps, groups=scale.groups, attempts=scale.attempts,
        quorum=max(2, scale.attempts // 2), row_length=scale.row_length, micro_rows=1,
        schedule=Schedule(scale.rate / 10, warmup=10, decay=0.0),
        temperature=TemperatureSchedule(1.0, 0.8, steps=scale.steps, hold=10), curriculum=CurriculumRule(),
        running=scale.running, cache_tokens=scale.cache_tokens,
    )  # fmt: skip


def blind(run: RlRun) -> RlRun:
    """Without tasks that are solved without their picture."""
    return dataclasses.replace(run, blind=BlindRule(attempts=4))


def vision_rl(scale: Scale) -> RlRun:
    """Outcome rewards on pictures."""
    size = scale.tasks(2 * len(SIGHT_DOMAINS) + 1)
    places = (
        *post_places.sights(side=scale.side, answer_tokens=scale.answer_tokens, size=size),
        *post_places.puzzles(answer_tokens=scale.answer_tokens, size=size)[:1],
    )
    return blind(rl(scale, "vision_rl", "visual RL, with code in a sandbox", places, after="sft"))


def joint_rl(scale: Scale) -> RlRun:
    """All capabilities, pictures and text in each; a little language modelling against forgetting."""
    made = blind(rl(scale, "joint_rl", "all capabilities together", _everything(scale), after="rft"))
    return dataclasses.replace(made, ptx=PtxSpec({"sft/thinking_talk": 1.0, "sft/thinking_tools": 1.0}, rows=1))


def toggle(scale: Scale) -> RlRun:
    """The same with budgets in every other phase, in the first and in the last."""
    made, rule = blind(rl(scale, "toggle", "token-efficient RL", _everything(scale), after="joint_rl")), ToggleRule()
    pairs = scale.steps // (2 * rule.every)
    return dataclasses.replace(made, toggle=rule, steps=(2 * pairs + 1) * rule.every)


def parl(scale: Scale) -> RlRun:
    """An orchestrator with frozen sub-agents: the beginner of fine-tuning first, the best one from half-way on.

    Extra rewards begin as those of `tiny.parl` do, where r_parallel of 0.4 was not enough to begin with.

    Who has a smaller model with the same vocabulary names it by `frozen_model`.
    """
    places = post_places.swarm(answer_tokens=scale.answer_tokens, size=scale.tasks(1))
    made = rl(scale, "parl", "parallel agents", places, after="toggle")
    hold, until = scale.steps // 10, scale.steps // 2
    later = Frozen(scale.steps // 2, f"{scale.base}.toggle")
    return dataclasses.replace(
        made,
        parl=ParlRule(Fade(0.8, hold, until), Fade(0.3, hold, until)),
        frozen_model=f"{scale.base}.sft",
        frozen=(later,),
    )


def _everything(scale: Scale) -> tuple[PlaceSpec, ...]:
    """By ability: each has pictures and text."""
    tokens, size = scale.answer_tokens, scale.tasks(2 * len(SIGHT_DOMAINS) + len(FAMILIES) + 6)
    return (
        *by_ability(post_places.sights(side=scale.side, answer_tokens=tokens, size=size)),
        *post_places.thoughts(answer_tokens=tokens, size=size),
        *post_places.puzzles(answer_tokens=tokens, size=size),
        *post_places.graders(answer_tokens=tokens, size=size),
        *post_places.agents(answer_tokens=tokens, size=size),
    )


def small_sft() -> Run:
    """`small.sft`."""
    return sft(SMALL, small().model)


def small_vision_rl() -> RlRun:
    """`small.vision_rl`."""
    return vision_rl(SMALL)


def small_joint_rl() -> RlRun:
    """`small.joint_rl`."""
    return joint_rl(SMALL)


def small_toggle() -> RlRun:
    """`small.toggle`."""
    return toggle(SMALL)


def small_parl() -> RlRun:
    """`small.parl`."""
    return parl(SMALL)


def k25_sft() -> Run:
    """`k25.sft`."""
    return sft(K25, k25().model)


def k25_vision_rl() -> RlRun:
    """`k25.vision_rl`."""
    return vision_rl(K25)


def k25_joint_rl() -> RlRun:
    """`k25.joint_rl`."""
    return joint_rl(K25)


def k25_toggle() -> RlRun:
    """`k25.toggle`."""
    return toggle(K25)


def k25_parl() -> RlRun:
    """`k25.parl`."""
    return parl(K25)
