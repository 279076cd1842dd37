"""`manyeyes info`."""

import json
import subprocess
import sys

import pytest

from manyeyes.cli import info
from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.model import config as presets
from manyeyes.model.checkpoint import save
from manyeyes.model.multimodal import build
from manyeyes.model.parameter_count import parameter_count


def printed(capsys, *, model: str, as_json: bool = False) -> str:
    assert info.main(info.Options(model, json=as_json)) == 0
    return capsys.readouterr().out


def test_k25_prints_the_released_counts_and_the_reports_figure(capsys) -> None:
    out = printed(capsys, model="k25")
    for figure in ("1,026,408,232,448", "416,866,032", "54,277,888", "32,861,500,928", "1,026,879,376,368"):
        assert figure in out
    words = " ".join(out.split())
    assert "1.04T" in words and "1.0269T" in words
    assert "208,550 tensors, 595.148 GB" in words
    assert "built on the meta device has the same 1,026,879,376,368 parameters" in words


def test_it_counts_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from manyeyes.cli import info; info.main(info.Options('k25'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1,026,408,232,448" in done.stdout and "counted by arithmetic" in done.stdout


@pytest.mark.parametrize("name", list(info.PRESETS))
def test_parts_add_up_to_the_counts(name) -> None:
    config = info.PRESETS[name]()
    parts, count = info.count_parts(config), parameter_count(config)
    assert sum(part.total for part in parts) == count.total
    assert sum(part.active for part in parts if part.active is not None) == count.active_text
    assert sum(part.total for part in parts if part.active is not None) == count.text


def test_every_preset_has_a_name_on_the_command_line() -> None:
    public = {name for name, value in vars(presets).items() if callable(value) and not isinstance(value, type)}
    builders = {
        n for n in public if getattr(getattr(presets, n), "__annotations__", {}) == {"return": presets.ModelConfig}
    }
    assert {n for n in builders if not n.startswith("_")} == set(info.PRESETS)


def test_json_is_json(capsys) -> None:
    counts = json.loads(printed(capsys, model="tiny", as_json=True))
    assert counts["total"] == parameter_count(presets.tiny()).total
    assert {part["name"] for part in counts["parts"]} >= {"attention", "routed experts", "MoonViT-3D"}


def test_a_checkpoint_folder_shows_what_is_stored(capsys, tmp_path) -> None:
    save(build(presets.tiny()), tmp_path / "c", presets.tiny(), quantization="int4")
    out = printed(capsys, model=str(tmp_path / "c"))
    assert f"{parameter_count(presets.tiny()).total:,}" in out
    assert "stored: 1 file(s)" in out and "I32" in out and "1.04T" not in out


def test_unknown_names_and_folders_are_one_line(tmp_path) -> None:
    with pytest.raises(ConfigError, match="'k26' is no configuration"):
        info.main(info.Options("k26"))
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        info.main(info.Options(str(tmp_path)))
