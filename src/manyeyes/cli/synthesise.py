"""Make dialogues for fine-tuning: teachers answer problems, what they say is verified in stages, the best is kept.

- manyeyes synthesise: the pipelines that there are
- manyeyes synthesise reasoning --teacher kimi-k2@https://api.moonshot.ai/v1: one teacher behind an endpoint
- manyeyes synthesise tools --teacher RUN --teacher NAME@URL --judge NAME@URL: several teachers, and a grader
- manyeyes synthesise my_seeds.jsonl --teacher RUN: your own problems, one JSON a line: {"prompt": ..., "truth": ...}

The same command with --folder goes on, and asks nobody again for what was said; --seeds, --attempts, --tokens and the
teachers and judges may be others then. Keys: MANYEYES_API_KEY, or for several hosts MANYEYES_API_KEY_<HOST>.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tyro
from rich.console import Console
from rich.table import Table

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.grm_judge import grader
from manyeyes.agent.synthesis.domain import Domain
from manyeyes.agent.synthesis.domains import NAMES, from_file, shipped
from manyeyes.agent.synthesis.grade import Grade
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.synthesis import DIALOGUES, Progress, synthesise
from manyeyes.agent.synthesis.tally import KEPT, Tally
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.agent.tools.forked_python_pool import ForkedPythons
from manyeyes.cli.locations import runs_folder, short
from manyeyes.cli.teachers import Models, key_for, named
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import new_run_path, write_atomic
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.generative_reward import GenerativeReward

CONFIG = "config.json"
FILE = ".jsonl"
SEEDS = 64
"""Of a pipeline that ships."""
TELL_SECONDS = 2.0
STOPPED = 130


@dataclass(frozen=True)
class Options:
    """Which problems, which teachers, and how much is kept."""

    domain: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DOMAIN|FILE", help_behavior_hint="")] = ""
    """Name of a pipeline, or a .jsonl file of seeds; without one they are listed."""
    teacher: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME@URL|RUN")] = ()
    """A model that answers; say it several times for several teachers."""
    judge: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME@URL|RUN")] = ()
    """A model that grades what passed all else; several of them vote."""
    seeds: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None
    """Problems at most; 64 of a pipeline and all of a file when left out."""
    attempts: int = 1
    """Of each teacher at each problem."""
    keep: int = 2
    """Answers that are kept of a problem at most, one of each teacher."""
    least_grade: float = 0.5
    """Of the graders, from 0 to 1."""
    instruction: Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")] = None
    """What teachers are told beside the problem, in place of the pipeline's own words; "" for nothing."""
    tokens: int = 2048
    """Of one answer at most."""
    seed: int = 0
    """Other problems for another seed."""
    concurrent: int = 16
    """Problems at once."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Where the dialogues go; a new folder under MANYEYES_RUNS or ./runs when left out."""


def main(options: Options) -> int:
    """Make them; returns 0, 1 when nothing was kept, 130 when it was stopped."""
    pythons = ForkedPythons()
    if not options.domain:
        for name in NAMES:
            print(f"{name:<14} {shipped(name, pythons).about}")
        return 0
    _check(options)
    domain = _domain(options, pythons)
    folder = options.folder or new_run_path(runs_folder(), f"synthesis-{domain.name}")
    _begin(folder, options)
    try:
        return asyncio.run(_run(options, domain, pythons, folder))
    except KeyboardInterrupt:
        print(f"\nstopped; go on with the same command and --folder {short(folder)}")
        return STOPPED


def _domain(options: Options, pythons: ForkedPythons) -> Domain:
    domain = from_file(options.domain) if options.domain.endswith(FILE) else shipped(options.domain, pythons)
    keep = replace(domain.keep, per_seed=options.keep)
    return replace(domain, keep=keep, instruction=_or(options.instruction, domain.instruction))


def _or(given: str | None, usual: str) -> str:
    return usual if given is None else given


def _check(options: Options) -> None:
    """Raises ManyeyesError for what cannot work, before anything is made."""
    for name in ("seeds", "attempts", "keep", "concurrent", "tokens"):
        if (given := getattr(options, name)) is not None and given < 1:
            raise ConfigError(f"--{name} must be at least 1, got {given}")
    if not options.teacher:
        raise ConfigError("name a teacher: --teacher NAME@URL for an endpoint, --teacher RUN for a model of your own")
    if not 0 <= options.least_grade <= 1:
        raise ConfigError(f"--least-grade must be from 0 to 1, got {options.least_grade}")
    models = [named(said) for said in (*options.teacher, *options.judge)]
    for one in models:
        if one.url:
            key_for(one, models)


