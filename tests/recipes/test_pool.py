import json
import os
import sys
from pathlib import Path

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.pool import Job, WorkerError, run_jobs

WORKER = """
import json, signal, sys, time
from pathlib import Path
from manyeyes.core.runlog import RunFolder
folder = RunFolder.open(sys.argv[1])
config = folder.config()
asked = []
signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
done = max([row.step for row in folder.metrics("train")], default=0)
for step in range(done + 1, config["steps"] + 1):
    if asked:
        sys.exit(130)
    if config.get("fails") == step:
        print("something is wrong")
        sys.exit(7)
    time.sleep(0.02)
    folder.log("train", step)
folder.log("finished", config["steps"])
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "fake_worker.py").write_text(WORKER)
    path = os.pathsep.join([str(tmp_path), *(entry for entry in sys.path if entry)])
    return {**os.environ, "PYTHONPATH": path}


def job(tmp_path: Path, name: str, *, steps: int = 5, **config: int) -> Job:
    folder = RunFolder(tmp_path / name)
    if not folder.config_path.exists():
        RunFolder.create(tmp_path / name, {"steps": steps, **config})
    return Job(name, folder, steps)


def run(jobs: list[Job], environment: dict[str, str], *, stop=lambda: False, report=lambda jobs: None) -> bool:
    return run_jobs(
        jobs, module="fake_worker", processes=2, environment=environment, report=report, stop=stop, every=0.05
    )


def test_all_jobs_finish_two_at_a_time_and_are_not_repeated(tmp_path: Path, environment: dict[str, str]) -> None:
    jobs = [job(tmp_path, name) for name in "abc"]
    at_once: list[int] = []
    assert run(jobs, environment, report=lambda found: at_once.append(sum(j.running for j in found)))
    assert max(at_once) == 2 and all(j.finished and j.share == 1.0 for j in jobs)
    logs = [j.folder.metrics_path.read_bytes() for j in jobs]
    assert run([job(tmp_path, name) for name in "abc"], environment)
    assert [j.folder.metrics_path.read_bytes() for j in jobs] == logs


def test_a_stopped_job_goes_on_where_it_was(tmp_path: Path, environment: dict[str, str]) -> None:
    first = job(tmp_path, "long", steps=200)
    assert not run([first], environment, stop=lambda: first.step >= 3)
    assert 3 <= first.step < 200 and not first.finished
    first.folder.config_path.write_text(json.dumps({"steps": first.step + 3}))
    second = Job("long", first.folder, first.step + 3)
    assert run([second], environment)
    steps = [row.step for row in first.folder.metrics("train")]
    assert steps == list(range(1, second.steps + 1))


def test_a_failing_worker_is_named_with_what_it_said(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(WorkerError, match="run bad ended with status 7: something is wrong"):
        run([job(tmp_path, "bad", fails=2), job(tmp_path, "good", steps=50)], environment)


def test_what_earlier_lives_have_said_stays_in_the_log(tmp_path: Path, environment: dict[str, str]) -> None:
    bad = job(tmp_path, "bad", fails=2)
    for life in (1, 2):
        with pytest.raises(WorkerError, match="something is wrong"):
            run([bad], environment)
        assert (bad.folder.path / "worker.log").read_text().count("something is wrong") == life
    silent = Job("silent", bad.folder, 5)
    bad.folder.config_path.write_text("{")  # no worker's words, whatever it dies of now
    with pytest.raises(WorkerError) as failure:
        run([silent], environment)
    assert "something is wrong" not in str(failure.value)


def test_a_job_waits_for_what_it_starts_from_while_others_go_on(tmp_path: Path, environment: dict[str, str]) -> None:
    first, other = job(tmp_path, "first", steps=12), job(tmp_path, "other", steps=20)
    second = Job("second", job(tmp_path, "second").folder, 5, after=(first,))
    begun: dict[str, float] = {}

    def note(jobs: list[Job]) -> None:
        for one in jobs:
            if one.running:
                begun.setdefault(one.name, first.share)

    assert run([second, first, other], environment, report=note)
    assert begun["second"] == 1.0 > begun["other"]
    assert all(one.finished for one in (first, second, other))


def test_a_job_that_starts_from_what_nobody_makes_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    lost = job(tmp_path, "lost")
    with pytest.raises(ConfigError, match="run a starts from lost, which is not among the runs"):
        run([Job("a", job(tmp_path, "a").folder, 5, after=(lost,))], environment)


def test_steps_of_reinforcement_learning_count_as_well(tmp_path: Path) -> None:
    one = job(tmp_path, "rl", steps=4)
    one.folder.log("rl", 3, reward=0.5)
    one.refresh()
    assert one.step == 3 and one.share == 0.75


@pytest.mark.parametrize("processes", [0, -1])
def test_no_process_at_all_is_refused_and_does_not_wait(processes, tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"processes={processes}"):
        run_jobs(
            [job(tmp_path, "a")], module="fake_worker", processes=processes, environment=environment,
            report=lambda jobs: None, stop=lambda: False,
        )  # fmt: skip
