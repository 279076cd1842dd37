"""`manyeyes swarm demo`: both modes side by side on the synthetic web, and the table of how they did.

no model         rules that really use the tools
an endpoint      its model, on the same tables and questions
--model RUN      a trained swarm, on tables of the kind that it knows (`swarm_trained`)
"""

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from manyeyes.agent.limiter import Limiter
from manyeyes.cli.locations import short
from manyeyes.cli.swarm_attend import NEEDS_KEY
from manyeyes.cli.swarm_services import KEY, endpoint_key, model_of
from manyeyes.cli.swarm_trained import trained_demo
from manyeyes.cli.swarm_view import View
from manyeyes.swarm.deep_demo import Answered, run_questions
from manyeyes.swarm.demo import DemoConfig, Ran, notes, run_demo
from manyeyes.swarm.session import SessionConfig
from manyeyes.view.wording import printable


async def demo(
    folder: Path,
    view: View,
    *,
    tasks: int,
    questions: int,
    endpoint: str = "",
    model: str = "",
    concurrency: int = 256,
) -> int:
    """The demo, and its table.

    Args:
        tasks, questions: how many; see `run_demo`, `run_questions`.
        endpoint, model: a model in place of the rules; without an endpoint a trained swarm, in this process, which
            is asked tables of its own and no questions.

    Returns:
        0, or 1 when a run failed.
    """
    if model and not endpoint:
        return await trained_demo(folder, view, model=model, tasks=tasks, concurrency=concurrency)
    view.say(f"run folder: {short(folder)}")

    def finished(one: Ran | Answered) -> None:
        view.say(_line(one))

    watching = {"listen": view.take, "begin": lambda session: view.show(session.folder), "started": view.attach}
    config = DemoConfig(tasks=tasks)
    async with AsyncExitStack() as stack:
        chat = None
        if model:
            limiter = Limiter(concurrency)
            view.watch(limiter)
            config_of = SessionConfig("demo", endpoint=endpoint, model=model)
            chat = await stack.enter_async_context(model_of(config_of, limiter, endpoint="", model=""))
        ran = await run_demo(folder, config, model=chat, finished=finished, **watching)
        seconds = {"model_seconds": config.model_seconds, "page_seconds": config.page_seconds}
        asked = await run_questions(folder, questions, model=chat, finished=finished, **seconds, **watching)
    view.close()
    Console().print(demo_table(ran, asked))
    for line in notes(ran) if chat is None else ():
        print(line)
    if asked and chat is None:
        print("How long a question takes alone is luck; `manyeyes reproduce fig7` asks seventy.")
    failed = list(failures([*ran, *asked]))
    for line in failed:
        print(line)
    if any(NEEDS_KEY.search(line) for line in failed) and not endpoint_key():
        print(f"no key was sent; export {KEY}=<your key>")
    await view.linger()
    return int(bool(failed))


def failures(found: Sequence[Ran | Answered]) -> Iterator[str]:
    """A line for each run that the endpoint, or a bug, brought to its end: its score says nothing."""
    for one in found:
        if one.stop == "error":
            yield f"{one.task.id} {one.mode} failed: {printable(one.reason)}"


def demo_table(ran: list[Ran], asked: list[Answered]) -> Table:
    """Single and swarm side by side: item F1 in percent or whether the answer is right, seconds, steps of the one and
    critical steps of the other.
    """
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), collapse_padding=True, pad_edge=False)
    for heading in ("task", "rows", "F1", "F1 swarm", "s", "s swarm", "faster", "steps", "critical"):
        table.add_column(heading, justify="left" if heading == "task" else "right", no_wrap=True)
    for single, swarm in (*zip(ran[::2], ran[1::2], strict=True), *zip(asked[::2], asked[1::2], strict=True)):
        alone, together = single.figures, swarm.figures
        table.add_row(
            single.task.id,
            str(_size(single)),
            _worth(single),
            _worth(swarm),
            f"{alone.seconds:.1f}",
            f"{together.seconds:.1f}",
            f"{alone.seconds / together.seconds:.1f}x" if together.seconds else "",
            str(alone.critical_steps),
            str(together.critical_steps),
        )
    return table


def _size(one: Ran | Answered) -> int:
    """Rows of the table, or candidates of the question."""
    return len(one.task.gold) if isinstance(one, Ran) else one.task.candidates


def _worth(one: Ran | Answered) -> str:
    if isinstance(one, Ran):
        return f"{100 * one.score.item.f1:.1f}"
    return "right" if one.right else "wrong"


def _line(one: Ran | Answered) -> str:
    worth = f"item F1 {_worth(one)} %" if isinstance(one, Ran) else f"answer {_worth(one)}"
    size = f"{_size(one)} {'rows' if isinstance(one, Ran) else 'candidates'}"
    return f"{one.mode:<6}  {size:>13}  {worth:<15} {one.figures.seconds:6.1f} s  {one.figures.agents} sub-agents"
