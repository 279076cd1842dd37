"""A run's vocabulary: shipped, learned or from a file; kept in the run folder from then on."""

import dataclasses
import errno
import os
from pathlib import Path

import pytest

from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import SPECIAL_SLOTS, Tokenizer, TokenizerError
from manyeyes.data.mixture import constant
from manyeyes.recipes import vocabularies
from manyeyes.recipes.run import Run
from manyeyes.recipes.vocabularies import vocabulary_of

from ..journeys.miniature import run as miniature


def folder(path: Path, run: Run) -> RunFolder:
    return RunFolder.create(path / "run", run.to_json())


def small_vocabulary(size: int, **changes: object) -> Run:
    run = miniature()
    text = dataclasses.replace(run.model.text, vocab_size=size)
    stages = (dataclasses.replace(run.stages[-2], mixture=constant(0.0, weights={"maths_document": 1.0})),)
    return dataclasses.replace(run, model=dataclasses.replace(run.model, text=text), stages=stages, **changes)  # pyright: ignore


def test_tiny_ships_and_is_kept_in_the_folder(tmp_path: Path) -> None:
    place = folder(tmp_path, miniature())
    assert vocabulary_of(miniature(), place, data_folder=None).fingerprint == Tokenizer.tiny().fingerprint
    assert Tokenizer.load(place.tokenizer_path).fingerprint == Tokenizer.tiny().fingerprint


def test_a_learned_one_has_the_models_size_and_is_learned_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(vocabularies, "RECORDS", 40)
    run = small_vocabulary(300 + SPECIAL_SLOTS, vocabulary="learn")
    place = folder(tmp_path, run)
    learned = vocabulary_of(run, place, data_folder=None)
    assert learned.n_vocab == 300 + SPECIAL_SLOTS and learned.n_ranks == 300
    assert learned.decode(learned.encode("12 + 7 = 19")) == "12 + 7 = 19"
    monkeypatch.setattr(vocabularies, "train", None)  # would fail if it were learned again
    assert vocabulary_of(run, place, data_folder=None).fingerprint == learned.fingerprint


def test_a_file_is_read(tmp_path: Path) -> None:
    Tokenizer.tiny().save(tmp_path / "tiktoken.model")
    run = dataclasses.replace(miniature(), vocabulary=str(tmp_path / "tiktoken.model"))
    assert vocabulary_of(run, folder(tmp_path, run), data_folder=None).fingerprint == Tokenizer.tiny().fingerprint


def test_one_of_another_size_is_refused_with_the_size_to_set(tmp_path: Path) -> None:
    run = small_vocabulary(999)
    place = folder(tmp_path, run)
    with pytest.raises(ConfigError, match="2048 entries, the model 999; set model.text.vocab_size=2048"):
        vocabulary_of(run, place, data_folder=None)
    assert not place.tokenizer_path.exists()


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    run = dataclasses.replace(miniature(), vocabulary=str(tmp_path / "absent.model"))
    with pytest.raises(ManyeyesError, match="absent.model") as caught:
        vocabulary_of(run, folder(tmp_path, run), data_folder=None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_a_kept_one_that_was_cut_short_is_one_clear_error(tmp_path: Path, share: float) -> None:
    place = folder(tmp_path, miniature())
    vocabulary_of(miniature(), place, data_folder=None)
    lines = place.tokenizer_path.read_bytes().splitlines(keepends=True)
    place.tokenizer_path.write_bytes(b"".join(lines[: round(share * len(lines))]))
    with pytest.raises(
        TokenizerError, match=r"tokenizer.tiktoken has \d+ entries, the model 2048: it was cut"
    ) as caught:
        vocabulary_of(miniature(), place, data_folder=None)
    assert "\n" not in str(caught.value)
    place.tokenizer_path.write_bytes(b"".join(lines)[:-3])
    with pytest.raises(TokenizerError, match="cut short"):
        vocabulary_of(miniature(), place, data_folder=None)


def test_a_disk_that_is_full_leaves_no_half_of_one(tmp_path: Path, monkeypatch) -> None:
    place = folder(tmp_path, miniature())

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ManyeyesError, match="the disk is full"):
        vocabulary_of(miniature(), place, data_folder=None)
    assert not list(place.path.glob("*tiktoken*"))
