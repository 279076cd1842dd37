"""Checkpoints: what is saved comes back, other programs read it, and nothing is lost when something breaks."""

import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.core.media import MediaRules
from manyeyes.model import checkpoint_staging
from manyeyes.model.checkpoint import load_into, load_model, read_config, save
from manyeyes.model.config import ModelConfig, YarnConfig, k25, tiny
from manyeyes.model.int4 import dequantise, quantise
from manyeyes.model.multimodal import K25, build
from manyeyes.model.tensor_names import TEXT, all_weights, official_tensors
from manyeyes.model.weight_reader import WeightReader

from .forked import in_child
from .transformers_peer import kimi_module

INDEX = "model.safetensors.index.json"


def small_config(**text) -> ModelConfig:
    changes = {"num_hidden_layers": 2, "n_routed_experts": 4, "vocab_size": 512, "hidden_size": 64} | text
    config = tiny()
    vision = dataclasses.replace(config.vision, vt_num_hidden_layers=1, vt_hidden_size=64, vt_intermediate_size=96)
    return dataclasses.replace(config, text=dataclasses.replace(config.text, **changes), vision=vision)


def random_model(config: ModelConfig, *, dtype: torch.dtype = torch.float32) -> K25:
    """Every tensor random, norms and router bias too, so that a tensor that lands in the wrong place shows."""
    model, generator = build(config, dtype=dtype), torch.Generator().manual_seed(1)
    for tensor in model.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.05 + (tensor.ndim == 1))
    return model


