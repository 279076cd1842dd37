"""A checkpoint brings back weights, momentum and state; another model's is refused."""

from pathlib import Path

import pytest
import torch

from manyeyes.core.errors import CheckpointError
from manyeyes.core.runlog import RunFolder
from manyeyes.model.multimodal import K25
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip
from manyeyes.rl import rl_checkpoint

from ..train.small_system import system
from .rollout_samples import one_thread as one_thread


def optimizer_of(model: K25) -> MuonClip:
    return MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(), model=model)


def test_everything_comes_back(tmp_path: Path) -> None:
    folder, model = RunFolder.create(tmp_path / "run", {}), system().main
    optimizer = optimizer_of(model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-2)
    optimizer.set_learning_rate(1e-2)
    optimizer.step()
    folder.log("rl", 1)
    rl_checkpoint.save(folder, 1, {"fingerprint": "f", "step": 1}, model=model, optimizer=optimizer)
    other = system(seed=1).main
    momenta = optimizer_of(other)
    saved = rl_checkpoint.load(folder, fingerprint="f", model=other, optimizer=momenta)
    assert saved == {"fingerprint": "f", "step": 1, "log": folder.position}
    assert all(torch.equal(one, other.state_dict()[name]) for name, one in model.state_dict().items())
    assert all(torch.equal(one, momenta.named_state()[name]) for name, one in optimizer.named_state().items())


def test_no_checkpoint_is_none_and_leaves_all_as_it_is(tmp_path: Path) -> None:
    folder, model = RunFolder.create(tmp_path / "run", {}), system().main
    before = model.head_weight.detach().clone()
    assert rl_checkpoint.load(folder, fingerprint="f", model=model, optimizer=optimizer_of(model)) is None
    assert model.head_weight.equal(before)


def test_another_models_weights_are_refused() -> None:
    model = system().main
    with pytest.raises(CheckpointError, match="another model: 1 tensors differ, such as extra"):
        rl_checkpoint.fill(model, model.state_dict() | {"extra": torch.zeros(1)})
    name = "language_model.lm_head.weight"
    shorter = {key: value[:1] if key == name else value for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"another model: 1 tensors differ, such as {name}"):
        rl_checkpoint.fill(model, shorter)
