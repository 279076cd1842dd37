"""`manyeyes run --change-mixture`: which run goes on with other ratios, and what is refused."""

import pytest

from manyeyes.cli.main import main
from manyeyes.cli.run import wanted
from manyeyes.cli.run_options import Options
from manyeyes.cli.run_place import find_place
from manyeyes.core.runlog import RunFolder

RATIO = "stages.joint.mixture.segments.0.vision=0.3"


def begun(runs, *overrides: str) -> RunFolder:
    """An unfinished run of `tiny`."""
    run = wanted(Options("tiny", overrides))
    return RunFolder.create(runs / "tiny-20261124-101500", run.to_json())


def test_the_run_with_other_ratios_goes_on_only_when_asked_for(runs) -> None:
    folder = begun(runs)
    asked = Options("tiny", (RATIO,), change_mixture=True)
    assert find_place(wanted(asked), asked).path == folder.path
    without = Options("tiny", (RATIO,))
    assert not find_place(wanted(without), without).known


def test_the_users_folder_is_taken_only_when_asked_for(runs, capsys) -> None:
    folder = begun(runs)
    asked = Options("tiny", (RATIO,), change_mixture=True, folder=folder.path)
    assert find_place(wanted(asked), asked).known
    assert main(["run", "tiny", RATIO, "--folder", str(folder.path)]) == 2
    assert "--change-mixture" in capsys.readouterr().err


def test_a_finished_run_is_not_changed(runs, capsys) -> None:
    folder = begun(runs)
    folder.log("finished", 1, seconds=1.0)
    before = folder.config_path.read_bytes()
    assert main(["run", "tiny", RATIO, "--change-mixture"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "stage joint cannot change, that stage is over" in line and folder.config_path.read_bytes() == before
    assert main(["run", "tiny", "--change-mixture"]) == 0  # nothing is changed
    assert "finished already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["seed=1", RATIO, "--change-mixture"], "in its mixtures alone"),
        ([RATIO, "--change-mixture", "--fresh"], "give only one of them"),
    ],
)
def test_anything_else_is_refused_in_one_line(runs, capsys, arguments: list[str], says: str) -> None:
    begun(runs)
    assert main(["run", "tiny", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert len(list(runs.iterdir())) == 1
