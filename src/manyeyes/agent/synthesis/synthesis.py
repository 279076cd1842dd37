"""`synthesise`: seeds to a file of dialogues: teachers propose, stages verify, the best few are kept with their origin.

    for every seed, several at once:    every teacher, every attempt → candidate
                                        stages in order of cost; texts that repeat go before the last, dearest one
    for all seeds, in their order:      near-duplicates, the best few → dialogues.jsonl, report.json

The file is one that `data.dialogue_file` reads. What is asked and found is in a journal first, so the same call goes on
after `kill -9` where it was, and ends with the same file; another call asks for what is other in it.

Report: §4.4.1.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.synthesis.candidate import Candidate, key_of
from manyeyes.agent.synthesis.choosing import Scored, chosen, different
from manyeyes.agent.synthesis.domain import Domain
from manyeyes.agent.synthesis.memory import asked_mark
from manyeyes.agent.synthesis.proposing import propose
from manyeyes.agent.synthesis.remembered import Asked, Remembered
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import Stage
from manyeyes.agent.synthesis.tally import KEPT, MORE, NEAR, SAME, UNASKED, UNVERIFIED, Tally
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.agent.toolset import Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import EVENTS, Journal, read
from manyeyes.core.runlog import write_atomic
from manyeyes.data.dialogue_json import line_of

DIALOGUES, REPORT = "dialogues.jsonl", "report.json"
GIVE_UP = 16
"""Candidates in a row to which a teacher gave no answer, after which it is asked no more in this call: nobody should
wait through ten thousand seeds for an address that is wrong."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: seeds that are done, and candidates so far."""

    seeds: int
    of: int
    tally: Tally


async def synthesise(
    domain: Domain,
    seeds: Sequence[Seed],
    teachers: Sequence[Teacher],
    folder: Path,
    *,
    attempts: int = 1,
    at_once: int = 16,
    secrets: Sequence[str] = (),
    told: Callable[[Progress], None] = lambda progress: None,
) -> Tally:
    """Make, or go on making, the dialogues of a domain in a folder.

    Args:
        attempts: of each teacher at each seed.
        at_once: seeds that are worked on together.
        secrets: that must never be written, such as keys.
        told: called when a seed is done.

    Raises:
        ConfigError: no seed, no teacher, or two of one name; or a stage that could not be known again.
        ManyeyesError: the domain cannot work here (`Domain.ready`).
        JournalError: another process works in the folder, or it cannot be written.
    """
    _check(seeds, teachers, attempts, at_once)
    _require_marks(domain)
    await domain.ready()
    past = read(folder).events if (folder / EVENTS).exists() else []
    with Journal(folder, secrets=secrets) as journal:
        run = _Run(domain, teachers, Remembered.of(journal, past), attempts)
        passed = await _over(seeds, run, at_once, told)
        return _write(folder, domain, [passed[seed.id] for seed in seeds], run)


async def _over(
    seeds: Sequence[Seed], run: "_Run", at_once: int, told: Callable[[Progress], None]
) -> dict[str, list[Scored]]:
    """All seeds, some at a time: what passed of each."""
    passed: dict[str, list[Scored]] = {}
    waiting = iter(seeds)

    async def work() -> None:
        for seed in waiting:
            passed[seed.id] = await run.passed(seed)
            told(Progress(len(passed), len(seeds), run.tally))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(seeds))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return passed