def assert_same(left: K25, right: K25) -> None:
    for (name, a), b in zip(left.state_dict().items(), right.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.fixture
def model() -> K25:
    return random_model(small_config())


@pytest.fixture
def saved(model: K25, tmp_path: Path) -> Path:
    save(model, tmp_path / "saved", model.config, dtype=torch.float32, max_shard_bytes=200_000)
    return tmp_path / "saved"


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("max_shard_bytes", [1, 150_000, 10**9])
def test_what_is_saved_comes_back_bit_for_bit(tmp_path, dtype, max_shard_bytes) -> None:
    before = random_model(small_config(), dtype=dtype)
    save(before, tmp_path / "c", before.config, dtype=dtype, max_shard_bytes=max_shard_bytes)
    assert read_config(tmp_path / "c") == before.config
    assert_same(load_model(tmp_path / "c", dtype=dtype), before)


@pytest.mark.parametrize("quantization", ["none", "int4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_router_biases_stay_fp32_whatever_the_weights_are(tmp_path, dtype, quantization) -> None:
    """They move by a thousandth a step, which bf16 would round away."""
    before = random_model(small_config(num_hidden_layers=3))
    save(before, tmp_path / "c", before.config, quantization=quantization)
    after = load_model(tmp_path / "c", dtype=dtype)
    assert after.language_model.lm_head.weight.dtype == dtype
    biases = [(name, x) for name, x in before.state_dict().items() if name.endswith("e_score_correction_bias")]
    assert len(biases) == 2 and not torch.equal(biases[0][1], biases[0][1].bfloat16().float())
    for name, bias in biases:
        assert after.state_dict()[name].dtype == torch.float32 and torch.equal(after.state_dict()[name], bias), name
    for name, bias in build(before.config, dtype=dtype).state_dict().items():
        assert not name.endswith("e_score_correction_bias") or bias.dtype == torch.float32


def test_int4_comes_back_as_the_dequantised_experts_and_the_rest_in_bf16(model, tmp_path) -> None:
    save(model, tmp_path / "c", model.config, quantization="int4")
    for name, after in load_model(tmp_path / "c").state_dict().items():
        before = model.state_dict()[name]
        if ".mlp.experts." in name:
            expected = dequantise(quantise(before), dtype=torch.float32)
        else:
            expected = before if name.endswith("e_score_correction_bias") else before.bfloat16().float()
        assert torch.equal(after, expected), name


@pytest.mark.parametrize("quantization", ["none", "int4"])
def test_the_files_hold_exactly_the_official_tensors(model, tmp_path, quantization) -> None:
    save(model, tmp_path / "c", model.config, quantization=quantization, max_shard_bytes=300_000)
    codes = {torch.bfloat16: "BF16", torch.float32: "F32", torch.int32: "I32"}
    found, files = {}, {}
    for file in (tmp_path / "c").glob("*.safetensors"):
        for name, tensor in safetensors.torch.load_file(file).items():
            found[name], files[name] = (tuple(tensor.shape), codes[tensor.dtype]), file.name
    expected = official_tensors(model.config, quantization=quantization)
    assert found == {spec.name: (spec.shape, spec.dtype) for spec in expected}
    index = json.loads((tmp_path / "c" / INDEX).read_text())
    assert index["weight_map"] == files and len(set(files.values())) > 1
    assert index["metadata"]["total_parameters"] == sum(t.numel() for t in model.state_dict().values())


def test_every_tensor_is_aligned_to_its_type(tmp_path) -> None:
    odd = random_model(small_config(vocab_size=513, n_routed_experts=3))
    save(odd, tmp_path / "c", odd.config, quantization="int4")
    for file in (tmp_path / "c").glob("*.safetensors"):
        raw = file.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        for entry in json.loads(raw[8 : 8 + length]).values():
            if "data_offsets" in entry:
                assert (8 + length + entry["data_offsets"][0]) % {"BF16": 2, "F32": 4, "I32": 4}[entry["dtype"]] == 0


def test_pairs_may_come_in_any_order_and_give_the_same_files(model, saved, tmp_path) -> None:
    pairs = reversed(list(model.state_dict().items()))
    save(pairs, tmp_path / "other", model.config, dtype=torch.float32, max_shard_bytes=200_000)
    assert folder_bytes(tmp_path / "other") == folder_bytes(saved)


def test_saving_keeps_no_tensor_it_has_written(model, tmp_path) -> None:
    alive: list[weakref.ref[Tensor]] = []

    def gathered() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in model.state_dict().items():
            assert sum(ref() is not None for ref in alive) <= 1
            copy = tensor.clone()
            alive.append(weakref.ref(copy))
            yield name, copy
            del copy

    save(gathered(), tmp_path / "c", model.config, max_shard_bytes=100_000)
    assert len(alive) == len(model.state_dict())


def test_loading_holds_one_weight_at_a_time(model, saved, monkeypatch) -> None:
    alive: list[weakref.ref[Tensor]] = []
    read = WeightReader.read

    def watched(self, weight, *, dtype=None) -> Tensor:
        assert sum(ref() is not None for ref in alive) == 0
        tensor = read(self, weight, dtype=dtype)
        alive.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(WeightReader, "read", watched)
    load_into(build(model.config, seed=5), saved)
    assert len(alive) == len(list(all_weights(model.config)))


def test_progress_counts_every_weight(model, saved) -> None:
    seen: list[tuple[int, int]] = []
    load_into(model, saved, on_progress=lambda done, total: seen.append((done, total)))
    total = len(list(all_weights(model.config)))
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_only_a_part_is_filled_when_asked(model, saved) -> None:
    other = random_model(small_config(num_hidden_layers=3))
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    load_into(other, saved, only=("vision_tower.",))
    for name, tensor in other.state_dict().items():
        expected = model.state_dict()[name] if name.startswith("vision_tower.") else before[name]
        assert torch.equal(tensor, expected), name


def test_another_context_length_is_no_other_model(model, saved) -> None:
    longer = model.config.with_context(1024, factor=4.0, original=256)
    assert longer.text.rope_scaling == YarnConfig(4.0, 256)
    other = build(longer, seed=3)
    load_into(other, saved)
    assert_same(other, model)


def as_text_only(saved: Path, target: Path) -> None:
    """The same language model as K2 and Moonlight store it: no prefix, one file, its own config.json."""
    target.mkdir()
    tensors: dict[str, Tensor] = {}
    for file in saved.glob("*.safetensors"):
        tensors |= safetensors.torch.load_file(file)
    text = {name.removeprefix(TEXT): t for name, t in tensors.items() if name.startswith(TEXT)}
    text["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    safetensors.torch.save_file(text, target / "model.safetensors", metadata={"format": "pt"})
    layout = json.loads((saved / "config.json").read_text())["text_config"]
    (target / "config.json").write_text(json.dumps(layout | {"model_type": "kimi_k2"}))


def test_a_text_only_checkpoint_fills_the_language_model(model, saved, tmp_path) -> None:
    as_text_only(saved, tmp_path / "k2")
    assert read_config(tmp_path / "k2").text == model.config.text
    other = build(model.config, seed=9)
    with pytest.raises(CheckpointError, match="holds only a language model"):
        load_into(other, tmp_path / "k2")
    load_into(other, tmp_path / "k2", only=(TEXT,))
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]) == name.startswith(TEXT), name


def test_block_fp8_as_k2_was_released_is_read(model, saved, tmp_path) -> None:
    as_text_only(saved, tmp_path / "k2")
    path, name = tmp_path / "k2/model.safetensors", "model.layers.0.mlp.up_proj.weight"
    tensors = safetensors.torch.load_file(path)
    codes = torch.randn(tensors[name].shape).to(torch.float8_e4m3fn)  # 384 x 64: three blocks by one
    scales = torch.tensor([[0.5], [2.0], [0.25]])
    safetensors.torch.save_file(tensors | {name: codes, f"{name}_scale_inv": scales}, path)
    load_into(model, tmp_path / "k2", only=(TEXT,))
    blocks = codes.float().view(3, 128, 64) * scales.view(3, 1, 1)
    assert torch.equal(model.state_dict()[TEXT + name], blocks.view(384, 64))


def test_transformers_reads_what_we_write(tmp_path) -> None:
    kimi = kimi_module()
    config = small_config(rope_scaling=YarnConfig(4.0, 64), routed_scaling_factor=1.7)
    model = random_model(config)
    save(model, tmp_path / "c", config, dtype=torch.float32, max_shard_bytes=200_000)
    theirs, report = kimi.Kimi_K25ForConditionalGeneration.from_pretrained(
        tmp_path / "c", dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    theirs.set_attn_implementation("eager")
    ids = torch.randint(0, 200, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.eval()(input_ids=ids).logits
        logits = model.logits(model(ids).hidden_BTD)
    assert expected.abs().max() > 0.1
    assert (logits - expected).abs().max() < 1e-4


# What may be wrong with a checkpoint; each is one line, and nothing is loaded.


def load_failure(model: K25, folder: Path, *parts: str) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_into(model, folder)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def first_shard(folder: Path) -> Path:
    return min(folder.glob("*.safetensors"))


def rewrite(path: Path, change) -> None:
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)


@pytest.mark.parametrize("kept", [0, 5, 100, 20_000, -1])
def test_a_truncated_shard_is_named(model, saved, kept) -> None:
    shard = first_shard(saved)
    shard.write_bytes(shard.read_bytes()[:kept])
    load_failure(model, saved, shard.name)


def test_a_damaged_header_is_named(model, saved) -> None:
    shard = first_shard(saved)
    raw = bytearray(shard.read_bytes())
    raw[8:12] = b"abcd"
    shard.write_bytes(raw)
    load_failure(model, saved, shard.name, "damaged")


def test_a_missing_shard_is_named(model, saved) -> None:
    shard = first_shard(saved)
    shard.unlink()
    load_failure(model, saved, f"lacks shard {shard.name}")


def test_missing_tensors_are_counted_and_the_first_named(model, saved) -> None:
    save(model, saved, model.config, replace=True)
    (saved / INDEX).unlink()
    gone = ("language_model.lm_head.weight", "mm_projector.pre_norm.bias")
    rewrite(first_shard(saved), lambda tensors: [tensors.pop(name) for name in gone])
    first_shard(saved).rename(saved / "model.safetensors")
    load_failure(model, saved, f"lacks 2 tensors (first: {gone[1]})")


def test_a_tensor_that_the_index_promises_must_be_there(model, saved) -> None:
    shard = first_shard(saved)
    name = min(safetensors.torch.load_file(shard))
    rewrite(shard, lambda tensors: tensors.pop(name))
    load_failure(model, saved, name, "no shard holds")


def test_unexpected_tensors_are_named(model, saved) -> None:
    rewrite(first_shard(saved), lambda tensors: tensors.update({"language_model.extra": torch.ones(2)}))
    load_failure(model, saved, "tensor language_model.extra that this model does not have")


def test_a_tensor_of_another_shape_is_named_with_both_shapes(model, saved) -> None:
    name = "language_model.model.embed_tokens.weight"
    rewrite(first_shard(saved), lambda tensors: tensors.update({name: torch.ones(510, 64)}))
    load_failure(model, saved, f"{name} is [510, 64], this model expects [512, 64]")


def test_a_tensor_of_another_type_is_named(model, saved) -> None:
    name = "language_model.model.embed_tokens.weight"
    rewrite(first_shard(saved), lambda tensors: tensors.update({name: torch.ones(512, 64, dtype=torch.int32)}))
    load_failure(model, saved, f"{name} is stored as I32")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": 96}, "hidden_size is 64 there, 96 in this model"),
        ({"num_experts_per_tok": 1}, "num_experts_per_tok is 2 there, 1 in this model"),
        ({"rms_norm_eps": 1e-6}, "rms_norm_eps is 1e-05 there, 1e-06 in this model"),
    ],
)
def test_a_checkpoint_of_another_config_is_refused_even_where_shapes_agree(saved, change, said) -> None:
    load_failure(random_model(small_config(**change)), saved, said)


def test_without_config_json_shapes_still_speak(saved) -> None:
    (saved / "config.json").unlink()
    load_failure(
        random_model(small_config(num_hidden_layers=3)), saved, "lacks 26 tensors", "written for another model"
    )
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        read_config(saved)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot read"),
        ("[1]", "should hold a JSON object, holds a list"),
        ("{}", "lacks vocab_size"),
        ('{"text_config": {"vocab_size": "many", "hidden_size": 1, "num_hidden_layers": 1}}', "is not the config"),
        ('{"vocab_size": 512, "hidden_size": 8, "num_hidden_layers": 1, "scoring_func": "softmax"}', "scoring_func"),
    ],
)
def test_a_bad_config_is_one_line(saved, content, said) -> None:
    (saved / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_config(saved)
    assert "\n" not in str(caught.value)


OFFICIAL_RULES = {
    "patch_size": 14, "merge_kernel_size": 2, "in_patch_limit": 16384, "in_patch_limit_each_frame": 4096,
    "patch_limit_on_one_side": 512, "in_patch_limit_video": None, "fixed_output_tokens": None,
    "max_num_frames_each_video": None, "sample_fps": 2.0, "temporal_merge_kernel_size": 4,
    "timestamp_mode": "hh:mm:ss.fff", "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
}  # fmt: skip
"""`media_proc_cfg` of the released `preprocessor_config.json`."""


def released_folder(folder: Path, rules: object, **ours: object) -> Path:
    """A folder as the release lays it out: media rules in a file of their own, none (but `ours`) in config.json."""
    layout = k25().to_json()
    del layout["media_proc_cfg"]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(layout | ours))
    (folder / "preprocessor_config.json").write_text(json.dumps({"media_proc_cfg": rules}))
    return folder


