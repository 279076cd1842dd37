"""Scores an RL run on its held-out tasks while it trains: mean reward and its parts, tokens, tool calls by name.

Figures go to the log as `evaluation` rows, like those of pre-training. Means are over attempts that came to a verdict;
how many were asked and how many failed stands beside them. A measurement that was made before a kill is found in the
store of attempts, and not made again: attempts are known by place, temperature, seed, and the weights that answered, so
what other weights have said at the same step is never taken. Nor is what failed for reasons of infrastructure: it is
made again at once, and, where it fails again, when the run goes on at that step.

Report: §4.4.2; App. C.1 (exact resume).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.rollouts.config import RolloutConfig
from manyeyes.agent.rollouts.group import Group, GroupRequest
from manyeyes.agent.rollouts.host import Pool
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import Sampler
from manyeyes.core.seeds import key
from manyeyes.core.trajectory import Policy, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.recipes.asked_groups import EndedAttempts, asked, failed, why_failed
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.held_out import named
from manyeyes.recipes.rl_parts import Measured
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.generated_tokens import generated

MEASURED = "measured"
"""Folder of the attempts, in the run folder."""
LACKING = "measured_without"
"""Kind of the rows that tell of attempts which failed, and are in no mean: how many, and why the first did."""


class RlMeasure:
    """The loop's `after_step` for one run.

    Args:
        models: by policy, as rollouts have them.
        store: of the attempts; None keeps none.
        weights: which weights answer now, of all policies; for a model that never changes nothing need be said.

    Attributes:
        lost: attempts of the last measurement that failed, and are in no mean.
    """

    def __init__(
        self,
        run: RlRun,
        places: Places,
        models: Mapping[Policy, ChatModel | Sampler],
        folder: RunFolder,
        *,
        store: TrajectoryStore | None = None,
        pool: Pool | None = None,
        weights: Callable[[], str] = lambda: "",
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.run, self.places, self.models, self.folder = run, places, models, folder
        self.store = None if store is None else EndedAttempts(store)
        self.pool, self.weights, self.announce = pool, weights, announce
        self.lost = 0
        self._short: set[str] = set()

    async def __call__(self, step: int, *, final: bool = False) -> None:
        """Measure where it is due, and log it.

        Args:
            final: the run ends here, whatever its number of steps.
        """
        run = self.run
        if not run.measured or not (final or run.is_due(step)):
            return
        final = final or run.is_final(step)
        figures = await self.figures(step, final=final)
        self.folder.log("evaluation", step, stage=run.name, final=final, **named(figures))
        self.announce(f"measured after step {step}: {', '.join(map(_told, figures, figures.values()))}")

    async def again(self, step: int) -> None:
        """A run goes on at a step: measure anew what lacked attempts there, and say what else lacks some."""
        lacking = {row.step: int(row.values["attempts"]) for row in self.folder.metrics(LACKING)}
        if lacking.get(step):
            await self(step)
        for other, attempts in sorted(lacking.items()):
            if attempts and other != step:
                self.announce(f"the measurement after step {other} lacks {attempts} attempts that had failed")

    async def figures(self, step: int, *, final: bool) -> dict[str, dict[str, float]]:
        """Means by place; without "reward" where nothing came to a verdict. What fails is made once more.

        Raises:
            ConfigError: a place has no held-out task at all. ManyeyesError: too many attempts in a row failed, so that
                there are no means; what had ended is found again.
        """
        weights = self.weights()
        wanted = [
            request for one in self.run.measured for request in self._requests(one, step, final=final, weights=weights)
        ]
        found = await self._groups(wanted)
        if broken := [group.request for group in found.values() if failed([group])]:
            found |= await self._groups(broken)
        self._tell(step, failed(found.values()))
        by_place: defaultdict[str, list[Group]] = defaultdict(list)
        for group in found.values():
            by_place[group.request.id.split("/")[1]].append(group)
        return {one.name: figures_of(by_place[one.name]) for one in self.run.measured}

    async def _groups(self, requests: Sequence[GroupRequest]) -> dict[str, Group]:
        config = RolloutConfig(most_running=self.run.running)
        async with RolloutManager(self.models, config=config, pool=self.pool, store=self.store) as manager:
            return {group.request.id: group async for group in asked(manager, requests)}

    def _tell(self, step: int, lost: Sequence[Trajectory]) -> None:
        """Say what is not in the means; the log has it, or that nothing lacks any more."""
        self.lost = len(lost)
        if lost:
            self.announce(f"{len(lost)} attempts failed and are not in the means; the first: {why_failed(lost[0])}")
        if lost or any(row.step == step for row in self.folder.metrics(LACKING)):
            self.folder.log(LACKING, step, attempts=len(lost), first=why_failed(lost[0]) if lost else "")

    def _requests(self, one: Measured, step: int, *, final: bool, weights: str) -> list[GroupRequest]:
        source, wanted = self.places.held_out(one), one.count if final else one.quick
        temperature = self.run.evaluate_temperature if one.temperature is None else one.temperature
        episode = self.places.episode(one.place, temperature=temperature)
        seed = key(self.run.seed, f"measure/{one.name}") >> 66
        mark = fingerprint_of([msgspec.to_builtins(one.place), temperature, self.run.longest, seed, weights])[:8]
        tasks = [task for _ in range(wanted) if (task := source.next()) is not None]
        if not tasks:
            raise ConfigError(f"measured {one.name}: expected {wanted} tasks, its source has none")
        if len(tasks) < wanted and one.name not in self._short:
            self._short.add(one.name)
            self.announce(f"measured {one.name}: {len(tasks)} held-out tasks are all there are, of {wanted} wanted")
        return [
            GroupRequest(f"{step}/{one.name}/{number}.{mark}", task, episode, one.attempts, seed=seed)
            for number, task in enumerate(tasks)
        ]


def figures_of(groups: list[Group]) -> dict[str, float]:
    """Means over attempts with a verdict: reward, its parts, sampled tokens, the share that called a tool, and each
    tool by its name ("calls_ipython"), and the share that ended in each way ("stop_done" always, others where there are
    any); and counts: "questions" that were asked, and those that "failed"."""
    attempts = [one for group in groups for one in group.trajectories]
    judged = [one for one in attempts if one.reward is not None and not one.masked and math.isfinite(one.reward)]
    called, stops = [set(called_tools(one)) for one in judged], {"done"}.union(one.stop for one in judged)
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for one, tools in zip(judged, called, strict=True):
        seen["reward"].append(float(one.reward or 0.0))
        seen["tokens"].append(float(generated(one)))
        seen["calls"].append(float(bool(tools)))
        for tool in set().union(*called):
            seen[f"calls_{tool}"].append(float(tool in tools))
        for stop in stops:
            seen[f"stop_{stop}"].append(float(one.stop == stop))
        for part, value in one.rewards.items():
            if math.isfinite(value):
                seen[f"part_{part}"].append(value)
    means = {name: math.fsum(values) / len(values) for name, values in sorted(seen.items())}
    return means | {"questions": float(len(attempts)), "failed": float(len(attempts) - len(judged))}


def called_tools(attempt: Trajectory) -> Iterator[str]:
    """Names of the tools that were called and that there are; a name that the model made up is none."""
    for event in attempt.events:
        if event.kind == "tool" and event.data.get("result", {}).get("failure") != "unknown_tool":
            yield str(event.data.get("name", ""))


def _told(name: str, found: Mapping[str, float]) -> str:
    """For people; who failed is in no mean, so that is said."""
    asked, failed = int(found["questions"]), int(found["failed"])
    told = f"{name} {found['reward']:.3f}" if "reward" in found else f"{name} without a verdict"
    return f"{told} ({failed} of {asked} failed)" if failed else told
