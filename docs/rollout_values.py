"""Prints the values that `life-of-a-rollout.md` shows: two attempts at one task, new weights in the middle of them.

python docs/rollout_values.py
"""

import asyncio
from collections.abc import Sequence

from manyeyes.agent.answer_rewards import same_number
from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Rewards
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.toolset import Functions
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.media import MediaRules
from manyeyes.core.sampler import SampleRequest
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Trajectory

TINY = Tokenizer.tiny()
WIDTHS = {"hall": 7, "tower": 5}


async def measure(part: str) -> int:
    """Measure how wide a part of the house is, in metres."""
    await publish()
    return WIDTHS[part]


async def publish() -> None:
    """New weights, while both attempts are in the middle of their task."""
    await SAMPLER.publish(SAMPLER.version + 1, {})


def script(asked: SampleRequest) -> Sequence[int]:
    """The first attempt measures and adds; the second is too hasty."""
    measured = asked.ids.tolist().count(TINY.calls_begin)
    if not measured and len(SAMPLER.requests) == 1:
        call = [TINY.call_begin, *TINY.encode("functions.measure:0"), TINY.call_argument_begin]
        call += [*TINY.encode('{"part": "hall"}'), TINY.call_end]
        return [*TINY.encode("look"), TINY.end_think, TINY.calls_begin, *call, TINY.calls_end, TINY.im_end]
    return [*TINY.encode("so"), TINY.end_think, *TINY.encode("Answer: " + "89"[not measured]), TINY.im_end]


SAMPLER = FakeSampler(script, vocab_size=TINY.n_vocab)
HOUSE = Environment(lambda ctx: Functions([measure]), judge=Rewards(correct=same_number), name="house")


def told(trajectory: Trajectory) -> None:
    """One attempt."""
    print(f"{trajectory.name}  stop {trajectory.stop}  rewards {trajectory.rewards}  reward {trajectory.reward}")
    for number, node in enumerate(trajectory.nodes):
        versions = sorted(set(node.versions.tolist()))
        print(f"  node {number}  parent {node.parent:2d}  given {node.given:3d}  sampled {len(node.sampled):2d}"
              f"  versions {versions}  {TINY.decode(node.sampled.tolist())!r}")  # fmt: skip
    for event in trajectory.events:
        print(f"  event {event.kind} at node {event.node}")


async def main() -> None:
    """A group of two, judged."""
    model = TokenChat(SAMPLER, TINY, MediaRules(patch_size=8))
    async with RolloutManager({"live": model}) as manager:
        manager.submit(GroupRequest("0", Task("width", "How wide is the hall, and one more?", truth=8), HOUSE, size=2))
        group = await anext(manager.results())
    for trajectory in group.trajectories:
        told(trajectory)
    mean = sum(trajectory.reward or 0.0 for trajectory in group.trajectories) / len(group.trajectories)
    print(f"mean {mean}, versions {group.version_span}, complete {group.complete}")
    for trajectory in group.trajectories:
        advantage = (trajectory.reward or 0.0) - mean
        for sample in trajectory.to_samples(advantage):
            learns = int(sample.weights.sum())
            print(f"  sample {sample.name}  {sample.length} tokens, {learns} learn with advantage {advantage:+}")


if __name__ == "__main__":
    asyncio.run(main())