def _begin(folder: Path, options: Options) -> None:
    """Write down which problems the folder is about, or see that it is about these."""
    said: dict[str, Any] = {"domain": options.domain, "seed": options.seed, "instruction": options.instruction}
    path = folder / CONFIG
    if path.is_file():
        _require_same(folder, path.read_bytes(), said)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{short(folder)} is no folder of this command and not empty; name another --folder")
    write_atomic(path, msgspec.json.encode(said))


def _require_same(folder: Path, written: bytes, said: dict[str, Any]) -> None:
    try:
        before = msgspec.json.decode(written, type=dict[str, Any])
    except msgspec.DecodeError:
        before = {}
    if not {"domain", "seed"} <= before.keys():
        raise ConfigError(f"{short(folder)} is no folder of this command; name another --folder")
    other = [f"{name} {before.get(name)!r}, not {value!r}" for name, value in said.items() if before.get(name) != value]
    if other:
        raise ConfigError(
            f"{short(folder)} was begun with {' and '.join(other)}; name another --folder, or say the same again"
        )


async def _run(options: Options, domain: Domain, pythons: ForkedPythons, folder: Path) -> int:
    seeds = _seeds(options, domain)
    teachers = tuple(dict.fromkeys(options.teacher))
    what = f"{_count(len(seeds), 'seed')}, {_count(len(teachers), 'teacher')}"
    print(f"{domain.name}: {what}, in {short(folder)}", flush=True)
    said = tuple(dict.fromkeys((*options.teacher, *options.judge)))
    try:
        async with Models(said, at_once=options.concurrent * len(said)) as models:
            whole = domain.also(_grade(models, options)) if options.judge else domain
            tally = await synthesise(
                whole, seeds, [_teacher(models, one, options) for one in teachers], folder,
                attempts=options.attempts, at_once=options.concurrent, secrets=models.keys, told=_Teller(),
            )  # fmt: skip
    finally:
        await pythons.close()
    return _told(tally, folder)


def _seeds(options: Options, domain: Domain) -> Sequence[Seed]:
    """The problems; whoever brought more than are wanted is told."""
    if not options.domain.endswith(FILE):
        return domain.seeds(options.seeds or SEEDS, options.seed)
    everything = domain.seeds(sys.maxsize, options.seed)
    if options.seeds is None or options.seeds >= len(everything):
        return everything
    print(f"{options.domain} holds {len(everything):,} seeds; --seeds takes the first {options.seeds:,}")
    return everything[: options.seeds]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _teacher(models: Models, said: str, options: Options) -> Teacher:
    sampling = Sampling(max_tokens=options.tokens)
    if not models.is_own(said):
        return Teacher(models.label(said), models[said], sampling, sampling)
    thinking, instant = (replace(sampling, extra={"thinking": mode}) for mode in (True, False))
    return Teacher(models.label(said), models[said], thinking, instant, seeded=True)


def _grade(models: Models, options: Options) -> Grade:
    graders = {models.label(said): grader(models[said]) for said in options.judge}
    config = GrmConfig(quorum=len(graders))  # half of the votes: each grader is asked by two rubrics
    return Grade(GenerativeReward(graders, config=config), least=options.least_grade)


class _Teller:
    """Says how it goes, now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= TELL_SECONDS or progress.seeds == progress.of:
            self._last = now
            print(f"{progress.seeds}/{progress.of} seeds, {len(progress.tally.fates)} candidates left out", flush=True)


def _told(tally: Tally, folder: Path) -> int:
    """What became of all candidates; 1 when nothing was kept."""
    report = tally.to_json()
    Console(highlight=False).print(_table(report["teachers"], tally.columns))
    for stage, reasons in report["reasons"].items():
        print(f"{stage}: {', '.join(f'{count} {why}' for why, count in reasons.items())}")
    kept = tally.count(KEPT)
    if not kept:
        print("nothing was kept; the reasons stand above")
        return 1
    path = (folder / DIALOGUES).resolve()
    print(f"{kept} dialogues: {short(path)}")
    print(f"learn from them: manyeyes run tiny.sft stages.sft.mixture.segments.0.weights.{path}=5")
    return 0


def _table(teachers: dict[str, dict[str, int]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("teacher", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    for name, counts in teachers.items():
        table.add_row(name, *(str(counts[column]) for column in columns))
    return table
