"""reasoning-gym: tasks of about 100 families that are made by rules, each with its own scorer.

    gym = ReasoningGym()
    for task in gym.tasks(seed=1, each=10): ...         families in turn
    environment = gym.environment()                     answers in <answer>, scored by the family's own scorer

The package runs in processes of its own (`reasoning_gym_worker`): a scorer that hangs is ended, an answer cannot run as
code, and the package may live in another environment than ours (`python`). A task is an address: its family, seed and
number make it again, here and in the scorer.

Report: App. D (adapters are an open choice); Stojanovski et al., "Reasoning Gym", 2025.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyeyes.agent.adapters.line_worker import LineWorkers, WorkerFailed, plain_environment
from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, JudgeFailed, Rewards, Verdict
from manyeyes.agent.missing_package import MissingPackage
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError

SYSTEM = (
    "Think about the problem first. Then give your final answer, and nothing else, between <answer> and </answer>, "
    "in the format that the problem asks for."
)
NOT_ALONE = frozenset({"composite"})
"""Families that are made of others and need options."""
SCORE_SECONDS, MAKE_SECONDS = 10.0, 60.0
"""Of the processor, for one answer and for one task."""
START_SECONDS = 120.0
FAMILIES: Mapping[str, Any] = {"do": "families", "seconds": MAKE_SECONDS}
"""Asks a process for what it can make."""


class ReasoningGym:
    """See the module.

    Args:
        python: that has the package; ours where nothing is said.
        most: scorers at once.
    """

    def __init__(self, *, python: str = sys.executable, most: int = 2) -> None:
        worker = str(Path(__file__).with_name("reasoning_gym_worker.py"))
        self.command = [python, "-s", "-P", worker]
        self._most = most
        self._workers: LineWorkers | None = None

    def families(self) -> list[str]:
        """Names of all families. Starts a process and waits for it, as `tasks` does: not for within an event loop.

        Raises:
            ConfigError: the package is not there.
        """
        (reply,) = self._asked([FAMILIES])
        return [name for name in reply["families"] if name not in NOT_ALONE]

    def tasks(
        self,
        *,
        seed: int = 0,
        each: int = 10,
        families: Sequence[str] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        shuffled: bool = True,
        epochs: int | None = 1,
    ) -> Tasks:
        """So many tasks of each family, all made at once.

        Args:
            seed: of the tasks and of their order.
            families: all where nothing is said.
            options: of each family's configuration, as the package documents them.

        Raises:
            ConfigError: the package is not there, or a family cannot be made.
        """
        names = list(families) if families is not None else self.families()
        options = options or {}
        addresses = [
            {"family": name, "seed": seed, "size": each, "index": index, "options": dict(options.get(name, {}))}
            for index in range(each)
            for name in names
        ]
        replies = self._asked([address | {"do": "make", "seconds": MAKE_SECONDS} for address in addresses])
        made = [_task(address, reply) for address, reply in zip(addresses, replies, strict=True)]
        name = f"reasoning-gym/{','.join(names)}/{each}"
        if options:
            name += f"/{json.dumps(options, sort_keys=True, default=dict)}"
        return Tasks(made.__getitem__, size=len(made), seed=seed, shuffled=shuffled, epochs=epochs, name=name)

    def environment(self, **fields: Any) -> "ReasoningGymEnvironment":
        """Where they are solved.

        Args:
            fields: of `Environment`; a `system` of your own must ask for <answer> tags.
        """
        given = {"system": SYSTEM, "name": "reasoning_gym", "judge": Rewards(score=self.scored)} | fields
        return ReasoningGymEnvironment(lambda ctx: Together(), **given, gym=self)

    async def scored(self, case: Case) -> Verdict:
        """What the family's own scorer says of an answer; 0 for one that keeps it busy beyond its time.

        Raises:
            JudgeFailed: the scorer failed.
        """
        request = case.task.truth | {"do": "score", "answer": tagged(case.outcome.text), "seconds": SCORE_SECONDS}
        request.pop("reference", None)
        try:
            reply = await self._scorers.ask(request)
        except WorkerFailed as failure:
            if failure.spent:
                return Verdict(0.0, {}, {"scorer": f"it used {SCORE_SECONDS:g} s of the processor and was ended"})
            raise JudgeFailed(f"the scorer of {request['family']} failed: {failure}") from None
        if "error" in reply:
            raise JudgeFailed(f"the scorer of {request['family']} failed: {reply['error']}")
        return Verdict(reply["score"], {}, {"scorer": reply["note"]} if "note" in reply else {})

    async def ready(self) -> None:
        """Start a scorer and ask it for the families.

        Raises:
            ConfigError: the package is not there, or its process does not answer.
        """
        try:
            reply = await self._scorers.ask(dict(FAMILIES))
        except (OSError, WorkerFailed) as failure:
            raise ConfigError(f"{self.command[0]} cannot score answers of reasoning-gym: {failure}") from None
        self._require(FAMILIES, reply)

    async def close(self) -> None:
        """End the scorers; they end with this process, too."""
        if self._workers is not None:
            await self._workers.close()
            self._workers = None

    @property
    def _scorers(self) -> LineWorkers:
        if self._workers is None:
            self._workers = LineWorkers(self.command, most=self._most, seconds=3 * (SCORE_SECONDS + START_SECONDS))
        return self._workers

    def _asked(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What a process of its own answers to all of these."""
        lines = "".join(json.dumps(dict(request)) + "\n" for request in requests)
        try:
            done = subprocess.run(
                self.command, input=lines, capture_output=True, text=True, check=False, env=plain_environment(),
                timeout=START_SECONDS + MAKE_SECONDS * len(requests),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"{self.command[0]} cannot make tasks of reasoning-gym: {error}") from None
        replies = [json.loads(line) for line in done.stdout.splitlines()]
        for request, reply in zip(requests, replies, strict=False):
            self._require(request, reply)
        if len(replies) < len(requests):
            told = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ConfigError(f"reasoning-gym ended (status {done.returncode}) at {requests[len(replies)]}: {told}")
        return replies

    def _require(self, request: Mapping[str, Any], reply: Mapping[str, Any]) -> None:
        if "error" not in reply:
            return
        if "No module named 'reasoning_gym'" in reply["error"]:
            raise MissingPackage(f"{self.command[0]} has no reasoning-gym: pip install 'manyeyes[environments]'")
        raise ConfigError(f"reasoning-gym cannot make {request}: {reply['error']}")


