"""Conversions between stored forms: exact where they can be, and resumed where they stopped."""

import json
import os
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from manyeyes.core.errors import CheckpointError
from manyeyes.model import convert as conversion
from manyeyes.model.checkpoint import load_into, load_model, read_config, save
from manyeyes.model.config import tiny
from manyeyes.model.convert import Progress, convert
from manyeyes.model.multimodal import build
from manyeyes.model.tensor_names import TEXT

from .forked import in_child


@pytest.fixture
def source(tmp_path: Path) -> Path:
    config = tiny()
    save(build(config, seed=1), tmp_path / "source", config, dtype=torch.float32, max_shard_bytes=2_000_000)
    (tmp_path / "source" / "tokenizer.tiktoken").write_text("IQ== 0\n")
    (tmp_path / "source" / "preprocessor_config.json").write_text("{}")
    return tmp_path / "source"


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return {name: t for file in folder.glob("*.safetensors") for name, t in safetensors.torch.load_file(file).items()}


def assert_same_tensors(left: Path, right: Path) -> None:
    a, b = tensors_of(left), tensors_of(right)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]), name


@pytest.mark.parametrize(
    ("quantization", "dtype"), [("none", torch.bfloat16), ("none", torch.float32), ("int4", torch.bfloat16)]
)
def test_converting_equals_saving_in_that_form(source, tmp_path, quantization, dtype) -> None:
    convert(source, tmp_path / "converted", quantization=quantization, dtype=dtype)
    model = load_model(source)
    save(model, tmp_path / "direct", model.config, quantization=quantization, dtype=dtype)
    assert_same_tensors(tmp_path / "converted", tmp_path / "direct")
    layouts = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("converted", "direct")]
    assert layouts[0] == layouts[1]


def test_int4_to_fp32_and_back_is_the_same_checkpoint(source, tmp_path) -> None:
    convert(source, tmp_path / "int4", quantization="int4")
    convert(tmp_path / "int4", tmp_path / "fp32", quantization="none", dtype=torch.float32)
    convert(tmp_path / "fp32", tmp_path / "again", quantization="int4")
    assert_same_tensors(tmp_path / "int4", tmp_path / "again")


def test_int4_to_bf16_and_back_keeps_every_code(source, tmp_path) -> None:
    convert(source, tmp_path / "int4", quantization="int4")
    convert(tmp_path / "int4", tmp_path / "bf16", quantization="none")
    convert(tmp_path / "bf16", tmp_path / "again", quantization="int4")
    before, after = tensors_of(tmp_path / "int4"), tensors_of(tmp_path / "again")
    packed = [name for name in before if name.endswith("_packed")]
    assert packed and all(torch.equal(before[name], after[name]) for name in packed)


def test_int4_that_stays_int4_is_copied_whatever_its_scales(source, tmp_path) -> None:
    convert(source, tmp_path / "int4", quantization="int4")
    for file in (tmp_path / "int4").glob("*.safetensors"):  # scales that our own rule would never choose
        tensors = safetensors.torch.load_file(file)
        wider = {name: t * 1.5 if name.endswith("_scale") else t for name, t in tensors.items()}
        safetensors.torch.save_file(wider, file, metadata={"format": "pt"})
    convert(tmp_path / "int4", tmp_path / "again", quantization="int4", max_shard_bytes=300_000)
    assert_same_tensors(tmp_path / "int4", tmp_path / "again")


def test_config_says_how_weights_are_stored_and_stays_the_same_otherwise(source, tmp_path) -> None:
    before = json.loads((source / "config.json").read_text())
    before["house_key"] = before["text_config"]["house_key"] = 7
    (source / "config.json").write_text(json.dumps(before))
    convert(source, tmp_path / "int4", quantization="int4")
    after = json.loads((tmp_path / "int4" / "config.json").read_text())
    for part in (after, after["text_config"]):
        weights = part.pop("quantization_config")["config_groups"]["group_0"]["weights"]
        assert (weights["num_bits"], weights["group_size"], weights["symmetric"]) == (4, 32, True)
        assert part.pop("dtype") == "bfloat16"
    before.pop("dtype"), before["text_config"].pop("dtype")
    assert after == before
    convert(tmp_path / "int4", tmp_path / "bf16", quantization="none")
    assert "quantization_config" not in (tmp_path / "bf16" / "config.json").read_text()


