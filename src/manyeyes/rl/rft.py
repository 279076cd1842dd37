"""RFT: right answers of a policy become examples for supervised fine-tuning (rejection sampling).

    stored trajectories → right, whole, short enough → one of each answer → the best few of a task → samples of weight 1

Best is a higher reward, then fewer sampled tokens, so that of two right answers the brief one is learned. Sampled
tokens of live agents are learned; what was given, what tools said and frozen agents carry no loss, as in RL.

Report: §2.3, §4.4 (RL and supervised fine-tuning take turns); Kimi K1.5 (arXiv 2501.12599, §2.4: shortest rejection
sampling).
"""

import dataclasses
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from manyeyes.core.errors import ConfigError
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.generated_tokens import generated
from manyeyes.rl.right import Judged, is_right

NOT_RIGHT = ("wrong", "masked", "unjudged")
"""What becomes of an attempt without a good verdict."""


@dataclass(frozen=True, slots=True)
class RftRules:
    """What is kept.

    Attributes:
        least_reward: of a right answer, where its judge does not say which are (`rl.right`).
        per_task: answers of a task, the best of them.
        longest: sampled tokens of an answer; None for any.
        row_length: tokens of a branch, what was given included; longer ones are left out. None for any.
        whole: whether attempts are left out of which an answer was cut off or is no turn: a right answer all the same,
            and yet no example.
    """

    least_reward: float = 1.0
    per_task: int = 1
    longest: int | None = None
    row_length: int | None = None
    whole: bool = True

    def __post_init__(self) -> None:
        if not math.isfinite(self.least_reward) or self.per_task < 1:
            raise ConfigError(
                "RFT needs a finite least_reward and per_task of at least 1, got "
                f"{self.least_reward} and {self.per_task}"
            )
        for name in ("longest", "row_length"):
            if (most := getattr(self, name)) is not None and most < 1:
                raise ConfigError(f"RFT: {name} must be at least 1, or null for any; got {most}")


class Kept(NamedTuple):
    """What is learned from.

    Attributes:
        samples: of weight 1 where a token was sampled; without log-probabilities, advantages and versions.
        names: of the trajectories that they are of.
        tally: trajectories by what became of them: "kept"; `NOT_RIGHT`; and, right all the same, "cut", "malformed",
            "long", "same", "more".
    """

    samples: list[Sample]
    names: list[str]
    tally: Counter[str]

    @property
    def attempts(self) -> int:
        """All that there were."""
        return self.tally.total()

    @property
    def right(self) -> int:
        """Those with a verdict that is good enough, kept or not."""
        return self.attempts - sum(self.tally[fate] for fate in NOT_RIGHT)

    @property
    def tokens(self) -> int:
        """Of the samples, what was given included."""
        return sum(sample.length for sample in self.samples)


def kept_samples(trajectories: Iterable[Trajectory], rules: RftRules = RftRules()) -> Kept:
    """Examples of trajectories, by task and quality; their order does not depend on that of the trajectories."""
    tally: Counter[str] = Counter()
    right: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for one in trajectories:
        if fault := _fault(one, rules):
            tally[fault] += 1
        else:
            right[one.task].append(one)
    chosen = [one for task in sorted(right) for one in _best(right[task], rules.per_task, tally)]
    tally["kept"] = len(chosen)
    samples = [_plain(sample) for one in chosen for sample in one.to_samples()]
    return Kept(samples, [one.name for one in chosen], tally)


def kept_of_store(store: TrajectoryStore, rules: RftRules = RftRules()) -> Kept:
    """Examples of a store's trajectories, all of which are counted. Of those that are not right only the index is
    read."""
    tally: Counter[str] = Counter()
    right: list[str] = []
    for found in store.find():
        if fault := _verdict(found, rules):
            tally[fault] += 1
        else:
            right.append(found.name)
    kept = kept_samples(map(store.get, right), rules)
    return kept._replace(tally=tally + kept.tally)


def _fault(one: Trajectory, rules: RftRules) -> str:
    """Why a trajectory is not kept; "" when it may be."""
    if fault := _verdict(one, rules):
        return fault
    if rules.whole and (odd := _odd(one)):
        return odd
    long = rules.longest is not None and generated(one) > rules.longest
    wide = rules.row_length is not None and any(s.length > rules.row_length for s in one.to_samples())
    return "long" if long or wide or not generated(one) else ""


def _verdict(one: Judged, rules: RftRules) -> str:
    """Why an attempt is not right; "" when it is."""
    if one.masked:
        return "masked"
    if one.reward is None or not math.isfinite(one.reward):
        return "unjudged"
    return "" if is_right(one, least=rules.least_reward) else "wrong"


def _odd(one: Trajectory) -> str:
    learned = [node for number, node in enumerate(one.nodes) if one.trainable(number)]
    if any(node.malformed for node in learned):
        return "malformed"
    return "cut" if any(node.stop == "length" for node in learned) else ""


def _best(right: list[Trajectory], most: int, tally: Counter[str]) -> list[Trajectory]:
    seen: set[str] = set()
    chosen: list[Trajectory] = []
    for one in sorted(right, key=lambda one: (-(one.reward or 0.0), generated(one), one.name)):
        said = _said(one)
        if said in seen:
            tally["same"] += 1
        elif len(chosen) == most:
            tally["more"] += 1
        else:
            chosen.append(one)
        seen.add(said)
    return chosen


def _said(one: Trajectory) -> str:
    """What its agents sampled, turn after turn."""
    digest = hashlib.blake2b(digest_size=16)
    for node in one.nodes:
        digest.update(node.agent.to_bytes(4, "little") + len(node.sampled).to_bytes(4, "little"))
        digest.update(node.sampled.tobytes())
    return digest.hexdigest()


def _plain(sample: Sample) -> Sample:
    return dataclasses.replace(sample, logprobs=None, advantages=None, versions=None, routing=None)