@dataclass
class ReasoningGymEnvironment(Environment):
    """An environment that holds its scorers; whoever made it closes it."""

    gym: ReasoningGym | None = field(default=None, repr=False)

    async def ready(self) -> None:
        """Ask for the families; a run does so before its first attempt. Raises ConfigError: no package."""
        if self.gym is not None:
            await self.gym.ready()

    async def close(self) -> None:
        """See `ReasoningGym.close`."""
        if self.gym is not None:
            await self.gym.close()


def tagged(text: str) -> str | None:
    """What stands in the last <answer> of a text; None where there is none.

    Example:
        >>> tagged("<answer>1</answer> no: <answer> 2 </answer>"), tagged("2")
        ('2', None)
    """
    start = text.rfind("<answer>")
    end = text.find("</answer>", start)
    return text[start + len("<answer>") : end].strip() if 0 <= start < end else None


def _task(address: dict[str, Any], reply: dict[str, Any]) -> Task:
    name = f"reasoning-gym/{address['family']}/{address['seed']}/{address['index']}"
    return Task(name, reply["question"], truth=address | {"reference": reply["answer"]})


def environment(**options: Any) -> Environment:
    """For the registry: `ReasoningGym(**options).environment()`."""
    return ReasoningGym(**options).environment()


def task_source(seed: int = 0, *, python: str = sys.executable, **options: Any) -> Tasks:
    """For the registry: `ReasoningGym(python=python).tasks(seed=seed, **options)`."""
    return ReasoningGym(python=python).tasks(seed=seed, **options)
