"""What a step of RL is logged as: rewards by domain and by part, success, length, staleness; and where time went.

Report: App. D (monitoring).
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manyeyes.agent.rollouts.group import Group
from manyeyes.rl.token_count import generated


@dataclass(slots=True)
class StepTime:
    """Seconds of a step, as the trainer saw them.

    Attributes:
        waited: for rollouts, while nothing was trained.
        trained: in the update.
        published: until the sampler had the new weights.
        sampled: tokens that came with the groups.
        learned: tokens that the trainer read.
    """

    waited: float = 0.0
    trained: float = 0.0
    published: float = 0.0
    sampled: int = 0
    learned: int = 0

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.waited + self.trained + self.published

    @property
    def figures(self) -> dict[str, float]:
        """Seconds, shares of them, and tokens a second of rollouts and of training."""
        whole = max(self.seconds, 1e-9)
        return {
            "seconds": self.seconds,
            "share/rollout": self.waited / whole,
            "share/train": self.trained / whole,
            "share/publish": self.published / whole,
            "tokens_per_second/rollout": self.sampled / whole,
            "tokens_per_second/train": self.learned / max(self.trained, 1e-9),
        }


def rollout_figures(
    groups: Sequence[Group], domain_of: Mapping[str, str], *, right: float, version: int
) -> dict[str, float]:
    """Means over attempts that have a finite verdict and may be trained on, of complete groups; before Toggle.

    Args:
        domain_of: domain by id of the group.
        right: the least reward of a success.
        version: of the weights that learn, for `staleness/...`: versions that the oldest token of a group is behind.
    """
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for group in groups:
        if group.complete and (span := group.version_span) is not None:
            seen["staleness/mean"].append(float(version - span[0]))
        for one in group.trajectories if group.complete else ():
            if one.masked or one.reward is None or not math.isfinite(one.reward):
                continue
            domain = domain_of[group.request.id]
            success = float(one.reward >= right)
            seen["reward"].append(one.reward)
            seen[f"reward/{domain}"].append(one.reward)
            seen["success"].append(success)
            seen[f"success/{domain}"].append(success)
            seen["length"].append(float(generated(one)))
            for part, value in one.rewards.items():
                if math.isfinite(value):
                    seen[f"part/{part}"].append(value)
    means = {name: math.fsum(values) / len(values) for name, values in seen.items()}
    return means | ({"staleness/most": max(seen["staleness/mean"])} if seen["staleness/mean"] else {})


def progress_line(step: int, steps: int, figures: Mapping[str, float], *, why_not: str, seconds: float) -> str:
    """A step for people.

    Args:
        why_not: why there was no update; "" where there was one.
    """
    shown = [("reward", "reward", ".3f"), ("success", "success", ".0%"), ("length", "length", ".0f")]
    shown += [("masked", "masked", ".1%"), ("entropy", "entropy", ".2f"), ("staleness/mean", "staleness", ".1f")]
    told = [f"{name} {figures[key]:{form}}" for key, name, form in shown if key in figures]
    told += [f"no update: {why_not}"] if why_not else []
    return f"step {step}/{steps}: " + ", ".join([*told, f"{seconds:.1f} s"])
