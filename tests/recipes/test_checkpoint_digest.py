"""A checkpoint is known by its bytes, whatever its folder is called."""

from pathlib import Path

import pytest

from manyeyes.core.errors import CheckpointError
from manyeyes.recipes.reproduce.checkpoint_digest import code_digest, model_digest


def checkpoint(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "README.md").write_text(folder.name)
    return folder


def test_equal_bytes_are_one_model_and_other_bytes_another(tmp_path: Path) -> None:
    one, copy, other = (checkpoint(tmp_path / n, w) for n, w in (("a", b"w"), ("b", b"w"), ("c", b"v")))
    assert model_digest(one) == model_digest(copy) != model_digest(other)
    (one / "model.safetensors").write_bytes(b"longer")
    assert model_digest(one) != model_digest(copy)


def test_a_part_more_is_another_model(tmp_path: Path) -> None:
    one, copy = checkpoint(tmp_path / "a", b"w"), checkpoint(tmp_path / "b", b"w")
    (copy / "tiktoken.model").write_bytes(b"x")
    assert model_digest(one) != model_digest(copy)


def test_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a checkpoint folder"):
        model_digest(tmp_path / "nothing")


def test_the_code_has_one_digest() -> None:
    assert code_digest() == code_digest() and len(code_digest()) == 16