def test_the_released_media_rules_are_read(tmp_path) -> None:
    assert read_config(released_folder(tmp_path / "k25", OFFICIAL_RULES)) == k25()


def test_the_preprocessor_file_says_the_media_rules(tmp_path) -> None:
    said = OFFICIAL_RULES | {"in_patch_limit": 4096, "sample_fps": 1.0, "max_num_frames_each_video": 64}
    said |= {"patch_limit_on_one_side": 256, "in_patch_limit_each_frame": 1024, "temporal_merge_kernel_size": 2}
    rules = read_config(released_folder(tmp_path / "k25", said)).rules
    assert rules == MediaRules(
        in_patch_limit=4096,
        in_patch_limit_each_frame=1024,
        patch_limit_on_one_side=256,
        sample_fps=1.0,
        frames_per_chunk=2,
        max_num_frames_each_video=64,
    )


def test_the_preprocessor_file_goes_before_our_own_config(tmp_path) -> None:
    ours = {"media_proc_cfg": {"in_patch_limit": 100, "sample_fps": 4.0, "max_pixels": 5000}}
    rules = read_config(released_folder(tmp_path / "k25", {"in_patch_limit": 200}, **ours)).rules
    assert (rules.in_patch_limit, rules.sample_fps, rules.max_pixels) == (200, 4.0, 5000)


