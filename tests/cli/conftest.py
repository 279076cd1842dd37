from pathlib import Path

import pytest
import torch

from manyeyes.core.tokenizer import Tokenizer
from manyeyes.model.checkpoint import save
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build
from manyeyes.view.fake_run import fake_run


@pytest.fixture(scope="session")
def random_model(tmp_path_factory) -> Path:
    """A checkpoint folder of a tiny model that is as before training, but says text only: no special tokens."""
    folder, tokenizer, model = tmp_path_factory.mktemp("models") / "model", Tokenizer.tiny(), build(tiny(), seed=0)
    with torch.no_grad():
        model.head_weight.mul_(20)
        model.head_weight[tokenizer.n_ranks :] = 0
    save(model, folder, tiny(), dtype=torch.float32)
    tokenizer.save(folder / "tiktoken.model")
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """An empty folder of run folders, and a working folder beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MANYEYES_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MANYEYES_DATA", raising=False)
    return tmp_path / "runs"


@pytest.fixture
def finished(runs, random_model) -> Path:
    """A finished run with examples and a model that knows nothing yet."""
    folder = fake_run(runs / "tiny-20261124-101500", scale=0.05)
    (folder.path / "model").symlink_to(random_model)
    return folder.path
