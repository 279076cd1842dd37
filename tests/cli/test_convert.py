"""`manyeyes convert`."""

from pathlib import Path

import pytest
import torch

from manyeyes.cli import convert as command
from manyeyes.cli.main import main
from manyeyes.model.checkpoint import load_model, save
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save(build(tiny(), seed=1), tmp_path / "source", tiny(), dtype=torch.float32)
    return tmp_path / "source"


@pytest.mark.parametrize("form", list(command.FORMS))
def test_each_form_is_written_and_loads(source, tmp_path, capsys, form) -> None:
    assert command.main(command.Options(source, tmp_path / "out", to=form, shard_gb=0.001)) == 0
    assert f"written in {form}" in capsys.readouterr().out.replace("\n", "")
    before, after = load_model(source).state_dict(), load_model(tmp_path / "out").state_dict()
    worst = max((before[name] - after[name]).abs().max().item() for name in before)
    assert worst == 0 if form == "fp32" else 0 < worst < 0.02


def test_failures_are_one_line_and_a_status(source, tmp_path, capsys) -> None:
    assert main(["convert", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 2
    assert main(["convert", str(source), str(source), "--to", "int4"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no checkpoint folder" in lines[0] and "into itself" in lines[1]
