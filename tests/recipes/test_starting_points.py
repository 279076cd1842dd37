"""Checkpoints that a run starts from: a ViT in SigLIP's names or in MoonViT's."""

import dataclasses
from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import CheckpointError
from manyeyes.model import checkpoint as weights
from manyeyes.model.multimodal import K25, build
from manyeyes.model.siglip_names import load_siglip
from manyeyes.recipes.run import Run
from manyeyes.recipes.starting_points import start_from
from manyeyes.train.system import System

from ..journeys.miniature import run as miniature

transformers = pytest.importorskip("transformers")


@pytest.fixture()
def system() -> System:
    run = miniature()
    return System(build(run.model, seed=5), align=None, coca=None)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SigLIP with the sizes of the miniature's vision tower."""
    vision = miniature().model.vision
    config = transformers.SiglipVisionConfig(
        hidden_size=vision.vt_hidden_size,
        intermediate_size=vision.vt_intermediate_size,
        num_hidden_layers=vision.vt_num_hidden_layers,
        num_attention_heads=vision.vt_num_attention_heads,
        patch_size=vision.patch_size,
        image_size=vision.patch_size * 5,
    )
    folder = tmp_path_factory.mktemp("siglip")
    torch.manual_seed(3)
    transformers.SiglipVisionModel(config).save_pretrained(folder)
    return folder


def vision_of(model: K25) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.vision_tower.state_dict().items()}


def starting(**where: str) -> Run:
    return dataclasses.replace(miniature(), **where)  # pyright: ignore[reportArgumentType]


def test_a_siglip_checkpoint_fills_the_vision_tower(system: System, siglip: Path) -> None:
    rest = {name: value.clone() for name, value in system.main.state_dict().items() if "vision_tower" not in name}
    start_from(starting(start_vision=str(siglip)), system)
    expected = build(miniature().model, seed=9)
    load_siglip(expected, siglip)
    assert all(torch.equal(value, vision_of(expected)[name]) for name, value in vision_of(system.main).items())
    assert all(torch.equal(value, rest[name]) for name, value in system.main.state_dict().items() if name in rest)


def test_a_checkpoint_in_our_names_still_does(system: System, tmp_path: Path) -> None:
    given = build(miniature().model, seed=77)
    weights.save(given, tmp_path / "ours", given.config, dtype=torch.float32)
    start_from(starting(start_vision=str(tmp_path / "ours")), system)
    assert all(torch.equal(value, vision_of(given)[name]) for name, value in vision_of(system.main).items())


def test_a_siglip_of_other_sizes_is_refused_and_changes_nothing(system: System, siglip: Path) -> None:
    run = miniature()
    vision = dataclasses.replace(run.model.vision, vt_num_hidden_layers=2)
    other = System(build(dataclasses.replace(run.model, vision=vision), seed=5), align=None, coca=None)
    before = vision_of(other.main)
    with pytest.raises(CheckpointError, match="lacks 16 tensors"):
        start_from(starting(start_vision=str(siglip)), other)
    assert all(torch.equal(value, before[name]) for name, value in vision_of(other.main).items())


def test_a_folder_without_weights_is_one_clear_error(system: System, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights in") as caught:
        start_from(starting(start_vision=str(tmp_path)), system)
    assert "\n" not in str(caught.value)
