"""The mixtures of `tiny`, opened as a run opens them: the first rows of every stage, planned and rendered."""

from pathlib import Path

import numpy as np
import pytest

from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.recipes import recipe
from manyeyes.recipes.execute import _Sources

RUN = recipe("tiny")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> _Sources:
    path: Path = tmp_path_factory.mktemp("runs") / "run"
    return _Sources(RUN, Tokenizer.tiny(), RunFolder.create(path, RUN.to_json()), path)


@pytest.mark.parametrize("stage", RUN.stages, ids=lambda stage: stage.name)
def test_the_first_batch_of_a_stage(sources: _Sources, stage) -> None:
    with sources.loader(stage, None) as loader:
        batch = next(loader).batch
        assert loader.quarantine.failures == []
    assert batch.ids_BT.shape == (stage.rows, stage.row_length)
    assert 0 <= batch.ids_BT.min() and batch.ids_BT.max() < RUN.model.text.vocab_size
    assert batch.fill > 0.5 and np.isfinite(batch.weights_BT).all() and batch.weights_BT.max() > 0


@pytest.mark.parametrize("stage", RUN.stages, ids=lambda stage: stage.name)
def test_a_sample_of_every_source_fits_into_the_stages_rows(sources: _Sources, stage) -> None:
    for name in stage.sources:
        source = sources._source(name, stage)
        sample = source.sample(0, 0)
        assert sample.length == source.length(0, 0) <= stage.row_length, name
        assert bool(sample.media) == (source.domain == "vision") and sample.weights.max() > 0, name
