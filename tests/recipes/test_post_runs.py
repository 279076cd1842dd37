"""Runs of an experiment: equal ones are made once, in order, in a folder that a second call finds again."""

import dataclasses
from pathlib import Path

import pytest

from manyeyes import __version__
from manyeyes.core.errors import ConfigError, DataError
from manyeyes.recipes import recipe
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.recipes.reproduce import post_runs
from manyeyes.recipes.reproduce.post_perform import perform
from manyeyes.recipes.reproduce.post_runs import Finished, Made, codes_of, jobs_of, makespan, ordered
from manyeyes.recipes.reproduce.post_scale import Scale
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.run import Run

from . import post_toys


@pytest.fixture
def scale(tmp_path: Path) -> Scale:
    return Scale(post_toys.start_at(tmp_path / "start"), seeds=2, recipes=post_toys.toy)


def chain(scale: Scale, seed: int = 0) -> Made:
    return scale.reinforced("tiny.toggle", seed, scale.tuned("tiny.sft", seed))


def test_what_two_arms_need_is_made_once_and_before_them(scale: Scale) -> None:
    start = scale.tuned("tiny.sft", 0)
    arms = [scale.reinforced("tiny.toggle", 0, start), scale.reinforced("tiny.toggle", 0, start, groups=3)]
    again = scale.tuned("tiny.sft", 0)
    assert [one.label for one in ordered([*arms, again])] == ["tiny.sft 0", "tiny.toggle 0", "tiny.toggle 0"]
    assert again.key == start.key and arms[0].key != arms[1].key


def test_a_key_is_of_what_is_computed_and_of_all_that_came_before(scale: Scale) -> None:
    first = chain(scale)
    assert first.key == chain(scale).key
    other_start = dataclasses.replace(first, start=scale.tuned("tiny.sft", 1))
    renamed = dataclasses.replace(first, work=dataclasses.replace(first.work, about="other words"), label="x 0")
    assert other_start.key != first.key == renamed.key
    assert isinstance(first.work, RlRun)
    more = dataclasses.replace(first.work, evaluate_every=2)
    assert dataclasses.replace(first, work=more).key != first.key  # its log would tell something else
    anew = dataclasses.replace(first.work, keep_attempts=False, checkpoint_every=3)
    assert dataclasses.replace(first, work=anew).key == first.key


def test_of_a_run_that_leaves_two_models_each_may_be_measured(scale: Scale, tmp_path: Path) -> None:
    run, told = chain(scale), recipe("tiny.toggle").measured[:1]
    last, free = (scale.measuring("seen", 0, run, measured=told, which=one) for one in ("model", "model_unconstrained"))
    plain = scale.measuring("seen", 0, run, measured=told)
    assert last.key == plain.key != free.key
    said = {name: value for name, value in plain.work.to_json().items() if name not in post_runs.PASSIVE}
    assert plain.key == fingerprint_of([__version__, said, [run.key]])  # older measurements are found again
    assert free.resolved(tmp_path).start_model == str(run.path(tmp_path) / "model_unconstrained")  # pyright: ignore
    with pytest.raises(ConfigError, match="is one model"):
        scale.measuring("seen", 0, scale.start, measured=told, which="model_unconstrained")


def test_another_model_at_the_same_path_is_another_run(scale: Scale) -> None:
    before = chain(scale).key
    again = Scale(post_toys.start_at(scale.start.parent / "copy"), recipes=post_toys.toy)
    assert chain(again).key == before  # the same bytes elsewhere
    post_toys.start_at(scale.start, seed=8)
    assert chain(scale).key != before


def test_frozen_sub_agents_are_known_by_their_bytes(scale: Scale) -> None:
    other = post_toys.start_at(scale.start.parent / "other", seed=8)
    made = [dataclasses.replace(chain(scale), frozen=model) for model in (None, scale.start, other)]
    assert len({one.key for one in made}) == 3
    assert made[2].resolved(scale.start.parent).frozen_model == str(other)  # pyright: ignore


def test_a_run_notes_which_code_worked_at_it(scale: Scale, tmp_path: Path, monkeypatch) -> None:
    runs, root = ordered([chain(scale)]), tmp_path / "runs"
    first, second = jobs_of(runs, root)
    assert codes_of(first.folder) == codes_of(second.folder) == [post_runs.code_digest()]
    first.folder.log("finished", 1)
    monkeypatch.setattr(post_runs, "code_digest", lambda: "changed")
    jobs_of(runs, root)
    assert len(codes_of(first.folder)) == 1 and codes_of(second.folder)[1:] == ["changed"]
    assert len(post_runs.code_digest()) and len(jobs_of(runs, root)) == 2 and len(codes_of(second.folder)) == 2


def test_folders_name_the_models_that_runs_start_from(scale: Scale, tmp_path: Path) -> None:
    last, root = chain(scale), tmp_path / "runs"
    jobs = jobs_of(ordered([last]), root)
    assert [job.name for job in jobs] == ["tiny.sft 0", "tiny.toggle 0"] and jobs[1].after == (jobs[0],)
    run = RlRun.from_json(jobs[1].folder.config())
    assert run.start_model == str(jobs[0].folder.path / "model")
    tuned = Run.from_json(jobs[0].folder.config())
    assert tuned.start_model == str(scale.start) and tuned.model == post_toys.miniature()
    assert [job.folder.path for job in jobs_of(ordered([chain(scale)]), root)] == [job.folder.path for job in jobs]


def test_fine_tuning_from_a_model_that_is_not_there_yet_is_refused(scale: Scale) -> None:
    with pytest.raises(ConfigError, match="that model must be there"):
        Made("again 0", scale.tuned("tiny.sft", 0).work, scale.tuned("tiny.sft", 1))


def test_the_whole_takes_as_long_as_its_schedule(scale: Scale) -> None:
    def made(name: str, minutes: float, *before: Made) -> Made:
        start = before[0] if before else scale.start
        return Made(f"{name} 0", post_toys.toy(name), start, minutes=minutes)

    first = made("a", 10.0)
    after = [made("b", 5.0, first), made("c", 5.0, first), made("d", 5.0, first)]
    runs = ordered([*after, made("e", 4.0)])
    assert makespan(runs, processes=1) == 29.0
    assert makespan(runs, processes=2) == 20.0  # a beside e, then b, c, d
    assert makespan(runs, processes=9) == 15.0 and makespan([], processes=2) == 0.0
    assert makespan(after, processes=1) == 15.0  # what they start from is there


def test_a_chain_runs_to_its_end_and_is_not_repeated(scale: Scale, tmp_path: Path) -> None:
    plan = {("arm", 0): chain(scale)}
    root = tmp_path / "runs"
    with pytest.raises(DataError, match="tiny.sft 0 has not come to its end"):
        for one in ordered(plan.values()):
            one.folder(root)
        Finished(plan, root)
    for one in ordered(plan.values()):
        with one.folder(root) as folder:
            assert perform(folder, registry=post_toys.REGISTRY)
    found = Finished(plan, root)
    assert found.arms == ["arm"] and found.seeds("arm") == [0] and found.seconds > 0
    [run] = found.runs("arm")
    assert [row.step for row in run.metrics("evaluation")] == [0, 1, 2] and len(run.metrics("rl")) == 2
    log = run.metrics_path.read_bytes()
    with plan["arm", 0].folder(root) as folder:
        assert perform(folder, registry=post_toys.REGISTRY)
    assert run.metrics_path.read_bytes() == log
