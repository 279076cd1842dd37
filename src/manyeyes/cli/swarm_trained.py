"""`manyeyes swarm demo --model RUN`: held-out tables filled by a trained swarm, by its policy alone and by a worker."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import get_args

from rich import box
from rich.console import Console
from rich.table import Table

from manyeyes.agent.limiter import Limiter
from manyeyes.cli.locations import model_folder, short
from manyeyes.cli.swarm_model import embedded
from manyeyes.cli.swarm_view import View
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.trained_swarm import TrainedSwarm, trained_swarm
from manyeyes.swarm.parl_demo import Cast, Filled, Who, run_parl_demo
from manyeyes.view.wording import printable

WHO = {"alone": "alone", "worker": "a worker alone", "swarm": "swarm"}


async def trained_demo(folder: Path, view: View, *, model: str, tasks: int, concurrency: int) -> int:
    """The demo, and its table.

    Args:
        model: a run or a checkpoint folder.
        tasks: how many tables.
        concurrency: answers of all agents under way at once.

    Returns:
        0, or 1 when a run failed.

    Raises:
        ManyeyesError: there is no such model, or it cannot be read; the folder holds another demo.
    """
    if tasks < 1:
        raise ConfigError(f"--tasks must be 1 or more, got {tasks}: a trained swarm is asked tables and nothing else")
    team = trained_swarm(model_folder(model).absolute())
    view.say(f"run folder: {short(folder)}")
    async with AsyncExitStack() as stack:
        limiter = Limiter(concurrency)
        view.watch(limiter)
        filled = await run_parl_demo(
            folder,
            await cast_of(team, limiter, stack),
            tasks=tasks,
            world=team.world,
            listen=view.take,
            begin=lambda session: view.show(session.folder),
            started=view.attach,
            finished=lambda one: view.say(line_of(one)),
        )
    view.close()
    Console().print(table_of(filled))
    print(summary(filled))
    failed = [one for one in filled if one.stop == "error"]
    for one in failed:
        print(f"{one.plan.prompt} {WHO[one.who]} failed: {printable(one.reason)}")
    await view.linger()
    return int(bool(failed))


async def cast_of(team: TrainedSwarm, limiter: Limiter, stack: AsyncExitStack) -> Cast:
    """Its models, each in an engine of its own; one where it is one."""
    orchestrator = await stack.enter_async_context(embedded(str(team.orchestrator), limiter=limiter))
    if team.worker == team.orchestrator:
        return Cast(orchestrator, orchestrator)
    return Cast(orchestrator, await stack.enter_async_context(embedded(str(team.worker), limiter=limiter)))


def table_of(filled: Sequence[Filled]) -> Table:
    """A line for each table and who filled it; in 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), collapse_padding=True, pad_edge=False)
    for heading in ("task", "rows", "who", "F1", "critical steps", "agents", "s"):
        table.add_column(heading, justify="left" if heading in ("task", "who") else "right", no_wrap=True)
    for one in filled:
        table.add_row(
            one.plan.prompt, str(len(one.plan.rows)), WHO[one.who], f"{100 * one.f1:.1f}", str(one.critical),
            str(one.agents), f"{one.seconds:.1f}",
        )  # fmt: skip
    return table


ONE_AGENT: Mapping[str, str] = {"alone": "the same policy alone", "worker": "a worker alone"}


def summary(filled: Sequence[Filled]) -> str:
    """The swarm against one agent, over all tables: of those that may be it, the one that filled them better."""
    told: dict[str, list[Filled]] = {who: [one for one in filled if one.who == who] for who in get_args(Who)}
    better = max((who for who in ONE_AGENT if told[who]), key=lambda who: _worth(told[who]))
    share = steps(told["swarm"]) / max(1, steps(told[better]))
    return (
        f"The swarm took {100 * share:.0f} % of the critical steps of {ONE_AGENT[better]}, at an item F1 of "
        f"{100 * item_f1(told['swarm']):.1f} against {100 * item_f1(told[better]):.1f}. Tables are held out: training "
        "has seen none of them."
    )


def _worth(filled: Sequence[Filled]) -> tuple[float, int]:
    """Who fills tables better is the better one; of equals, who takes fewer steps."""
    return item_f1(filled), -steps(filled)


def item_f1(filled: Sequence[Filled]) -> float:
    """Mean over tables."""
    return sum(one.f1 for one in filled) / len(filled)


def steps(filled: Sequence[Filled]) -> int:
    """Critical steps of all tables."""
    return sum(one.critical for one in filled)


def line_of(one: Filled) -> str:
    """What is said when a table is over."""
    rows = f"{len(one.plan.rows)} rows"
    return (
        f"{WHO[one.who]:<14} {rows:>8}  item F1 {100 * one.f1:5.1f} %  {one.critical:3d} critical steps  "
        f"{one.seconds:6.1f} s  {one.agents} sub-agents"
    )
