"""The networks of a run: one vision tower for all, components by name, checkpoints that fit or are refused."""

import pytest
import torch

from manyeyes.core.errors import CheckpointError, ConfigError

from .small_system import copies, stage, system


def test_the_vision_tower_is_one_module() -> None:
    networks = system(align=True, coca=True)
    assert networks.align is not None and networks.align.vision_tower is networks.main.vision_tower
    assert list(networks.components) == [
        "vision_tower", "mm_projector", "language_model", "align.mm_projector", "align.language_model", "coca",
    ]  # fmt: skip
    names = [name for name, _ in networks.named_parameters()]
    assert len(names) == len(set(names))


def test_a_stage_picks_its_language_model() -> None:
    networks = system(align=True)
    assert networks.model_of(stage()) is networks.main
    aligned = stage(language="align", trainable=("vision_tower", "align.mm_projector"))
    assert networks.model_of(aligned) is networks.align
    with pytest.raises(ConfigError, match="align"):
        system().model_of(aligned)
    with pytest.raises(ConfigError, match="text decoder"):
        _ = system().text_decoder


def test_only_chosen_components_learn() -> None:
    networks = system(align=True)
    for parameter in networks.main.parameters():
        parameter.grad = torch.zeros_like(parameter)
    networks.train_only(("mm_projector",))
    learning = {name.split(".")[0] for name, p in networks.named_parameters() if p.requires_grad}
    assert learning == {"mm_projector"}
    assert all(p.grad is None for _, p in networks.named_parameters())
    with pytest.raises(ConfigError, match="no component 'coca'"):
        networks.train_only(("coca",))


def test_reset_draws_one_component_anew_and_leaves_the_others() -> None:
    networks = system()
    before = copies(networks)
    networks.reset("mm_projector", seed=5)
    once = copies(networks)
    networks.reset("mm_projector", seed=5)
    changed = {name for name in before if not before[name].equal(once[name])}
    assert {name.split(".")[0] for name in changed} == {"mm_projector"}
    assert {name for name, t in before.items() if name.startswith("mm_projector") and t.ndim == 2} <= changed
    assert all(once[name].equal(tensor) for name, tensor in copies(networks).items())


def test_load_brings_back_every_tensor() -> None:
    networks, other = system(1, align=True, coca=True), system(2, align=True, coca=True)
    networks.load(copies(other))
    assert all(t.equal(other.tensors()[name]) for name, t in networks.tensors().items())
    assert any("e_score_correction_bias" in name for name in networks.tensors())


@pytest.mark.parametrize("how", ["missing", "unknown", "shape"])
def test_a_checkpoint_of_another_configuration_is_refused_and_nothing_is_loaded(how: str) -> None:
    networks = system()
    before, tensors = copies(networks), copies(system(9))
    if how == "missing":
        del tensors["vision_tower.encoder.final_layernorm.weight"]
    elif how == "unknown":
        tensors["coca.cls"] = torch.zeros(1)
    else:
        tensors["language_model.lm_head.weight"] = torch.zeros(3, 4)
    with pytest.raises(CheckpointError, match="another configuration") as caught:
        networks.load(tensors)
    assert "\n" not in str(caught.value)
    assert all(tensor.equal(before[name]) for name, tensor in networks.tensors().items())
