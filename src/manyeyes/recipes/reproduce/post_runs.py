"""`Made`: a run of an experiment and what it starts from. Equal runs are made once, whoever asks for them.

    plan    (arm, seed) → Made      "vision_rl 0" starts from "tiny.sft 0", which starts from a finished run of tiny

A run's folder carries a key of its configuration and of everything before it, down to the bytes of the first model, so
two arms, two experiments, or the same command after a kill find the same folder, and another model never does. Beside
it stands which code it was made with.

Report: §2.2-2.3, §3, §4.4 (stages of post-training, each from the one before).
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from manyeyes import __version__
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.reproduce.checkpoint_digest import code_digest, model_digest
from manyeyes.recipes.reproduce.pool import Job
from manyeyes.recipes.reproduce.post_measure import Measuring
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run
from manyeyes.recipes.starting_model import MODEL_FOLDER, with_start

Work: TypeAlias = Run | RlRun | Measuring
PASSIVE = ("about", "hardware", "examples", "after", "start_model", "checkpoint_every", "keep_attempts")
"""Fields that change nothing in what comes out; models are known by what made them, or by their bytes."""
MADE_BY = "made.json"
"""In a run's folder: the digests of the code that worked at it."""


@dataclass(frozen=True, slots=True)
class Made:
    """One run.

    Attributes:
        label: for people: what and which seed, "tiny.sft 0".
        work: its configuration, without paths of models.
        start: the run whose model it starts from, or the checkpoint folder.
        frozen: the same of its frozen sub-agents; None for none.
        minutes: that it takes one process of one thread, about.
        which: of the models that the run it starts from leaves, by the folder's name (`rl_kept`).
        key: equal for equal work on equal models.

    Raises:
        CheckpointError: the model that the first run starts from is not there.
        ConfigError: fine-tuning that starts from a run's model, or `which` of a folder that holds one model.
    """

    label: str
    work: Work
    start: "Made | Path"
    frozen: "Made | Path | None" = None
    minutes: float = 1.0
    which: str = MODEL_FOLDER
    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.work, Run) and isinstance(self.start, Made):
            raise ConfigError(f"{self.label}: fine-tuning takes over its model's sizes, so that model must be there")
        if self.which != MODEL_FOLDER and not isinstance(self.start, Made):
            raise ConfigError(f"{self.label}: {self.start} is one model, and of a run's models {self.which} is wanted")
        object.__setattr__(self, "key", self._key())

    def _key(self) -> str:
        """Equal for equal work on equal models, in one version of the package."""
        passive = PASSIVE if self.frozen is None else (*PASSIVE, "frozen_model")
        data = {name: value for name, value in self.work.to_json().items() if name not in passive}
        before = [one.key if isinstance(one, Made) else model_digest(one) for one in (self.start, self.frozen) if one]
        which = [] if self.which == MODEL_FOLDER else [self.which]
        return fingerprint_of([__version__, data, before, *which])

    @property
    def before(self) -> "tuple[Made, ...]":
        """The runs that must be finished first."""
        return tuple(one for one in (self.start, self.frozen) if isinstance(one, Made))

    def path(self, root: Path) -> Path:
        """Its run folder below the folder of all runs."""
        return root / f"{self.label.replace(' ', '-')}-{self.key[:8]}"

    def resolved(self, root: Path) -> Work:
        """Its configuration with the paths of its models."""
        start = _model(self.start, root, self.which)
        if isinstance(self.work, Run):
            return with_start(self.work, start)
        frozen = str(_model(self.frozen, root)) if self.frozen else self.work.frozen_model
        return dataclasses.replace(self.work, start_model=str(start), frozen_model=frozen)

    def folder(self, root: Path) -> RunFolder:
        """Its run folder, made where it is not there.

        Raises:
            CheckpointError: the model that the first run starts from is not there.
        """
        path = self.path(root)
        if (path / "config.json").exists():
            return RunFolder.open(path)
        return RunFolder.create(path, self.resolved(root).to_json())

    def is_done(self, root: Path) -> bool:
        """Whether its run is there and has come to its end; makes nothing."""
        return (self.path(root) / "config.json").exists() and bool(self.folder(root).metrics("finished"))


