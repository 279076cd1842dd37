"""Look at a rollout run, while it goes on or afterwards: figures, trajectories token by token, checks, exports.

- manyeyes rollouts RUN: how it stands
- manyeyes rollouts RUN --web: the page with charts, list and viewer; its address is printed
- manyeyes rollouts RUN list --stop done --min-reward 0.5 --order best
- manyeyes rollouts RUN show NAME: one trajectory, turn by turn
- manyeyes rollouts RUN check: every trajectory; names what must not be trained on
- manyeyes rollouts RUN export --to URL: spans and metrics to an OpenTelemetry collector (OTLP over HTTP)
"""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from manyeyes.cli.locations import LocationError, runs_folder
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_index import ORDERS
from manyeyes.core.trajectory_store import TrajectoryStore, Wanted
from manyeyes.swarm.traces import otlp
from manyeyes.view.rollout_checks import check_run
from manyeyes.view.rollout_page import RolloutPage
from manyeyes.view.rollout_run import ShownRollouts
from manyeyes.view.rollout_terminal import listing, standing, trajectory_lines
from manyeyes.view.rollout_traces import otlp_metrics, send_metrics, send_spans
from manyeyes.view.wording import printable

VERBS = ("list", "show", "check", "export")
MOST_PORT = 65_535
MOST_FINDINGS = 50
"""Lines of findings that are printed."""


@dataclass(frozen=True)
class Options:
    """Which run, and what of it."""

    words: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [VERB]", help_behavior_hint="")
    ] = ()
    """Run folder, or its name under the runs folder; then nothing, or: list, show NAME, check, export."""
    web: bool = False
    """Serve the page, on this machine only; its address is printed."""
    port: int = 0
    """Of the page; a free one when left out."""
    task: str | None = None
    """list, check, export: only trajectories of this task."""
    environment: str | None = None
    """Only of this environment."""
    stop: str | None = None
    """Only those that ended so: done, failed, ..."""
    failure: str | None = None
    """Only those that failed for this cause."""
    min_reward: float | None = None
    """Only from this reward on."""
    max_reward: float | None = None
    """Only up to this reward."""
    version: int | None = None
    """Only those with tokens of this version of the policy."""
    order: str = "newest"
    """newest, oldest, best, worst, longest, slowest or name."""
    limit: int = 40
    """list: lines at most."""
    to: Annotated[str, tyro.conf.arg(metavar="URL", help_behavior_hint="")] = ""
    """export: base address of the collector, such as http://localhost:4318."""


def main(options: Options) -> int:
    """Show it; returns 0, or 1 when a check found an error."""
    verb, name = _asked(options)
    folder = _folder(options.words[0])
    if options.web:
        asyncio.run(_serve(folder, options.port))
        return 0
    run = ShownRollouts(folder)
    try:
        return _VERBS[verb](run, options, name)
    finally:
        run.close()


def _asked(options: Options) -> tuple[str, str]:
    """The verb, and the name that belongs to it."""
    if not options.words:
        raise ConfigError("say which run: manyeyes rollouts RUN; `manyeyes rollouts --help` shows the rest")
    _, *rest = options.words
    verb = rest[0] if rest else ""
    if verb and verb not in VERBS:
        raise ConfigError(f"no verb {verb!r}; there are: {', '.join(VERBS)}")
    if len(rest) != (2 if verb == "show" else 1 if verb else 0):
        raise ConfigError("show needs the name of a trajectory, the other verbs none; `list` prints the names")
    if not 0 <= options.port <= MOST_PORT:
        raise ConfigError(f"--port must be 0 to {MOST_PORT}, got {options.port}")
    if options.order not in ORDERS:
        raise ConfigError(f"--order must be one of {', '.join(ORDERS)}, got {options.order!r}")
    return verb, rest[1] if verb == "show" else ""


def _folder(name: str) -> Path:
    for path in (Path(name), runs_folder() / name):
        if path.is_dir():
            return path
    raise LocationError(f"no run {name!r}, neither as a path nor under {runs_folder()}")


def _stand(run: ShownRollouts, options: Options, name: str) -> int:
    stored = 0 if run.store is None else len(run.store)
    _console().print(standing(run.series.latest, stored=stored))
    return 0


def _list(run: ShownRollouts, options: Options, name: str) -> int:
    store, wanted = _store(run), _wanted(options)
    _console().print(listing(store.matching(wanted._replace(limit=options.limit)), count=store.count(wanted)))
    return 0


def _show(run: ShownRollouts, options: Options, name: str) -> int:
    _console().print(trajectory_lines(_store(run).get(name, pictures=False), run.tokenizer))
    return 0


def _check(run: ShownRollouts, options: Options, name: str) -> int:
    store, wanted = _store(run), _wanted(options)
    findings = sorted(check_run(run, store, wanted), key=lambda finding: finding.severity != "error")
    for finding in findings[:MOST_FINDINGS]:
        print(printable(finding))
    if len(findings) > MOST_FINDINGS:
        print(f"... and {len(findings) - MOST_FINDINGS:,} more")
    errors = sum(finding.severity == "error" for finding in findings)
    print(f"{store.count(wanted):,} trajectories: {errors:,} errors, {len(findings) - errors:,} warnings")
    return 1 if errors else 0


def _export(run: ShownRollouts, options: Options, name: str) -> int:
    if not options.to.startswith(("http://", "https://")):
        raise ConfigError(f"say where to: --to http://localhost:4318; got {options.to!r}")
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what failed is said in one line
    base, title = options.to.rstrip("/").removesuffix("/v1/traces"), run.folder.resolve().name
    sent = send_spans(_began(_store(run), _wanted(options)), run=title, exporter=otlp(f"{base}/v1/traces"))
    print(f"{sent:,} spans sent to {base}")
    if run.series.latest is not None:
        count = send_metrics(run.series.latest, run=title, exporter=otlp_metrics(f"{base}/v1/metrics"))
        print(f"{count} instruments sent to {base}")
    return 0


_VERBS = {"": _stand, "list": _list, "show": _show, "check": _check, "export": _export}


def _began(store: TrajectoryStore, wanted: Wanted) -> Iterator[tuple[Trajectory, float]]:
    """Trajectories, and when each began: it was stored when it was over."""
    for one in store.matching(wanted):
        yield store.get(one.name, pictures=False), one.stored - one.seconds


def _wanted(options: Options) -> Wanted:
    return Wanted(
        task=options.task,
        environment=options.environment,
        stop=options.stop,
        failure=options.failure,
        min_reward=options.min_reward,
        max_reward=options.max_reward,
        version=options.version,
        order=options.order,
    )


def _store(run: ShownRollouts) -> TrajectoryStore:
    if run.store is None:
        raise ConfigError(f"{run.folder} has no trajectories yet")
    return run.store


def _console() -> Console:
    return Console(highlight=False)


async def _serve(folder: Path, port: int) -> None:
    """Until Ctrl-C."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
    async with RolloutPage(folder, port=port) as page:
        print(
            f"{page.url}\nfor Prometheus: {page.address}/metrics, with that token as bearer token\nCtrl-C ends",
            flush=True,
        )
        await stopped.wait()