def test_a_preprocessor_file_without_rules_changes_nothing(saved, model) -> None:
    (saved / "preprocessor_config.json").write_text('{"auto_map": {}}')
    assert read_config(saved) == model.config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fixed_output_tokens": 256}, "media_proc_cfg asks for fixed_output_tokens=256; only None is implemented"),
        ({"in_patch_limit_video": 9000}, "in_patch_limit_video=9000; only None"),
        ({"timestamp_mode": "mm:ss"}, "timestamp_mode='mm:ss'; only 'hh:mm:ss.fff'"),
        ({"image_mean": [0.4, 0.5, 0.5]}, "image_mean="),
        ({"image_std": [1.0, 1.0, 1.0]}, "image_std="),
        ({"merge_kernel_size": 3}, "merge must be 2"),
        ({"patch_size": 16}, "vision.patch_size is 14 but rules.patch_size is 16"),
        ({"in_patch_limit": "many"}, "in_patch_limit|not supported"),
        ({"sample_fps": None}, "sample_fps|not supported"),
    ],
)
def test_media_rules_that_are_not_implemented_are_refused(tmp_path, change, said) -> None:
    folder = released_folder(tmp_path / "k25", OFFICIAL_RULES | change)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_config(folder)
    assert "preprocessor_config.json" in str(caught.value) and "\n" not in str(caught.value)
    layout = k25().to_json()
    with pytest.raises((ConfigError, TypeError)):
        ModelConfig.from_json(layout | {"media_proc_cfg": OFFICIAL_RULES | change})