class _Run:
    """One synthesis under way."""

    def __init__(self, domain: Domain, teachers: Sequence[Teacher], known: Remembered, attempts: int) -> None:
        self.domain, self.teachers, self.known, self.attempts = domain, teachers, known, attempts
        self.tally = Tally(tuple(stage.name for stage in domain.stages))
        self._unanswered: Counter[str] = Counter()
        self._why: dict[str, str] = {}

    async def passed(self, seed: Seed) -> list[Scored]:
        """What passes all stages, of all that is proposed for a seed."""
        asked = [self._candidate(seed, teacher, n) for teacher in self.teachers for n in range(self.attempts)]
        scored = [Scored(one, 0.0) for one in await asyncio.gather(*asked) if one is not None]
        *cheap, last = self.domain.stages
        for stage in cheap:
            scored = await self._through(stage, scored)
        kept, repeated = different(one.candidate for one in scored)
        for one in repeated:
            self.tally.note(one.key, one.teacher, SAME)
        keys = {one.key for one in kept}
        return await self._through(last, [one for one in scored if one.candidate.key in keys])

    async def _candidate(self, seed: Seed, teacher: Teacher, attempt: int) -> Candidate | None:
        key, toolset = key_of(seed, teacher.name, attempt), self.domain.toolset(seed)
        asked = self._asked(seed, teacher, toolset)
        if (known := self.known.candidate(key, seed, asked)) is not None:
            return known
        if self._unanswered[teacher.name] >= GIVE_UP:
            self.tally.note(key, teacher.name, UNASKED, self._why[teacher.name])
            return None
        try:
            candidate = await propose(
                seed,
                teacher,
                toolset,
                attempt=attempt,
                instruction=self.domain.instruction,
                steps=self.domain.steps,
                memory=self.known.memory(key),
            )
        except (ModelError, SandboxUnavailable) as error:
            if isinstance(error, ModelError):
                self._unanswered[teacher.name] += 1
                self._why[teacher.name] = str(error)
            self.tally.note(key, teacher.name, UNASKED, str(error))
            return None
        self._unanswered[teacher.name] = 0
        return self.known.propose(candidate, asked)

    def _asked(self, seed: Seed, teacher: Teacher, toolset: Toolset) -> Asked:
        sampling, domain = teacher.sampling(thinking=seed.thinking), self.domain
        mark = asked_mark(seed, toolset.tools, sampling, instruction=domain.instruction, steps=domain.steps)
        return Asked(mark, sampling.max_tokens)

    async def _through(self, stage: Stage, scored: Sequence[Scored]) -> list[Scored]:
        looked = await asyncio.gather(*(self._look(stage, one) for one in scored))
        return [one for one in looked if one is not None]

    async def _look(self, stage: Stage, scored: Scored) -> Scored | None:
        """The candidate with the stage's score where it has one; None where it does not pass."""
        candidate = scored.candidate
        finding = self.known.finding(candidate, stage)
        if finding is None:
            finding = await stage(candidate)
            self.known.find(candidate, stage, finding)
        if finding.passed:
            return scored if finding.score is None else Scored(candidate, finding.score)
        fate = UNVERIFIED if finding.passed is None else stage.name
        self.tally.note(candidate.key, candidate.teacher, fate, finding.why)
        return None


def _write(folder: Path, domain: Domain, by_seed: Sequence[Sequence[Scored]], run: _Run) -> Tally:
    """The file and the report: functions of the journal alone."""
    choice = chosen(by_seed, domain.keep)
    for one in (one for scored in by_seed for one in scored):
        candidate = one.candidate
        fate = {"near": NEAR, "more": MORE}.get(choice.left.get(candidate.key, ""), KEPT)
        run.tally.note(candidate.key, candidate.teacher, fate)
    write_atomic(folder / DIALOGUES, b"".join(_lines(domain, choice.kept, run.known)))
    report = {"domain": domain.name, "seeds": len(by_seed), **run.tally.to_json()}
    write_atomic(folder / REPORT, msgspec.json.format(msgspec.json.encode(report), indent=1))
    return run.tally


def _lines(domain: Domain, kept: Sequence[Scored], known: Remembered) -> Iterator[bytes]:
    for one in kept:
        yield line_of(one.candidate.dialogue, id=one.candidate.key, provenance=_origin(domain, one, known)) + b"\n"


def _origin(domain: Domain, one: Scored, known: Remembered) -> dict[str, Any]:
    """Where a dialogue comes from and what every stage found of it."""
    candidate = one.candidate
    found = {stage.name: finding for stage in domain.stages if (finding := known.finding(candidate, stage)) is not None}
    return {
        "domain": domain.name,
        "seed": candidate.seed.id,
        "teacher": candidate.teacher,
        "attempt": candidate.attempt,
        "score": one.score,
        "stages": {name: {"score": finding.score, **finding.notes} for name, finding in found.items()},
        "usage": asdict(candidate.usage),
    }


def _require_marks(domain: Domain) -> None:
    """Raises ConfigError where a stage has none, before anybody is asked."""
    for stage in domain.stages:
        _ = stage.mark


def _check(seeds: Sequence[Seed], teachers: Sequence[Teacher], attempts: int, at_once: int) -> None:
    for what, names in (("seed", [seed.id for seed in seeds]), ("teacher", [one.name for one in teachers])):
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"synthesis needs at least one {what} and different names, got {len(names)}")
    if attempts < 1 or at_once < 1:
        raise ConfigError(f"attempts and at_once must be at least 1, got {attempts} and {at_once}")