def _model(one: "Made | Path", root: Path, which: str = MODEL_FOLDER) -> Path:
    return one.path(root) / which if isinstance(one, Made) else one


Plan: TypeAlias = Mapping[tuple[str, int], Made]
"""By arm and seed; the runs that these start from are part of it unsaid."""


def ordered(wanted: Iterable[Made]) -> list[Made]:
    """All runs that are needed, each once, behind those that it starts from."""
    found: dict[str, Made] = {}

    def take(one: Made) -> None:
        for earlier in one.before:
            take(earlier)
        found.setdefault(one.key, one)

    for one in wanted:
        take(one)
    return list(found.values())


def jobs_of(runs: Sequence[Made], root: Path) -> list[Job]:
    """A job for each of `ordered` runs; those that are not done note that this code works at them."""
    jobs: dict[str, Job] = {}
    for one in runs:
        after = tuple(jobs[earlier.key] for earlier in one.before)
        folder = one.folder(root)
        if not folder.metrics("finished"):
            _note_code(folder)
        jobs[one.key] = Job(one.label, folder, one.work.steps, after)
    return list(jobs.values())


def codes_of(folder: RunFolder) -> list[str]:
    """Digests of the code that has worked at a run; none where nobody noted it."""
    path = folder.path / MADE_BY
    return json.loads(path.read_text())["code"] if path.exists() else []


def _note_code(folder: RunFolder) -> None:
    noted = codes_of(folder)
    if code_digest() not in noted:
        write_atomic(folder.path / MADE_BY, json.dumps({"version": __version__, "code": [*noted, code_digest()]}))


def makespan(runs: Sequence[Made], *, processes: int) -> float:
    """Minutes until these `ordered` runs are done, `processes` at a time, as `pool.run_jobs` starts them.

    Runs that they start from and that are not among them are there already.
    """
    ends = {one.key: math.inf for one in runs}
    free, waiting = [0.0] * processes, list(runs)
    while waiting:
        now = min(free)
        place = free.index(now)
        one = next((one for one in waiting if all(ends.get(before.key, 0.0) <= now for before in one.before)), None)
        if one is None:
            free[place] = min(end for end in ends.values() if end > now)
        else:
            waiting.remove(one)
            free[place] = ends[one.key] = now + one.minutes
    return max(ends.values(), default=0.0)


class Finished:
    """The runs of a plan when all are over.

    Raises:
        DataError: one is not.
    """

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan, self.root = plan, root
        for one in ordered(plan.values()):
            if not self._folder(one).metrics("finished"):
                raise DataError(f"{one.path(root)}: {one.label} has not come to its end; run the experiment again")

    def _folder(self, one: Made) -> RunFolder:
        return RunFolder.open(one.path(self.root))

    @property
    def arms(self) -> list[str]:
        """In the order of the plan."""
        return list(dict.fromkeys(arm for arm, _ in self.plan))

    def seeds(self, arm: str) -> list[int]:
        """Of an arm."""
        return [seed for name, seed in self.plan if name == arm]

    def runs(self, arm: str) -> list[RunFolder]:
        """Of an arm, in the order of the seeds."""
        return [self._folder(made) for (name, _), made in self.plan.items() if name == arm]

    def works(self, arm: str) -> list[Any]:
        """Configurations of an arm, in the order of the seeds."""
        return [made.work for (name, _), made in self.plan.items() if name == arm]

    def work(self, arm: str) -> Any:
        """The configuration of an arm's first seed."""
        return self.works(arm)[0]

    @property
    def whole(self) -> list[tuple[Made, RunFolder]]:
        """All runs, those that the arms start from too, with their folders."""
        return [(one, self._folder(one)) for one in ordered(self.plan.values())]

    @property
    def seconds(self) -> float:
        """That all runs took, one after another, as far as they say."""
        rows = [row for _, folder in self.whole for row in folder.metrics("finished")]
        return sum(row.values.get("seconds", 0.0) for row in rows)

    @property
    def codes(self) -> list[str]:
        """Digests of the code that has worked at any of them."""
        return sorted({code for _, folder in self.whole for code in codes_of(folder)})
