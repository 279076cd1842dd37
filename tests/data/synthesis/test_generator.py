"""Laws that hold for every generator: pure, lazy, split by content, honest about sizes, learnable."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.media import MediaRules
from manyeyes.core.picture import Picture
from manyeyes.core.seeds import stream
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.augment import Augmentation
from manyeyes.data.collection import TEXT_KINDS, VISUAL_KINDS, Collection
from manyeyes.data.geometry import Size, inside, written
from manyeyes.data.record import Located, Oriented, Record, Turn
from manyeyes.data.rendered import RecordSource
from manyeyes.data.synthesis.agent import ClickTargets, ScreenReading, Traces
from manyeyes.data.synthesis.caption import SceneCaptions
from manyeyes.data.synthesis.generator import Generator
from manyeyes.data.synthesis.image_code import HtmlCode, PlotCode, ReactCode, SvgCode
from manyeyes.data.synthesis.interleaved import Albums, Comparisons, DrawingLessons, NewNames
from manyeyes.data.synthesis.knowledge import BarCharts, FactSheets
from manyeyes.data.synthesis.ocr import Digits, Words
from manyeyes.data.synthesis.perception import Attributes, Contours, Counting, Grounding, Pointing, Relations
from manyeyes.data.synthesis.printed_pages import PrintedPages
from manyeyes.data.synthesis.problems import Problems
from manyeyes.data.synthesis.retrieval import KeyValues, Needles, Variables
from manyeyes.data.synthesis.video import Blinking, Events, LongVideos, Motions

GENERATORS: tuple[type[Generator], ...] = (
    Digits, Words, PrintedPages, SceneCaptions, Counting, Grounding, Pointing, Contours, Attributes, Relations,
    DrawingLessons, Albums, NewNames, Comparisons, FactSheets, BarCharts, Problems, SvgCode, HtmlCode, ReactCode,
    PlotCode, Motions, Events, Blinking, LongVideos, ClickTargets, ScreenReading, Traces, Needles, KeyValues, Variables,
)  # fmt: skip
SLOW = (HtmlCode, ReactCode, PlotCode)
every = pytest.mark.parametrize("make", GENERATORS, ids=lambda make: make.__name__)


def pictures(record: Record) -> list[Picture]:
    return [p for media in record.media for p in ([media] if isinstance(media, Picture) else media.frames)]


def spoken(record: Record, turn: Turn) -> str:
    """A turn's text for the pictures as drawn."""
    text = []
    for piece in turn.pieces:
        if isinstance(piece, Located):
            item = record.geometry[piece.geometry]
            text.append(written(item.shape, Size(record.media[item.media].width, record.media[item.media].height)))
        elif isinstance(piece, Oriented):
            text.append(piece.word)
        elif isinstance(piece, str):
            text.append(piece)
    return "".join(text)


def words(record: Record) -> str:
    return "\n".join(f"{turn.role}: {spoken(record, turn)}" for turn in record.turns)


def plans(generator: Generator, count: int) -> list:
    """The contents of the first records, found again as `record` finds them."""
    found = []

    def remember(plan, name):
        found.append(generator._content(plan))
        return Record(name, ())

    spied = type(generator)(size=count, seed=generator.seed, split=generator.split)
    object.__setattr__(spied, "_write", remember)
    for index in range(count):
        spied.record(index)
    return found


@every
def test_records_are_pure_functions_of_seed_split_and_index(make):
    one, same, other = make(size=20, seed=1), make(size=9, seed=1), make(size=20, seed=2)
    assert [words(one.record(i)) for i in (7, 2, 2)] == [words(same.record(i)) for i in (7, 2, 2)]
    assert [words(one.record(i)) for i in range(8)] != [words(other.record(i)) for i in range(8)]
    first, again = pictures(one.record(3))[:4], pictures(same.record(3))[:4]
    assert all(np.array_equal(a.pixels(), b.pixels()) for a, b in zip(first, again, strict=True))


@every
def test_train_and_test_have_no_content_in_common(make):
    train = plans(make(size=150, seed=1), 150)
    test = plans(make(size=50, seed=2, split="test"), 50)
    assert len(train) == 150 and len(test) == 50
    assert not set(train) & set(test)


@every
def test_making_a_record_draws_nothing(make, monkeypatch):
    generator = make(size=12)
    expected = [words(generator.record(i)) for i in range(12)]

    def refuse(*args, **kwargs):
        raise AssertionError("pixels were drawn")

    monkeypatch.setattr(Image, "new", refuse)
    monkeypatch.setattr(ImageDraw, "Draw", refuse)
    monkeypatch.setattr(Picture, "pixels", refuse)
    assert [words(generator.record(i)) for i in range(12)] == expected


