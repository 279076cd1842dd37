"""The mixtures of `tiny`, opened as a run opens them: the first rows of every stage, planned and rendered."""

from pathlib import Path

import numpy as np
import pytest

from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.registry import REGISTRY
from manyeyes.recipes import recipe
from manyeyes.recipes.execute import _Sources
from manyeyes.recipes.long_blend import BY_LENGTH

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


@pytest.mark.parametrize(
    ("name", "length"), [("tiny", 1024), ("tiny", 4096), ("small", 4096), ("small", 16_384), ("k25", 32_768)]
)
def test_long_sources_fit_into_their_rows_and_clips_fill_them(name: str, length: int) -> None:
    long, rules = BY_LENGTH[length], recipe(name).model.rules
    clips = f"synthetic/video/{long.clips}"
    for source in (*(f"synthetic/retrieval/{kind}_{length}" for kind in long.retrieval), long.chains, clips):
        opened = REGISTRY.source(source, Tokenizer.tiny(), rules=rules, part_length=length)
        longest = max(opened.length(index, 0) for index in range(2))
        assert longest <= length and (source != clips or longest > 0.4 * length), (source, longest)
