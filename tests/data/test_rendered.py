import dataclasses
import errno
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from manyeyes.core.errors import DataError
from manyeyes.core.media import MediaReadError, MediaRules, Picture
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.augment import Augmentation
from manyeyes.data.documents import DocumentSource
from manyeyes.data.loader import LoadedBatch, Loader, Retry
from manyeyes.data.mixture import constant
from manyeyes.data.plan import Planner
from manyeyes.data.record import (
    OF_PHOTOGRAPHS,
    Box,
    Geometry,
    Located,
    Oriented,
    Record,
    Shown,
    Turn,
)
from manyeyes.data.rendered import RecordSource, rendered
from manyeyes.data.source import RecordError

RULES = MediaRules(patch_size=8, in_patch_limit=1024, in_patch_limit_each_frame=256, patch_limit_on_one_side=64)
TOKENIZER = Tokenizer.tiny()


class Fixed:
    """A collection of given records."""

    def __init__(self, *records: Record, domain="vision", kind="perception") -> None:
        self.name, self.domain, self.kind, self.records = "fixed", domain, kind, records

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Record:
        return self.records[index]


def a_picture(width=64, height=48) -> Picture:
    return Picture.of(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def a_question(width=64, height=48, *, pairs=1, allowed=OF_PHOTOGRAPHS, answer="It is red.") -> Record:
    turns = [Turn("user", (Shown(0), "What colour is it?")), Turn("assistant", (answer,))]
    turns += [Turn("user", ("And now?",)), Turn("assistant", (answer,))] * (pairs - 1)
    return Record("toy/0", tuple(turns), (a_picture(width, height),), allowed=frozenset(allowed))


def a_source(*records: Record, part_length=256, augmentation=None, seed=0) -> RecordSource:
    return RecordSource(
        Fixed(*records), TOKENIZER, rules=RULES, part_length=part_length, augmentation=augmentation, seed=seed
    )


def test_length_is_the_length_of_the_sample_in_every_epoch():
    source = a_source(a_question(80, 60), augmentation=Augmentation(scale=1, crop=1))
    lengths = [source.length(0, epoch) for epoch in range(40)]
    assert lengths == [source.sample(0, epoch).length for epoch in range(40)]
    assert len(set(lengths)) > 1, "cuts and scales change the number of tokens"


def test_samples_depend_on_seed_epoch_and_index_alone():
    record = a_question(80, 60)
    sources = [a_source(record, record, augmentation=Augmentation(), seed=seed) for seed in (0, 0, 1)]
    a, b, c = ([s.sample(i, e).media[0].patches.tobytes() for e in range(4) for i in range(2)] for s in sources)
    assert a == b != c and len(set(a)) > 2


def test_geometry_and_directions_are_written_out():
    turns = (
        Turn("user", (Shown(0), "Where?")),
        Turn("assistant", ("At ", Located(0), ", to the ", Oriented("left"), ".")),
    )
    record = Record("toy/0", turns, (a_picture(),), (Geometry(Box(0, 12, 32, 48)),))
    text = TOKENIZER.decode(rendered(record, TOKENIZER, rules=RULES).ids)
    assert "At [0.000, 0.250, 0.500, 1.000], to the left." in text


def test_only_answers_weigh():
    sample = a_source(a_question()).sample(0, 0)
    learned = TOKENIZER.decode(sample.ids[sample.weights > 0])
    assert learned == "It is red.<|im_end|>"


def test_reasoning_is_learned_and_kept():
    turns = (Turn("user", ("2 + 2?",)), Turn("assistant", ("4",), reasoning="Two and two are four."))
    sample = a_source(Record("toy/0", turns)).sample(0, 0)
    assert TOKENIZER.decode(sample.ids[sample.weights > 0]) == "Two and two are four.</think>4<|im_end|>"


def test_a_long_record_is_made_to_fit_in_the_promised_order():
    plain = a_question(96, 96, allowed={"scale"})
    tokens = a_source(plain).length(0, 0)
    enlarging = Augmentation(scale=1, scales=(1.5, 1.5))
    assert a_source(plain, augmentation=enlarging).fitted(0, 0).how == "whole"
    assert a_source(plain, part_length=tokens, augmentation=enlarging).fitted(0, 0).how == "plain"
    talk = a_source(a_question(96, 96, pairs=5), part_length=tokens + 4).fitted(0, 0)
    assert talk.how == "fewer turns" and talk.rendered.length == tokens
    assert a_source(plain, part_length=tokens - 1).fitted(0, 0).how == "smaller pictures"
    assert a_source(plain, part_length=tokens - 1).sample(0, 0).length <= tokens - 1


def test_a_long_captioned_document_is_cut_after_its_picture():
    record = Record("toy/0", (Turn("document", (Shown(0), "one two three four five " * 40)),), (a_picture(),))
    fitted = a_source(record, part_length=64).fitted(0, 0)
    assert fitted.how == "cut" and fitted.rendered.length == 64
    whole = rendered(record, TOKENIZER, rules=RULES)
    assert np.array_equal(fitted.rendered.ids, whole.ids[:64])
    assert a_source(record, part_length=64).sample(0, 0).media[0].grid == whole.visuals[0].grid


def test_what_cannot_fit_is_refused_by_name():
    with pytest.raises(RecordError, match="toy/0: .* a row holds 32"):
        a_source(a_question(answer="no end of words " * 40), part_length=32).length(0, 0)


def test_broken_pixels_are_a_record_error():
    record = Record("toy/0", (Turn("document", (Shown(0), "?")),), (Picture.from_bytes(a_cut_png()),))
    source = a_source(record)
    assert source.length(0, 0) > 4
    with pytest.raises(RecordError, match="record 0"):
        source.sample(0, 0)


def a_cut_png() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(a_picture().pixels()).save(file, "PNG")
    return file.getvalue()[:-2000]


def test_survey_counts_what_it_took():
    source = a_source(a_question(), a_question(answer="no end of words " * 200), part_length=128)
    survey = source.survey(10)
    assert survey["whole"] == 1 and survey["refused"] == 1 and survey["tokens"] == source.length(0, 0)


def texts(*contents: str) -> Fixed:
    return Fixed(
        *(Record(f"t/{i}", (Turn("document", (c,)),)) for i, c in enumerate(contents)), domain="text", kind="web"
    )


@pytest.mark.parametrize("part_length", [16, 17, 64, 4096])
def test_parts_of_documents_predict_every_token_once(part_length):
    contents = ("a", "some longer text " * 30, "x" * 15, "the end")
    source = DocumentSource(texts(*contents), TOKENIZER, part_length=part_length)
    samples = [source.sample(i, 0) for i in range(len(source))]
    assert [s.length for s in samples] == [source.length(i, 3) for i in range(len(source))]
    assert max(s.length for s in samples) <= part_length and min(s.length for s in samples) >= 2
    assert sum(int(s.weights.sum()) for s in samples) == source.tokens
    ids = [token for s in samples for token in s.ids[s.weights > 0].tolist()]
    whole = [rendered(r, TOKENIZER, rules=RULES).ids[1:].tolist() for r in texts(*contents).records]
    assert ids == [token for document in whole for token in document]


def test_document_source_refuses_conversations():
    from manyeyes.core.errors import DataError

    with pytest.raises(DataError, match="RecordSource"):
        DocumentSource(Fixed(a_question()), TOKENIZER, part_length=64)


def storage_that_fails(monkeypatch, times: int) -> list[int]:
    """Every picture file fails with EIO `times` times before it is read; the list counts the failures."""
    failed: list[int] = []
    opened = Image.open

    def flaky(file, *arguments, **options):
        if len(failed) < times:
            failed.append(1)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
        return opened(file, *arguments, **options)

    monkeypatch.setattr("manyeyes.core.picture.Image.open", flaky)
    return failed


class OnDisk(Fixed):
    """One question about a picture file, opened anew for each record."""

    def __init__(self, path: Path) -> None:
        super().__init__(a_question())
        self.path = path

    def record(self, index: int) -> Record:
        return dataclasses.replace(self.records[0], media=(Picture.open(self.path),))


def read(path: Path, times: int, monkeypatch) -> LoadedBatch:
    """The first batch of a source whose storage fails so often; retries do not wait."""
    source = RecordSource(OnDisk(path), TOKENIZER, rules=RULES, part_length=64)
    planner = Planner([source], constant(1.0), row_length=64, seed=0)
    storage_that_fails(monkeypatch, times)
    retry = Retry(attempts=4, wait=0.0)
    with Loader(planner, rows_per_batch=1, pad_id=TOKENIZER.pad, workers=0, retry=retry) as loader:
        return next(loader)


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    Image.fromarray(a_picture().pixels()).save(tmp_path / "shown.png")
    return tmp_path / "shown.png"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_storage_that_fails_for_a_while_changes_nothing(picture_file, times, monkeypatch):
    sound = read(picture_file, 0, monkeypatch)
    flaky = read(picture_file, times, monkeypatch)
    assert flaky.failures == () and flaky.state == sound.state
    assert flaky.batch.ids_BT.tobytes() == sound.batch.ids_BT.tobytes()


def test_storage_that_goes_on_failing_stops_the_run_and_condemns_no_record(picture_file, monkeypatch):
    with pytest.raises(DataError, match="failed 4 times.*shown.png: cannot be read .Input/output error"):
        read(picture_file, 1000, monkeypatch)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ESTALE, "stale")])
def test_pixels_that_cannot_be_read_now_are_no_record_error(picture_file, error, monkeypatch):
    source = RecordSource(OnDisk(picture_file), TOKENIZER, rules=RULES, part_length=64)
    failing = Mock(side_effect=error)
    monkeypatch.setattr("manyeyes.core.picture._to_rgb", failing)
    with pytest.raises(MediaReadError, match="shown.png") as caught:
        source.sample(0, 0)
    assert isinstance(caught.value, OSError) and "\n" not in str(caught.value)


def test_a_damaged_file_stays_a_record_error(picture_file):
    picture_file.write_bytes(picture_file.read_bytes()[:-2000])
    source = RecordSource(OnDisk(picture_file), TOKENIZER, rules=RULES, part_length=64)
    with pytest.raises(RecordError, match="damaged or cut short"):
        source.sample(0, 0)