@every
def test_pictures_have_the_declared_size_and_show_something(make):
    generator = make(size=12)
    shown = [p for i in range(2 if make in SLOW else 12) for p in pictures(generator.record(i))[:6]]
    arrays = [p.pixels() for p in shown]  # pixels() itself compares with the declared size
    assert bool(arrays) == (make.domain == "vision")
    assert all(array.dtype == np.uint8 and array.flags.c_contiguous for array in arrays)
    blank = sum(int(array.min()) == int(array.max()) for array in arrays)
    assert blank <= len(arrays) / 2  # frames before anything appears


@every
def test_it_is_a_collection_of_a_known_kind(make):
    generator: Collection = make(size=3)
    assert generator.kind in (VISUAL_KINDS if generator.domain == "vision" else TEXT_KINDS)
    assert generator.name.startswith("synthetic/") and make.synthetic
    assert len(generator) == 3 and generator.record(2).name == f"{generator.name}/train/000002"
    for wrong in (3, -1):
        with pytest.raises(IndexError):
            generator.record(wrong)


def test_names_are_unique():
    names = [make(size=1).name for make in GENERATORS]
    assert len(set(names)) == len(names)


@every
def test_truth_ends_the_last_answer_and_a_test_record_asks_once(make):
    for split in ("train", "test"):
        generator = make(size=10, split=split)
        for i in range(10):
            record = generator.record(i)
            if record.is_document:
                continue
            assert record.truth
            last = spoken(record, record.turns[-1])
            if make is Traces:
                assert record.truth.split("\n") == [spoken(record, t) for t in record.turns if t.role == "assistant"]
            elif make is not ClickTargets:
                assert record.truth in last
            if split == "test" and make not in (Traces,):
                assert len(record.turns) == 2


@every
def test_geometry_lies_within_its_picture(make):
    generator = make(size=15)
    for i in range(15):
        record = generator.record(i)
        for item in record.geometry:
            media = record.media[item.media]
            assert inside(item.shape, Size(media.width, media.height))


@every
def test_length_without_pixels_equals_the_rendered_sample(make):
    rules = MediaRules(patch_size=8)
    source = RecordSource(
        make(size=4), Tokenizer.tiny(), rules=rules, part_length=8192, seed=3, augmentation=Augmentation()
    )
    for index in range(1 if make in SLOW else 2):
        sample = source.sample(index, 1)
        assert sample.length == source.length(index, 1)
        assert sample.weights.sum() > 0


def test_many_threads_draw_the_same_pixels():
    shown = [p for make in (Digits, PrintedPages, SvgCode, ClickTargets) for p in pictures(make(size=6).record(4))] * 8
    alone = [p.pixels() for p in shown]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda picture: picture.pixels(), shown))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_an_empty_split_is_an_error_and_not_an_endless_search():
    class Constant(Digits):
        def _content(self, plan):
            return "always the same"

    outcomes = []
    for split in ("train", "test"):
        try:
            outcomes.append(Constant(size=1, split=split).record(0).truth)
        except DataError as error:
            outcomes.append(error)
    assert sum(isinstance(outcome, DataError) for outcome in outcomes) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Digits(size=-1),
        lambda: Digits(size=1, split="dev"),
        lambda: Words(size=1, languages=("xx",)),
        lambda: SceneCaptions(size=1, shapes=("blob",)),
        lambda: SceneCaptions(size=1, figures=(3, 2)),
        lambda: Grounding(size=1, tasks=("smell",)),
        lambda: Grounding(size=1, distinct=False),
        lambda: Counting(size=1, subjects=()),
        lambda: FactSheets(size=1, height=60),
        lambda: Problems(size=1, kinds=("poetry",)),
        lambda: Events(size=1, frames=4),
        lambda: Traces(size=1, width=40),
        lambda: Needles(size=1, needles=1),
        lambda: NewNames(size=1, names=1),
        lambda: PrintedPages(size=1, height=30),
        lambda: SvgCode(size=1, direction="sideways"),
    ],
)
def test_a_wrong_configuration_is_refused_when_made(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_text_that_never_fits_is_refused():
    with pytest.raises(ConfigError, match="does not fit"):
        Digits(size=1, digits=9, width=20).record(0)


def test_streams_of_different_generators_differ():
    a = stream(0, "data/synthesis/synthetic/ocr/digits/train", 0).random()
    b = stream(0, "data/synthesis/synthetic/ocr/words/train", 0).random()
    assert not math.isclose(a, b)
