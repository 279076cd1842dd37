"""manyeyes: the loop of texts and tools through the rollout manager; its answers are tokens of a mock sampler."""

import asyncio
from typing import Any

import numpy as np
from manyeyes_tokens import config_of, most_running
from measured import Case, Told, measure
from mock_sampler import MockSampler

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case as Judged
from manyeyes.agent.judge import Verdict
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Task
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.toolset import Functions
from manyeyes.core.media import MediaRules
from manyeyes.core.sampler import SampleRequest
from manyeyes.core.tokenizer import Tokenizer

TINY = Tokenizer.tiny()
GIVEN_WORDS = "what a tool has found, " * 4


def script_of(case: Case) -> Any:
    """The answer to a prompt: a call of the tool, as often as there are turns before the last; thoughts fill it up."""
    turns = [_turn(case, turn) for turn in range(case.turns)]

    def answer(request: SampleRequest) -> list[int]:
        return turns[min(int(np.count_nonzero(request.ids == TINY.calls_begin)), case.turns - 1)]

    return answer


def _turn(case: Case, turn: int) -> list[int]:
    end = [*TINY.encode("found it"), TINY.im_end]
    if turn < case.turns - 1:
        name, arguments = TINY.encode(f"functions.wait:{turn}"), TINY.encode(f'{{"step":{turn}}}')
        call = [TINY.call_begin, *name, TINY.call_argument_begin, *arguments, TINY.call_end]
        end = [TINY.calls_begin, *call, TINY.calls_end, TINY.im_end]
    thoughts = TINY.encode("let me think about it again " * case.tokens)[: max(1, case.tokens - len(end) - 1)]
    return [*thoughts, TINY.end_think, *end]


async def rollouts(case: Case) -> Told:
    """One run; everything that comes out is kept until its end."""
    delay, groups = case.delays(), list[Group]()

    async def wait(step: int) -> str:
        """Look for something."""
        await asyncio.sleep(delay())
        return GIVEN_WORDS

    async def judge(judged: Judged) -> Verdict:
        return Verdict(float(judged.outcome.text == "found it"), {})

    environment = Environment(lambda ctx: Functions([wait], seconds=3600.0), "You look for things.", judge=judge)
    sampler = MockSampler(4 * case.tokens, script=script_of(case))
    chat = TokenChat(sampler, TINY, MediaRules(), limiter=Limiter(case.tasks))
    async with RolloutManager({"live": chat}, config=config_of(case)) as manager:
        running = asyncio.create_task(most_running(manager))
        for number in range(-(-case.tasks // case.group)):
            size = min(case.group, case.tasks - number * case.group)
            manager.submit(GroupRequest(str(number), Task(f"t{number}", f"Find {number}."), environment, size=size))
        async for group in manager.results():
            groups.append(group)
        running.cancel()
        seen, snapshot = await running, manager.snapshot()
    return lambda: told(case, groups) | {"most_live": max(seen), "turns": snapshot.turns}


def told(case: Case, groups: list[Group]) -> dict[str, Any]:
    """What came out."""
    found = [trajectory for group in groups for trajectory in group.trajectories]
    good = [one for one in found if one.reward == 1.0 and len(one.nodes) == case.turns]
    return {"finished": len(good), "token_kib": sum(node.nbytes for one in found for node in one.nodes) / 1024}


if __name__ == "__main__":
    measure(rollouts, ["numpy", "uvloop"])
