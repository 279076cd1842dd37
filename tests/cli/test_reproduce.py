"""`manyeyes reproduce`: what is typed wrongly is one line; experiments survive a stop or a kill and repeat nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manyeyes.cli import reproduce, reproduce_figures, reproduce_plan, reproduce_progress, reproduce_table1
from manyeyes.cli.main import main
from manyeyes.cli.reproduce_plan import announcement, standings
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.fig_trials import Standing
from manyeyes.recipes.reproduce.pool import Job
from manyeyes.recipes.reproduce.post_experiments import POST, Experiment
from manyeyes.recipes.reproduce.post_rates import Rates
from manyeyes.recipes.reproduce.post_result import panel, result, table
from manyeyes.recipes.reproduce.post_runs import Finished, jobs_of, ordered
from manyeyes.recipes.reproduce.post_scale import Scale

from ..recipes.post_toys import start_at, toy


def test_without_a_name_it_lists_the_experiments(capsys) -> None:
    assert main(["reproduce"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["table1", "fig2", "table2", "sft", "fig4", "fig5", "fig6", "fig7", "fig8", "table6"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tabel1"], "did you mean table1"),
        (["violin"], "known are table1"),
        (["table1", "--seeds", "0"], "--seeds must be 1 to 100, got 0"),
        (["table1", "--minutes", "0"], "--minutes must be 5"),
        (["fig8", "--minutes", "5", "--processes", "2"], "fig8 trains nothing; leave out --minutes, --processes"),
        (["fig7", "--quick", "--seeds", "50"], "1 to 20 seeds"),
        (["fig6", "--seeds", "2"], "leave out --seeds"),
        (["table1", "--quick", "--processes", "-1"], "--processes must be 1 or more (0: one for each core), got -1"),
        (["table1", "--model", "x"], "table1 trains from scratch; leave out --model"),
        (["fig7", "--model", "x"], "fig7 trains nothing; leave out --model"),
        (["fig2", "--processes", "-1"], "--processes must be 1 or more (0: one for each core), got -1"),
        (["fig2", "--minutes", "0"], "--minutes must be above 0, got 0"),
        (["fig2", "--model", "no-such-run"], "no run 'no-such-run'"),
        (["fig2", "--start", "no-such-run"], "no run 'no-such-run'"),
        (["table1", "--start", "x", "--dry-run"], "table1 trains from scratch; leave out --start, --dry-run"),
        (["fig6", "--start", "x"], "fig6 trains nothing; leave out --start"),
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
    progress = reproduce_table1._Progress(share=[10, 100, 100])
    jobs[0].finished, jobs[1].running, jobs[1].step = True, True, 50
    progress.show(jobs)
    line = capsys.readouterr().out
    assert "0 of 2 runs" in line and "29%" in line and "early 0 50%" in line


def test_progress_of_trials_tells_what_is_left() -> None:
    line = reproduce_figures.progress_line(Standing(1, 16, 0.05, ("a", "b")), gained=0.0, seconds=3.0)
    assert line == "1 of 16 trials  5%  time left ...  a, b"


def test_post_training_needs_a_run_of_tiny_and_says_how_to_get_one(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MANYEYES_RUNS", str(tmp_path))
    assert main(["reproduce", "fig4", "--quick"]) == 2
    assert "fig4 starts from a finished run of tiny" in capsys.readouterr().err


def test_runs_are_announced_with_their_minutes_and_what_is_there_already(tmp_path: Path) -> None:
    scale = Scale(start_at(tmp_path / "start"), seeds=3, recipes=toy, share=0.5)
    plan = {("arm", seed): scale.reinforced("tiny.toggle", seed, scale.tuned("tiny.sft", seed)) for seed in range(3)}
    runs, root = ordered(plan.values()), tmp_path / "runs"
    jobs_of(runs[:2], root)
    with runs[0].folder(root) as first, runs[1].folder(root) as second:
        first.log("finished", 2)
        second.log("rl", 1)
    rates = Rates(tokens=512 / 600, learned={"tiny.toggle": 120.0}, asked={})
    found = standings(runs, root, rates)
    said = announcement("fig5", found, scale, root, cores=2, rates=rates)
    assert "fig5: 6 runs, RL at 50 % of its recipes' steps" in said and "from nothing; all start from" in said
    assert "3 x tiny.sft             about 10.2 min each    1 there, 2 to make" in said
    assert "under way" in said and "by the table of rates" in said and "made by other code" not in said
    left = announcement("fig5", found, scale, root, cores=2, rates=replace(rates, runs=4))
    assert "left by the rates of 4 finished runs here" in left
    assert [one.share for one in found][:3] == [1.0, 0.99, 0.0]  # its only step is done, its measurement is not
    assert not runs[2].path(root).exists()  # nothing is made by saying it


def test_long_names_of_runs_stand_in_one_column(tmp_path: Path) -> None:
    scale = Scale(start_at(tmp_path / "start"), seeds=2, recipes=toy)
    labels = ("short", "a-name-of-thirty-characters-ok")
    runs = [replace(scale.reinforced("tiny.toggle", n, scale.start), label=f"{label} {n}")
            for n, label in enumerate(labels)]  # fmt: skip
    said = announcement("fig5", standings(runs, tmp_path, Rates()), scale, tmp_path, cores=2, rates=Rates())
    rows = [line for line in said.splitlines() if "min each" in line]
    assert len(rows) == 2 and len({row.index(" about ") for row in rows}) == 1


def test_runs_of_other_code_are_named(tmp_path: Path, monkeypatch) -> None:
    scale = Scale(start_at(tmp_path / "start"), seeds=1, recipes=toy)
    runs, root = [scale.reinforced("tiny.toggle", 0, scale.start)], tmp_path / "runs"
    [job] = jobs_of(runs, root)
    job.folder.log("finished", 2)
    monkeypatch.setattr(reproduce_plan, "code_digest", lambda: "changed")
    said = announcement("fig5", standings(runs, root, Rates()), scale, root, cores=2, rates=Rates())
    assert "nothing is left to make" in said and f"made by other code than this is ({job.folder.name})" in said


def a_fine_tuning(tmp_path: Path) -> Path:
    config = replace(recipe("tiny.sft"), start_model=str(start_at(tmp_path / "base", context=4096))).to_json()
    run = RunFolder.create(tmp_path / "runs" / "tiny.sft-1", config)
    start_at(run.path / "model", context=4096, seed=8)
    return run.path


@pytest.mark.parametrize("name", ["fig2", "table2", "sft", "fig4", "table6", "fig5"])
def test_a_dry_run_says_what_would_be_made_and_makes_nothing(name, tmp_path: Path, monkeypatch, capsys) -> None:
    tuned = a_fine_tuning(tmp_path)
    monkeypatch.setenv("MANYEYES_RUNS", str(tmp_path / "runs"))
    assert main(["reproduce", name, "--dry-run", "--start", tuned.name, "--processes", "2"]) == 0
    said = capsys.readouterr().out
    assert f"{name}: " in said and "start from one fine-tuning" in said and "to make" in said
    assert "x tiny.sft" not in said and (name == "sft") == ("1 x text-vision-sft" in said)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [tuned.name]


def test_what_is_no_fine_tuning_is_no_start(tmp_path: Path, monkeypatch, capsys) -> None:
    tuned = a_fine_tuning(tmp_path)
    config = RunFolder.open(tuned).config()
    RunFolder.open(tuned).write_config(config | {"name": "tiny"})
    assert main(["reproduce", "fig2", "--dry-run", "--start", str(tuned / "model")]) == 2
    assert "expected a finished run of tiny.sft, got one of tiny" in capsys.readouterr().err
    assert main(["reproduce", "fig8", "--model", f"{tuned},{tuned}", "--seeds", "3"]) == 2
    assert "measures 2 trained runs, a seed each" in capsys.readouterr().err


@pytest.mark.parametrize("tune_each", [True, False])
@pytest.mark.parametrize("of_tuning", [True, False])
def test_a_fine_tuning_of_each_seeds_own_has_a_page_of_its_own(
    tune_each: bool, of_tuning: bool, tmp_path: Path, monkeypatch, capsys
) -> None:
    def results(found: Finished, scale: Scale) -> dict[str, Any]:
        drawn = [panel("Tokens", "steps", [{"name": "a", "xs": [1, 2], "ys": [1.0, 2.0]}])]
        rows = [table("Table", ["of", "found"], [["a", "1"]])]
        return result("fig5", "Title", found, scale, about=["About."], report=["Said."], sentences=["Showed."],
                      tables=rows, panels=drawn, figures={})  # fmt: skip

    monkeypatch.setitem(POST, "fig5", Experiment(lambda scale: {}, results, of_tuning))
    options = ["--model", str(start_at(tmp_path / "base")), "--folder", str(tmp_path / "runs"), "--seeds", "2"]
    flags = ["--tune-each"] if tune_each else []
    assert main(["reproduce", "fig5", *options, *flags, "--write-docs", str(tmp_path / "docs")]) == 0
    own = tune_each and not of_tuning  # where it is usual the page is the usual one
    name = "fig5-tuned-each" if own else "fig5"
    for folder in ("runs", "docs"):
        assert sorted(path.stem for path in (tmp_path / folder).glob("fig5*.*")) == [name] * 3
        page = (tmp_path / f"{folder}/{name}.md").read_text()
        assert f"({name}.svg)" in page and f"`manyeyes reproduce fig5 --seeds 2{' --tune-each' * tune_each}`" in page
    assert f"{name}.json" in capsys.readouterr().out


def test_progress_of_runs_tells_what_is_left_and_what_runs(tmp_path: Path) -> None:
    jobs = [Job(name, RunFolder(tmp_path / name), 100) for name in ("sft 0", "rl 0")]
    jobs[0].finished, jobs[1].running, jobs[1].step = True, True, 25
    line = reproduce_progress.progress_line(jobs, 0.5, gained=0.25, seconds=60.0)
    assert line == "1 of 2 runs  50%  about 2 min left  rl 0 25%"
    assert "time left ..." in reproduce_progress.progress_line(jobs, 0.5, gained=0.0, seconds=60.0)


@pytest.mark.slow
def test_post_training_survives_a_kill_and_shares_its_runs(tmp_path: Path) -> None:
    start = start_at(tmp_path / "start", context=4096)
    runs = {**environment(), "MANYEYES_RUNS": str(tmp_path / "runs")}
    called = [sys.executable, "-m", "manyeyes.cli.main", "reproduce", "fig5", "--quick", "--model", str(start)]
    root = tmp_path / "runs" / "post-training"
    with subprocess.Popen(called, env=runs, stdout=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 300
        while first.poll() is None and time.monotonic() < deadline:
            if any('"rl"' in log.read_text() for log in root.glob("tiny.toggle-*/metrics.jsonl")):
                break
            time.sleep(0.2)
        first.kill()
    [tuned] = root.glob("tiny.sft-*/metrics.jsonl")
    before = tuned.read_bytes()
    _wait_for_quiet(root)
    done = subprocess.run([*called, "--write-docs", str(tmp_path / "docs")], env=runs, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tuned.read_bytes() == before and "1 there" in done.stdout
    for run in map(RunFolder, root.iterdir()):
        steps = [row.step for row in run.metrics("rl")]
        assert steps == list(range(1, len(steps) + 1)) and len(run.metrics("finished")) == 1
    result = json.loads((tmp_path / "docs" / "fig5.json").read_text())
    assert result["quick"] and result["figures"]["compared"]["all"]["pairs"] > 0
    assert "means nothing else" in (tmp_path / "docs" / "fig5.md").read_text()
    there = {path.name: path.stat().st_mtime for path in root.iterdir()}
    again = subprocess.run(called, env=runs, capture_output=True, text=True)
    assert again.returncode == 0 and {path.name: path.stat().st_mtime for path in root.iterdir()} == there


WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "tokenizers", "tiktoken", "scipy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from manyeyes.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_figure_is_drawn_without_torch_and_again_from_its_journals(tmp_path: Path) -> None:
    folder, docs = tmp_path / "runs", tmp_path / "docs"
    called = [sys.executable, "-c", WITHOUT_TORCH, "reproduce", "fig7", "--quick", "--folder", str(folder)]
    done = subprocess.run(
        [*called, "--write-docs", str(docs)], env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "discard-all" in done.stdout and "trials" in done.stdout
    result = json.loads((docs / "fig7.json").read_text())
    assert result == json.loads((folder / "fig7.json").read_text()) and result["questions"] == 7
    assert (docs / "fig7.svg").read_text().startswith("<?xml") and "![" in (docs / "fig7.md").read_text()
    journals = {path: path.read_bytes() for path in folder.rglob("events.jsonl")}
    assert main(["reproduce", "fig7", "--quick", "--folder", str(folder)]) == 0
    assert {path: path.read_bytes() for path in folder.rglob("events.jsonl")} == journals
    assert main(["reproduce", "fig7", "--folder", str(folder)]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_figure_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    called = [sys.executable, "-m", "manyeyes.cli.main", "reproduce", "fig8", "--quick", "--folder", str(tmp_path)]
    log = tmp_path / "world_008-0-single" / "events.jsonl"
    with subprocess.Popen(called, env=environment(), stdout=subprocess.PIPE, text=True) as first:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (log.exists() and log.read_text().count("llm.finished") > 40):
            time.sleep(0.05)
        first.send_signal(number)
        out, _ = first.communicate(timeout=60)
    assert first.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert number == signal.SIGKILL or "the same command goes on from here" in out
    done = subprocess.run(called, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    turns = [event["data"]["turn"] for event in events if event["kind"] == "llm.finished"]
    assert turns == list(range(len(turns))) and sum(event["kind"] == "run.resumed" for event in events) == 1
    result = json.loads((tmp_path / "fig8.json").read_text())
    assert all(task["single"]["f1"] == task["swarm"]["f1"] == 1.0 for task in result["tasks"])


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
