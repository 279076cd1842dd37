import pytest

from manyeyes.data.fake_source import MEDIA_ID, FakeSource
from manyeyes.data.source import RecordError, Source


def test_it_is_a_source_whose_samples_have_the_promised_length() -> None:
    source: Source = FakeSource("toy", (1, 2, 3, 9), domain="vision")
    for index in range(len(source)):
        sample = source.sample(index, 1)
        assert sample.length == source.length(index, 1) and sample.name == f"toy/{index}@1"
        assert len(sample.media) == int((sample.ids[2:] == MEDIA_ID).sum())


def test_it_misbehaves_on_request() -> None:
    source = FakeSource("toy", (4, 4, 4), broken=[0], flaky=[1])
    with pytest.raises(RecordError):
        source.sample(0, 0)
    with pytest.raises(OSError):
        source.sample(1, 0)
    assert source.sample(1, 0).length == 4 and source.reads == 3
