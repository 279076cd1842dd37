"""What a step of RL is logged as: rewards by domain, place and part, lengths, staleness; and where time went.

    reward, success, length      of all; with "/domain" and "/domain/place" of these
    length_right, length_wrong   tokens of attempts that were right, and of the others
    turns, calls                 answers of live agents, and tool calls, of an attempt
    cut, malformed               share of attempts with an answer that was cut off, or that is no turn

Report: App. D (monitoring).
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manyeyes.agent.rollouts.group import Group
from manyeyes.core.trajectory import Trajectory
from manyeyes.rl.generated_tokens import generated
from manyeyes.rl.group_checks import is_reward
from manyeyes.rl.right import is_right


@dataclass(slots=True)
class StepTime:
    """Seconds of a step, as the trainer saw them.

    Attributes:
        waited: for rollouts, while nothing was trained.
        trained: in the update.
        published: until the sampler had the new weights.
        sampled: tokens that came with the groups.
        learned: tokens that the trainer read.
        graded: for a group judge, behind the rollouts, while nothing was trained.
    """

    waited: float = 0.0
    trained: float = 0.0
    published: float = 0.0
    sampled: int = 0
    learned: int = 0
    graded: float = 0.0

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.waited + self.graded + self.trained + self.published

    @property
    def figures(self) -> dict[str, float]:
        """Seconds, shares of them, and tokens a second of rollouts and of training."""
        whole = max(self.seconds, 1e-9)
        return {
            "seconds": self.seconds,
            "share/rollout": self.waited / whole,
            **({"share/judge": self.graded / whole} if self.graded else {}),
            "share/train": self.trained / whole,
            "share/publish": self.published / whole,
            "tokens_per_second/rollout": self.sampled / whole,
            "tokens_per_second/train": self.learned / max(self.trained, 1e-9),
        }


def rollout_figures(
    groups: Sequence[Group], place_of: Mapping[str, str], *, right: float, version: int
) -> dict[str, float]:
    """Means over attempts that have a verdict (`is_reward`) and may be trained on, of complete groups; before Toggle.

    Args:
        place_of: "domain/place" by id of the group. Rewards, successes and lengths are told of both, too.
        right: the least reward of a success, where its judge does not say (`rl.right`).
        version: of the weights that learn, for `staleness/...`: versions that the oldest token of a group is behind.
    """
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for group in groups:
        if group.complete and (span := group.version_span) is not None:
            seen["staleness/mean"].append(float(version - span[0]))
        for one in group.trajectories if group.complete else ():
            if one.masked or not is_reward(one.reward):
                continue
            place = place_of[group.request.id]
            success = is_right(one, least=right)
            _note(seen, one, ("", f"/{place.partition('/')[0]}", f"/{place}"), success=success)
    means = {name: math.fsum(values) / len(values) for name, values in seen.items()}
    return means | ({"staleness/most": max(seen["staleness/mean"])} if seen["staleness/mean"] else {})


def _note(seen: Mapping[str, list[float]], one: Trajectory, wheres: Sequence[str], *, success: bool) -> None:
    assert one.reward is not None, "asked of attempts with a verdict"
    length, turns = float(generated(one)), [node for number, node in enumerate(one.nodes) if one.trainable(number)]
    for where in wheres:
        seen[f"reward{where}"].append(one.reward)
        seen[f"success{where}"].append(float(success))
        seen[f"length{where}"].append(length)
    seen["length_right" if success else "length_wrong"].append(length)
    seen["turns"].append(float(len(turns)))
    seen["calls"].append(float(sum(event.kind == "tool" for event in one.events)))
    seen["cut"].append(float(any(node.stop == "length" for node in turns)))
    seen["malformed"].append(float(any(node.malformed for node in turns)))
    for part, value in one.rewards.items():
        if math.isfinite(value):
            seen[f"part/{part}"].append(value)


def progress_line(step: int, steps: int, figures: Mapping[str, float], *, why_not: str, seconds: float) -> str:
    """A step for people.

    Args:
        why_not: why there was no update; "" where there was one.
    """
    shown = [("reward", "reward", ".3f"), ("success", "success", ".0%"), ("length", "length", ".0f")]
    shown += [("masked", "masked", ".1%"), ("entropy", "entropy", ".2f"), ("mismatch/kl_k3", "KL", ".1e")]
    shown += [("staleness/mean", "staleness", ".1f")]
    told = [f"{name} {figures[key]:{form}}" for key, name, form in shown if key in figures]
    told += [f"no update: {why_not}"] if why_not else []
    return f"step {step}/{steps}: " + ", ".join([*told, f"{seconds:.1f} s"])
