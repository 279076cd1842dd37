"""A model of transformers on packed rows says what it says of each sample alone."""

import importlib.util
from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.model import hugging_face
from manyeyes.model.hugging_face import HuggingFaceModel, load

from .toy_hugging_face import config_of, log_p, toy, transformers


def said(model: HuggingFaceModel, hidden_TD: torch.Tensor) -> torch.Tensor:
    return (hidden_TD @ model.head_weight.T).float().log_softmax(-1).detach()


@pytest.mark.parametrize(("kind", "tied"), [("llama", True), ("llama", False), ("qwen2", True), ("qwen3", False)])
def test_packed_samples_see_themselves_alone(kind: str, tied: bool) -> None:
    model = toy(kind, tied=tied)
    first, second = [5, 9, 11, 3, 7], [8, 2, 30]
    row = torch.tensor([[*first, *second, 0, 0]])
    segments = torch.tensor([[0] * 5 + [1] * 3 + [-1] * 2])
    positions = torch.tensor([[*range(5), *range(3), 0, 0]])
    out = model(row, positions_BT=positions, segments_BT=segments)
    assert torch.isfinite(out.hidden_BTD).all()
    found = said(model, out.hidden_BTD[0])
    torch.testing.assert_close(found[:5], log_p(model, first), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[5:8], log_p(model, second), atol=1e-5, rtol=0)
    torch.testing.assert_close(model(row, segments_BT=segments).hidden_BTD[:, :8], out.hidden_BTD[:, :8])


def test_a_sample_that_continues_another_sees_all_of_it_and_not_its_sibling() -> None:
    model = toy()
    prompt, one, other = [5, 9, 11], [3, 7], [8, 2, 30]
    row = torch.tensor([[*prompt, *one, *other]], dtype=torch.int32)
    segments = torch.tensor([[0] * 3 + [1] * 2 + [2] * 3])
    positions = torch.tensor([[0, 1, 2, 3, 4, 3, 4, 5]], dtype=torch.int32)
    continues = torch.tensor([[-1] * 3 + [0] * 5])
    backbone = model.language_model.model
    out = backbone(model.embed(row), positions_BT=positions, segments_BT=segments, continues_BT=continues)
    found = said(model, out.hidden_BTD[0])
    torch.testing.assert_close(found[3:5], log_p(model, prompt + one)[3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[5:], log_p(model, prompt + other)[3:], atol=1e-5, rtol=0)
    whole = model(row, positions_BT=positions, segments_BT=segments, continues_BT=continues)
    assert torch.equal(whole.hidden_BTD, out.hidden_BTD)
    with pytest.raises(ValueError, match="positions_BT"):
        model(row, segments_BT=segments, continues_BT=continues)


def test_each_weight_is_named_once_and_ties_are_kept() -> None:
    tied, untied = toy(), toy(tied=False)
    assert tied.head_weight is tied.whole.get_input_embeddings().weight
    assert not any("lm_head" in name for name in tied.state_dict())
    assert sum("lm_head" in name for name in untied.state_dict()) == 1
    assert sum(p.numel() for p in untied.parameters()) == sum(p.numel() for p in untied.whole.parameters())


def test_what_it_writes_for_other_programs_it_reads(tmp_path: Path) -> None:
    model = toy("qwen2")
    model.whole.save_pretrained(tmp_path / "model")
    again = load(tmp_path / "model")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_what_cannot_be_read_or_is_not_known_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read a causal language model"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="got mistral"):
        HuggingFaceModel(transformers.AutoModelForCausalLM.from_config(config_of("mistral")))
    stretched = config_of(rope_scaling={"rope_type": "dynamic", "factor": 2.0})
    with pytest.raises(ConfigError, match="positions are dynamic"):
        HuggingFaceModel(transformers.AutoModelForCausalLM.from_config(stretched))
    near = config_of("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1)
    with pytest.raises(ConfigError, match="see everything before"):
        HuggingFaceModel(transformers.AutoModelForCausalLM.from_config(near))


def test_a_package_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        hugging_face.importlib.util, "find_spec", lambda name: None if name == "gguf" else found("numpy")
    )
    with pytest.raises(ConfigError, match=r"the package gguf; run: pip install 'manyeyes\[hugging-face\]'"):
        load(Path("weights.gguf"))
