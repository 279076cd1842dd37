"""A disk that fills up ends `manyeyes run` with one line and status 2; with space again, the same command goes on."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from manyeyes.cli.main import main
from manyeyes.core.runlog import RunFolder

COMMAND = """
import sys
sys.path.insert(0, sys.argv[2])
import miniature
from manyeyes.cli import run
from manyeyes.cli.main import main
run.recipe = lambda name: miniature.run()
sys.exit(main(["run", "miniature", "--folder", sys.argv[1], "--threads", "1", "--quiet"]))
"""
TIMING = ("time", "seconds", "mfu", "peak")


def command(folder: Path, *, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run it in a process that can write no more than so many bytes to a file, as on a disk that is full by then."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONDONTWRITEBYTECODE": "1"}

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-c", COMMAND, str(folder), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        env=environment,
        preexec_fn=limit,
        timeout=300,
    )


def history(folder: Path) -> list[tuple[str, int, dict]]:
    """The log without what depends on the clock."""
    rows = RunFolder.open(folder).metrics()
    return [(r.kind, r.step, {k: v for k, v in r.values.items() if k not in TIMING}) for r in rows]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "whole"
    assert command(folder).returncode == 0
    return folder


def largest(folder: Path, name: str) -> int:
    return max(path.stat().st_size for path in folder.rglob(name))


@pytest.mark.parametrize(
    "full_at",
    [
        *(pytest.param(early, marks=pytest.mark.slow) for early in ("vocabulary", "first checkpoint")),
        "later checkpoint",
    ],
)
def test_a_full_disk_is_one_line_and_the_run_goes_on(uninterrupted: Path, tmp_path: Path, full_at: str) -> None:
    limits = {
        "vocabulary": largest(uninterrupted, "tokenizer.tiktoken") - 1,
        "first checkpoint": largest(uninterrupted, "tokenizer.tiktoken") + 1,
        "later checkpoint": largest(uninterrupted, "optimizer.safetensors") - 1,
    }
    folder = tmp_path / "run"
    full = command(folder, largest_file=limits[full_at])
    assert full.returncode == 2, full.stderr
    (line,) = full.stderr.splitlines()
    assert line.startswith("manyeyes: ") and str(folder) in line and "free some space" in line
    saved = list(folder.glob("checkpoints/step_*"))
    assert bool(saved) is (full_at == "later checkpoint") and not list(folder.rglob("*.incomplete"))
    again = command(folder)
    assert again.returncode == 0, again.stderr
    assert ("going on from step" in again.stdout) is bool(saved)
    assert history(folder) == history(uninterrupted)


def test_a_write_that_no_one_expected_to_fail_is_one_line_too(monkeypatch, capsys, tmp_path: Path) -> None:
    def refuse() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "new"))

    monkeypatch.setattr("manyeyes.cli.recipes.main", lambda options: refuse())
    assert main(["recipes"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"manyeyes: {tmp_path / 'new'}: the disk is full; free some space and try again"
