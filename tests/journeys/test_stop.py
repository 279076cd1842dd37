"""Ctrl-C and SIGTERM: `manyeyes run` finishes its step, saves, says so, and the same command goes on from there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from manyeyes.core.runlog import RunFolder

from .miniature import run as miniature

JOINT = 80
"""Steps of one stage: seconds in which a signal may arrive, however busy the machine is."""
STEPS = sum(JOINT if stage.name == "joint" else stage.steps for stage in miniature().stages)
COMMAND = """
import sys
sys.path.insert(0, sys.argv[2])
import miniature
from manyeyes.cli import run
from manyeyes.cli.main import main
run.recipe = lambda name: miniature.run()
options = ["--folder", sys.argv[1], "--threads", "1", "--quiet"]
sys.exit(main(["run", "miniature", "stages.joint.steps=" + sys.argv[3], "stages.joint.evaluate_every=0", *options]))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(folder), str(Path(__file__).parent), str(JOINT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def steps(folder: Path) -> list[int]:
    return [row.step for row in RunFolder(folder).metrics("train")]


def stopped(folder: Path, number: signal.Signals, *, after: int) -> str:
    """Start or go on, send the signal when `after` steps are in the log, return what the command says."""
    process = start(folder)
    deadline = time.monotonic() + 120
    while process.poll() is None and len(steps(folder)) < after:
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.02)
    process.send_signal(number)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    return said + errors


def saved_at(folder: Path) -> int:
    return int(max((folder / "checkpoints").glob("step_*")).name.removeprefix("step_"))


def test_a_stop_request_saves_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    said = stopped(folder, signal.SIGINT, after=5)
    assert "stopped and saved; the same command goes on from here" in said and "Traceback" not in said
    first = saved_at(folder)
    assert 5 <= first < STEPS and steps(folder) == list(range(1, first + 1))  # every step that was made is kept

    said = stopped(folder, signal.SIGTERM, after=first + 2)
    assert "stopped and saved" in said and f"going on from step {first} of {STEPS}" in said
    second = saved_at(folder)
    assert first + 2 <= second < STEPS and steps(folder) == list(range(1, second + 1))

    process = start(folder)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"going on from step {second} of {STEPS}" in said
    assert steps(folder) == list(range(1, STEPS + 1)) and (folder / "model" / "config.json").exists()
