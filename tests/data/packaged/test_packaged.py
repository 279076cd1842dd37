"""Every collection of recipe `tiny`: its promises on records, splits and truth."""

import hashlib

import numpy as np
import pytest

from manyeyes.core.media import MediaRules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.augment import Augmentation
from manyeyes.data.packaged.digits import Digits, DigitStrings
from manyeyes.data.packaged.easy_vqa import COLOURS, SHAPES, EasyVqa, question_type
from manyeyes.data.packaged.photographs import PHOTOGRAPHS, Photographs
from manyeyes.data.packaged.python_source import SourceFile, in_import_order, parsed
from manyeyes.data.registry import REGISTRY
from manyeyes.data.tiny_sources import TINY_SOURCES

RULES = MediaRules(patch_size=8, in_patch_limit=1024, in_patch_limit_each_frame=256, patch_limit_on_one_side=64)
TOKENIZER = Tokenizer.tiny()
INSTALLED = [info.name for info in TINY_SOURCES if not info.missing()]
QUICK = [name for name in INSTALLED if not name.startswith("package_")]


def some_records(collection, count=60):
    return [collection.record(i) for i in range(0, len(collection), max(1, len(collection) // count))]


def text_of(record) -> str:
    return "\n".join(str(piece) for turn in record.turns for piece in (*turn.pieces, turn.reasoning))


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("split", ["train", "test"])
def test_records_keep_the_promises_of_their_description(name, split):
    info, collection = REGISTRY[name], REGISTRY.open(name, split)
    assert (collection.name, collection.domain, collection.kind) == (info.name, info.domain, info.kind)
    records = some_records(collection)
    assert records
    assert [r.turns for r in records] == [r.turns for r in some_records(REGISTRY.open(name, split))]
    assert len({record.name for record in records}) == len(records)
    for record in records:
        assert bool(record.media) == (info.domain == "vision")
        assert not info.documents or record.is_document
        if not record.is_document:
            assert record.turns[-1].role == "assistant" and all(turn.pieces for turn in record.turns)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "chains_1024" else name
        for name in QUICK
        if REGISTRY[name].domain == "text"
    ],
)
def test_no_text_is_in_both_splits(name):
    train, test = ({text_of(r) for r in some_records(REGISTRY.open(name, split), 400)} for split in ("train", "test"))
    assert not train & test


@pytest.mark.parametrize("name", ["maths_chat", "chains_3", "small_talk"])
def test_no_question_is_in_both_splits(name):
    asked = []
    for split in ("train", "test"):
        records = some_records(REGISTRY.open(name, split), 500)
        turns = [turn for record in records for turn in record.turns if turn.role == "user"]
        asked.append({turn.pieces[0] for turn in turns})
    from manyeyes.data.generated.small_talk import GREETINGS

    assert not asked[0] & asked[1] - set(GREETINGS)


@pytest.mark.parametrize("name", QUICK)
def test_sources_measure_what_they_deliver(name):
    room = {"chains_256": 16_384, "chains_1024": 65_536}.get(name, 4096)
    source = REGISTRY.source(name, TOKENIZER, rules=RULES, part_length=room, augmentation=Augmentation())
    for index in range(0, len(source), max(1, len(source) // 8)):
        for epoch in (0, 1):
            sample = source.sample(index, epoch)
            assert sample.length == source.length(index, epoch) <= room
            assert sample.weights[0] == 0 and sample.weights.sum() > 0


def test_easy_vqa_asks_every_question_of_the_package_once():
    import json

    from manyeyes.data.packages import EASY_VQA

    rows = json.loads((EASY_VQA.folder() / "data/train/questions.json").read_text())
    expected = {(number, question, answer) for question, answer, number in rows}
    collection = EasyVqa("train", most_questions=3)
    asked = []
    for record in (collection.record(i) for i in range(len(collection))):
        number = int(record.name.split("/")[2])
        pairs = zip(record.turns[::2], record.turns[1::2], strict=True)
        asked += [(number, q.pieces[-1], a.pieces[0]) for q, a in pairs]
        assert len(record.turns) <= 6
    assert len(asked) == len(expected) and set(asked) == expected


def test_easy_vqa_test_is_the_test_split_of_the_package():
    collection = EasyVqa("test")
    assert len(collection) == 9673
    kinds = [question_type(str(collection.record(i).truth)) for i in range(0, 9673, 10)]
    assert set(kinds) == {"colour", "shape", "yes/no"}
    assert collection.record(0).turns[-1].pieces == (collection.record(0).truth,)
    assert not set(COLOURS) & set(SHAPES)


def test_no_scan_of_a_digit_is_in_both_splits_and_strings_show_their_truth():
    from manyeyes.data.packaged.digits import scans

    digests = []
    for split in ("train", "test"):
        pictures, labels = scans(split)
        digests.append({hashlib.sha1(p.tobytes()).hexdigest() for p in pictures})
        assert pictures.shape[1:] == (8, 8) and set(labels) == set(range(10))
    assert not digests[0] & digests[1]
    strings = DigitStrings("test", count=300)
    lengths = [len(str(strings.record(i).truth)) for i in range(300)]
    assert set(lengths) == {2, 3, 4, 5} and 0.5 < lengths.count(3) / 300 < 0.7
    picture = strings.record(0).media[0]
    ink = picture.pixels()[:, :, 0] < 128
    assert picture.height == 32 and 0.03 < ink.mean() < 0.5


def test_enlarged_digits_still_look_like_their_scans():
    from PIL import Image

    from manyeyes.data.packaged.digits import scans

    collection, (pictures, labels) = Digits("train"), scans("train")
    for i in range(0, len(labels), 200):
        shown = 255 - collection.record(i).media[0].pixels()[4:28, 4:28, 0]
        small = np.asarray(Image.fromarray(shown).resize((8, 8), Image.Resampling.BOX), float)
        assert np.corrcoef(small.ravel(), pictures[i].ravel())[0, 1] > 0.9
        assert collection.record(i).truth == str(labels[i])


def test_photographs_are_all_there_and_small():
    both = [Photographs(split, side=96) for split in ("train", "test")]
    names = [{c.record(i).name.split("/")[2] for i in range(len(c))} for c in both]
    assert len(names[0]) + len(names[1]) == len(PHOTOGRAPHS) and not names[0] & names[1]
    for collection in both:
        for record in some_records(collection, 200):
            picture = record.media[0]
            assert max(picture.width, picture.height) <= 96
            assert picture.pixels().shape == (picture.height, picture.width, 3)


def test_held_out_facts_are_told_but_never_asked():
    pages = "\n".join(text_of(r) for r in some_records(REGISTRY.open("country_pages", "train"), 10**6))
    test = REGISTRY.open("country_questions", "test")
    told = [test.record(i) for i in range(len(test))]
    # "none" neighbours are told as "no land neighbours".
    assert sum(str(record.truth) in pages or record.truth == "none" for record in told) == len(told) > 60


def test_imports_come_before_what_imports_them():
    files = [
        SourceFile("p/__init__.py", "from .z import f"),
        SourceFile("p/a.py", "from p import b\nfrom . import c"),
        SourceFile("p/b.py", "import p.c"),
        SourceFile("p/c.py", "x = 1"),
        SourceFile("p/y.py", "from .z import f"),
        SourceFile("p/z.py", "from .y import g\nf = 1"),
    ]
    ordered = [file.path for file, _ in in_import_order([(file, parsed(file)) for file in files])]
    assert sorted(ordered) == [file.path for file in files]
    place = {path: i for i, path in enumerate(ordered)}
    assert place["p/c.py"] < place["p/b.py"] < place["p/a.py"]
    assert place["p/z.py"] < place["p/__init__.py"]


def test_code_without_documentation_still_parses():
    import ast

    from manyeyes.data.packaged.python_source import source_files
    from manyeyes.data.packages import SCIKIT_IMAGE

    files = source_files(SCIKIT_IMAGE.folder() / "filters")
    assert len(files) > 10
    for file in files:
        read = parsed(file)
        ast.parse(read.code)
        assert len(read.code) <= len(file.text) + 1
        assert all("\n" in text for _, text in read.prose)
        assert not any(text in read.code for _, text in read.prose)


@pytest.mark.slow
def test_package_text_splits_share_no_sub_package():
    for name in ("package_prose", "package_repositories", "package_files"):
        groups = []
        for split in ("train", "test"):
            collection = REGISTRY.open(name, split)
            names = [collection.record(i).name.removeprefix(f"{name}/") for i in range(len(collection))]
            assert names
            groups.append({one.partition(":")[0] for one in names})
        assert not groups[0] & groups[1]
