"""All checks over a run's folder: each trajectory, what the trainer would get of it, and the delivered groups.

Report: App. D.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from manyeyes.agent.rollouts.snapshot import group_lines
from manyeyes.core.data_rules import Finding, Rules
from manyeyes.core.sample_checks import check_sample_batch, check_samples_of
from manyeyes.core.trajectory import NOBODY, Trajectory
from manyeyes.core.trajectory_checks import check_batch, check_group, forest
from manyeyes.core.trajectory_store import TrajectoryStore, TrajectoryStoreError, Wanted, WireError
from manyeyes.view.rollout_run import ShownRollouts


def check_run(run: ShownRollouts, store: TrajectoryStore, wanted: Wanted) -> list[Finding]:
    """What does not hold, of the trajectories that are wanted and of all groups."""
    tokenizer = run.tokenizer
    rules = Rules(tokenizer.n_vocab, tokenizer.media_pad) if tokenizer else Rules()
    damaged = [Finding("error", "store", str(store.folder), NOBODY, store.damage)] if store.damage else []
    of_samples: list[Finding] = []
    of_trajectories = check_batch(_whole(store, wanted, rules, damaged, of_samples), rules)
    return [*damaged, *of_trajectories, *of_samples, *_groups(run, store)]


def _whole(
    store: TrajectoryStore, wanted: Wanted, rules: Rules, damaged: list[Finding], of_samples: list[Finding]
) -> Iterator[Trajectory]:
    """Each trajectory that can be read, once; what cannot, and what is wrong with its samples, is noted on the way."""
    for one in store.matching(wanted):
        try:
            whole = store.get(one.name)
        except (TrajectoryStoreError, WireError) as error:
            damaged.append(Finding("error", "store", one.name, NOBODY, str(error)))
            continue
        yield whole
        if not any(forest(whole)):
            samples = whole.to_samples(1.0)
            of_samples += check_samples_of(whole, samples) + check_sample_batch(samples, rules)


def _groups(run: ShownRollouts, store: TrajectoryStore) -> Iterator[Finding]:
    """A group that was delivered has its trajectories in the store: attempts at one task, from which one can learn."""
    for line in group_lines(run.folder):
        yield from check_group(list(_verdicts(store, line.names)), Rules(), name=line.group)
        if lost := [name for name in line.names if name not in store]:
            words = f"{len(lost)} of its {len(line.names)} trajectories are not in the store, the first is {lost[0]}"
            yield Finding("error", "group", line.group, NOBODY, words)
        if not line.complete:
            yield Finding("warning", "group", line.group, NOBODY, "it was delivered without a quorum")


def _verdicts(store: TrajectoryStore, names: Iterable[str]) -> Iterator[Trajectory]:
    """Trajectories without what happened in them: summaries say enough of a group."""
    for name in names:
        with suppress(TrajectoryStoreError):  # who is lost or damaged is a finding already
            one = store.summary(name)
            yield Trajectory(one.name, one.task, reward=one.reward, masked=one.masked, stop=one.stop)