def test_small_files_come_along_and_nothing_else_is_left(source, tmp_path) -> None:
    convert(source, tmp_path / "c", quantization="none")
    names = {path.name for path in (tmp_path / "c").iterdir() if path.suffix != ".safetensors"}
    assert names == {"config.json", "model.safetensors.index.json", "tokenizer.tiktoken", "preprocessor_config.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"source", "c"}


def test_progress_counts_files_and_bytes(source, tmp_path) -> None:
    seen: list[Progress] = []
    convert(source, tmp_path / "c", quantization="none", max_shard_bytes=1_000_000, on_progress=seen.append)
    sizes = [file.stat().st_size for file in sorted((tmp_path / "c").glob("*.safetensors"))]
    assert [p.shard for p in seen] == list(range(1, len(sizes) + 1))
    assert [p.done_bytes for p in seen] == [sum(sizes[:n]) for n in range(1, len(sizes) + 1)]
    assert seen[-1].done_bytes == seen[-1].total_bytes and not any(p.reused for p in seen)


def test_a_killed_conversion_goes_on_from_its_finished_files(source, tmp_path) -> None:
    def die(progress: Progress) -> None:
        if progress.shard == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def killed_at_the_second_file() -> None:
        convert(source, tmp_path / "c", quantization="int4", max_shard_bytes=1_000_000, on_progress=die)

    assert in_child(killed_at_the_second_file) == -signal.SIGKILL
    assert not (tmp_path / "c").exists()
    seen: list[Progress] = []
    convert(source, tmp_path / "c", quantization="int4", max_shard_bytes=1_000_000, on_progress=seen.append)
    assert [p.reused for p in seen] == [True] * 2 + [False] * (len(seen) - 2) and len(seen) > 2
    convert(source, tmp_path / "whole", quantization="int4", max_shard_bytes=1_000_000)
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()} == files


def test_a_full_disk_keeps_finished_files(source, tmp_path, monkeypatch) -> None:
    def full(reader, writer, *, quantization) -> None:
        if writer.shard.file.startswith("model-00002"):
            raise OSError(28, "No space left on device")
        written(reader, writer, quantization=quantization)

    written = conversion._write_shard
    monkeypatch.setattr(conversion, "_write_shard", full)
    with pytest.raises(CheckpointError, match=r"the disk is full .*: .* needs [\d,]+ bytes, [\d,]+ are free"):
        convert(source, tmp_path / "c", quantization="none", max_shard_bytes=1_000_000)
    monkeypatch.undo()
    seen: list[Progress] = []
    convert(source, tmp_path / "c", quantization="none", max_shard_bytes=1_000_000, on_progress=seen.append)
    assert [p.reused for p in seen][:2] == [True, False]
    model = load_model(source, dtype=torch.bfloat16)
    after = load_model(tmp_path / "c", dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("change", ["form", "source"])
def test_rests_of_another_conversion_are_not_mixed_in(source, tmp_path, change) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "c", quantization="none", max_shard_bytes=1_000_000, on_progress=stop)
    if change == "source":
        save(build(tiny(), seed=2), source, tiny(), dtype=torch.float32, replace=True)
    with pytest.raises(CheckpointError, match=r"c\.partial is left from another conversion; delete it"):
        quantization = "int4" if change == "form" else "none"
        convert(source, tmp_path / "c", quantization=quantization, max_shard_bytes=1_000_000)


def test_a_text_only_checkpoint_keeps_its_names(source, tmp_path) -> None:
    (tmp_path / "k2").mkdir()
    text = {name.removeprefix(TEXT): t for name, t in tensors_of(source).items() if name.startswith(TEXT)}
    safetensors.torch.save_file(text, tmp_path / "k2" / "model.safetensors", metadata={"format": "pt"})
    layout = json.loads((source / "config.json").read_text())["text_config"]
    (tmp_path / "k2" / "config.json").write_text(json.dumps(layout))
    convert(tmp_path / "k2", tmp_path / "int4", quantization="int4")
    assert "model.layers.1.mlp.experts.0.up_proj.weight_packed" in tensors_of(tmp_path / "int4")
    assert not any(name.startswith(TEXT) for name in tensors_of(tmp_path / "int4"))
    assert read_config(tmp_path / "int4").text == tiny().text
    convert(tmp_path / "int4", tmp_path / "fp32", quantization="none", dtype=torch.float32)
    model, direct = build(tiny(), seed=1), build(tiny(), seed=1)
    load_into(model, tmp_path / "fp32", only=(TEXT,))
    convert(source, tmp_path / "whole", quantization="int4")
    load_into(direct, tmp_path / "whole", only=(TEXT,))
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), direct.state_dict().values(), strict=True)
    )


def test_a_conversion_into_itself_and_a_taken_target_are_refused(source, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="into itself"):
        convert(source, source, quantization="none")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is taken"):
        convert(source, tmp_path / "taken", quantization="none")
    assert (tmp_path / "taken" / "thesis.txt").read_text() == "mine"


def test_a_source_that_does_not_fit_its_config_is_refused_before_anything_is_written(source, tmp_path) -> None:
    layout = json.loads((source / "config.json").read_text())
    layout["text_config"]["num_hidden_layers"] = 5
    (source / "config.json").write_text(json.dumps(layout))
    with pytest.raises(CheckpointError, match="lacks 38 tensors"):
        convert(source, tmp_path / "c", quantization="none")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}
