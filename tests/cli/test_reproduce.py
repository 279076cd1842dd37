import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from manyeyes.cli import reproduce
from manyeyes.cli.main import main
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.reproduce.pool import Job


def test_without_a_name_it_lists_the_experiments(capsys) -> None:
    assert main(["reproduce"]) == 0
    assert "table1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tabel1"], "did you mean table1"),
        (["figure12"], "known are table1"),
        (["table1", "--seeds", "0"], "--seeds must be 1 to 100, got 0"),
        (["table1", "--minutes", "0"], "--minutes must be 5"),
        (["table1", "--quick", "--processes", "-1"], "--processes must be 1 or more (0: one for each core), got -1"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, said, capsys) -> None:
    assert main(["reproduce", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_folder_with_another_run_is_refused(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "vit", {"name": "something else"})
    with pytest.raises(ConfigError, match="another configuration"):
        reproduce.main(reproduce.Options("table1", quick=True, folder=tmp_path))


def test_progress_counts_runs_and_estimates_the_rest(tmp_path: Path, capsys) -> None:
    jobs = [Job(name, RunFolder(tmp_path / name), 100) for name in ("ViT", "early 0", "late 0")]
    progress = reproduce._Progress(share=[10, 100, 100])
    jobs[0].finished, jobs[1].running, jobs[1].step = True, True, 50
    progress.show(jobs)
    line = capsys.readouterr().out
    assert "0 of 2 runs" in line and "29%" in line and "early 0 50%" in line


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "manyeyes.cli.main", "reproduce", "table1", "--quick", "--folder", str(folder)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


@pytest.mark.slow
def test_the_whole_experiment_survives_a_kill_and_repeats_nothing(tmp_path: Path) -> None:
    folder, docs = tmp_path / "runs", tmp_path / "docs"
    with subprocess.Popen(command(folder), env=environment(), stdout=subprocess.DEVNULL) as first:
        log = folder / "early-0" / "metrics.jsonl"
        deadline = time.monotonic() + 300
        while first.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_text().count('"train"') > 5:
                break
            time.sleep(0.2)
        first.kill()
    vit = (folder / "vit" / "metrics.jsonl").read_bytes()
    _wait_for_quiet(folder)
    done = subprocess.run(
        [*command(folder), "--write-docs", str(docs)], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "vit" / "metrics.jsonl").read_bytes() == vit
    assert "early, report" in done.stdout and "one seed only" in done.stdout
    result = json.loads((docs / "table1.json").read_text())
    assert result == json.loads((folder / "table1.json").read_text())
    assert set(result["arms"]) == {"early", "mid", "late"}
    for name in ("table1.svg", "table1.md"):
        assert (docs / name).stat().st_size > 1000
    assert "<svg" in (folder / "table1.html").read_text()
    for arm in result["arms"]:
        run = RunFolder.open(folder / f"{arm}-0")
        steps = [row.step for row in run.metrics("train")]
        assert steps == list(range(1, len(steps) + 1)) and len(run.metrics("finished")) == 1


def _wait_for_quiet(folder: Path) -> None:
    """Workers whose parent was killed save and end by themselves."""
    size = -1
    for _ in range(60):
        now = sum(path.stat().st_size for path in folder.glob("*/metrics.jsonl"))
        if now == size:
            return
        size = now
        time.sleep(3)