def test_media_rules_that_are_no_object_are_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="media_proc_cfg should be a JSON object, is a list"):
        read_config(released_folder(tmp_path / "k25", [1]))
    (tmp_path / "k25" / "preprocessor_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot read .*preprocessor_config"):
        read_config(tmp_path / "k25")


def test_an_index_cannot_point_outside_its_folder(model, saved) -> None:
    (saved / INDEX).write_text(json.dumps({"weight_map": {"x": "../elsewhere.safetensors"}}))
    load_failure(model, saved, "points outside its folder")


def test_no_folder_and_an_empty_folder_are_one_line_each(model, tmp_path) -> None:
    load_failure(model, tmp_path / "nowhere", "no checkpoint folder")
    (tmp_path / "empty").mkdir()
    load_failure(model, tmp_path / "empty", "no weights in")


def test_a_model_on_the_meta_device_cannot_be_filled_in_place(model, saved) -> None:
    with pytest.raises(CheckpointError, match="meta device"):
        load_into(build(model.config, device="meta"), saved)


# What may go wrong while writing; what was there before stays, and nothing half-written is left.


def test_a_folder_in_use_is_replaced_only_when_asked(model, saved) -> None:
    with pytest.raises(CheckpointError, match="is taken"):
        save(model, saved, model.config)
    other = build(model.config, seed=11)
    save(other, saved, other.config, dtype=torch.float32, replace=True)
    assert_same(load_model(saved), other)
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("mm_projector.proj.0.bias"), "lack tensor mm_projector.proj.0.bias"),
        (lambda state: state.update(extra=torch.ones(1)), "extra is no parameter of the given config"),
        (
            lambda state: state.update({"mm_projector.proj.0.bias": torch.ones(3)}),
            r"shape \[3\], the given config says",
        ),
    ],
)
def test_weights_that_are_not_the_configs_leave_the_old_checkpoint(model, saved, change, said) -> None:
    before = folder_bytes(saved)
    state = dict(model.state_dict())
    change(state)
    with pytest.raises(CheckpointError, match=said):
        save(state, saved, model.config, replace=True)
    assert folder_bytes(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_a_model_without_values_is_not_saved(model, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="meta device"):
        save(build(model.config, device="meta"), tmp_path / "c", model.config)
    assert not any(tmp_path.iterdir())


def test_weights_that_come_twice_are_refused(model, tmp_path) -> None:
    pairs = list(model.state_dict().items())
    with pytest.raises(CheckpointError, match="came twice"):
        save(pairs[:1] + pairs, tmp_path / "c", model.config)


def test_other_dtypes_are_refused(model, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="not torch.float16"):
        save(model, tmp_path / "c", model.config, dtype=torch.float16)


def test_too_little_space_is_seen_before_anything_is_written(model, saved, monkeypatch) -> None:
    before = folder_bytes(saved)
    monkeypatch.setattr(
        checkpoint_staging.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 4_000)
    )
    with pytest.raises(CheckpointError, match=r"the disk is full .* needs [\d,]+ bytes, 4,000 are free") as caught:
        save(model, saved, model.config, replace=True)
    assert "\n" not in str(caught.value)
    assert folder_bytes(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_a_disk_that_fills_up_while_writing_loses_nothing(model, saved, tmp_path) -> None:
    before = folder_bytes(saved)

    def write_with_little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(CheckpointError) as caught:
            save(model, saved, model.config, replace=True)
        (tmp_path / "message").write_text(str(caught.value))

    assert in_child(write_with_little_room) == 0
    message = (tmp_path / "message").read_text()
    assert re.fullmatch(r"the file is larger .*\(File too large\): .* needs [\d,]+ bytes, [\d,]+ are free; .*", message)
    assert folder_bytes(saved) == before
    assert {path.name for path in tmp_path.iterdir()} == {"saved", "message"}


def test_a_folder_that_cannot_be_written_is_one_line(model, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not write"):
        save(model, tmp_path / "file" / "c", model.config)


@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_killed_at_any_rename_a_whole_checkpoint_is_left(model, saved, renames) -> None:
    other = build(model.config, seed=4)

    def killed_at_rename() -> None:
        done, rename = [], Path.rename

        def counted(path: Path, target: Path) -> Path:
            if len(done) == renames:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(target)
            return rename(path, target)

        Path.rename = counted
        save(other, saved, model.config, dtype=torch.float32, replace=True)

    assert in_child(killed_at_rename) == (0 if renames == 3 else -signal.SIGKILL)
    assert_same(load_model(saved), other if renames == 3 else model)
    save(model, saved, model.config, dtype=torch.float32, replace=True)
    assert_same(load_model(saved), model)
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]
