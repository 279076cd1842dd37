import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manyeyes.core.media import Clip, MediaError, Picture
from manyeyes.data.archives import Archive
from manyeyes.data.fetched import clips, handbook, openmoji, python_docs, stamps
from manyeyes.data.fetched.captioned import Captioned, Item
from manyeyes.data.fetched.clip_art import texts_of
from manyeyes.data.fetched.drawings import aspect, drawing
from manyeyes.data.record import Shown

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="20mm" height="10mm">
<rect width="100%" height="100%" fill="red"/></svg>"""


@pytest.fixture
def unpacked(tmp_path, monkeypatch) -> Path:
    """Every archive counts as unpacked here."""
    monkeypatch.setattr(Archive, "unpacked", lambda archive, folder, wanted="*": folder)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def a_png(path: Path, size=(30, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "blue").save(path)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ('<svg viewBox="0 0 72 36">', 2.0),
        ('<svg width="210mm" height="420mm">', 0.5),
        ('<svg width="100%" height="100%" viewBox="-5 -5 30 10">', 3.0),
        ("<svg:svg xmlns:svg='x' width='30' height='10'>", 3.0),
        ("<svg>", 1.0),
        ("nothing", 1.0),
        ('<svg width="0" height="10">', 1.0),
        ('<svg width="1" height="1000">', 1 / 16),
    ],
)
def test_the_shape_of_a_drawing_is_read_from_its_head(root, expected):
    assert aspect(root) == pytest.approx(expected)


def test_drawings_are_drawn_in_the_size_that_was_told(tmp_path):
    pytest.importorskip("resvg_py")
    write(tmp_path / "a.svg", SVG)
    picture = drawing(tmp_path / "a.svg", side=64)
    assert (picture.width, picture.height) == (64, 32)
    assert picture.pixels()[16, 32].tolist() == [255, 0, 0]
    write(tmp_path / "b.svg", "<svg <<")
    with pytest.raises(MediaError, match="b.svg"):
        drawing(tmp_path / "b.svg", side=64).pixels()


def test_captioned_gives_every_caption_and_one_description():
    items = [Item(f"k{i}", lambda: Picture.of(np.zeros((4, 4), np.uint8)), ("one", "two")) for i in range(200)]
    train, test = (Captioned("toy", items, split) for split in ("train", "test"))
    assert len(train) + len(test) == 600 and 0 < len(test) < 60
    names = [{c.record(i).name.split("/")[1] for i in range(len(c))} for c in (train, test)]
    assert not names[0] & names[1]
    told = [train.record(i).turns for i in range(3)]
    assert [t[0].pieces for t in told[:2]] == [(Shown(0), "one"), (Shown(0), "two")]
    assert told[2][1].pieces == ("one",)


def test_openmoji_joins_names_with_drawings(unpacked):
    row = {
        "hexcode": "1F438",
        "annotation": "frog",
        "tags": "animal, green",
        "openmoji_tags": "",
        "skintone_base_hexcode": "",
    }
    write(unpacked / "package/data/openmoji.json", json.dumps([row, row | {"hexcode": "FFFF"}]))
    write(unpacked / "package/color/svg/1F438.svg", SVG)
    items = openmoji.openmoji(unpacked)
    assert [(item.key, item.captions) for item in items] == [("1F438", ("frog", "frog: animal, green"))]


def test_clip_art_texts_that_say_nothing_are_left_out():
    source = (
        "<dc:title>red &amp; blue_bird</dc:title><dc:description>A bird in flight.</dc:description>"
        "<rdf:li>bird</rdf:li><rdf:li>unsorted</rdf:li><rdf:li>bird</rdf:li>"
    )
    assert texts_of(source) == ("red & blue bird: bird", "red & blue bird", "A bird in flight.")
    assert texts_of("<dc:description>No title.</dc:description>") == ()


def test_stamps_have_captions_in_both_languages(unpacked):
    root = unpacked / "usr/share/tuxpaint/stamps/animals"
    write(root / "frog.txt", "A frog.\nde.utf8=Ein Frosch.\nzh_CN.utf8=青蛙。\n")
    a_png(root / "frog.png")
    write(root / "nothing.txt", "No picture.\n")
    (item,) = stamps.stamps(unpacked)
    assert item.captions == ("A frog.", "青蛙。") and (item.load().width, item.load().height) == (30, 20)


PAGE = """<html><head><title>T</title></head><body><div id="banner">Get it</div><ul class="docnav"><li>Next</li></ul>
<h1>Booting</h1><div class="para">First <b>text</b>.</div><div class="figure"><img src="images/boot.png"/></div>
<p class="title">Figure 1. Boot</p><img src="Common_Content/images/logo.png"/><img src="images/none.png"/>
<p>Last.</p></body></html>"""


def test_handbook_pages_become_text_and_pictures_in_order(unpacked):
    root = unpacked / "usr/share/doc/debian-handbook/html/en-US"
    pages = [f"sect{i}.html" for i in range(40)]
    for page in pages:
        write(root / page, PAGE)
    a_png(root / "images/boot.png")
    read = handbook.blocks(root / pages[0])
    assert [block.text or block.picture.name for block in read if block.text or block.picture] == [
        "Booting", "First text.", "boot.png", "Figure 1. Boot", "Last.",
    ]  # fmt: skip
    train, test = (handbook.Handbook(split, unpacked, languages=("en-US",)) for split in ("train", "test"))
    assert len(train) + len(test) == 40 and len(test) > 0
    record = train.record(0)
    assert record.turns[0].pieces == (
        "Booting\n\n", "First text.\n\n", Shown(0), "\n\n", "Figure 1. Boot\n\n", "Last.\n\n",
    )  # fmt: skip


def test_stretches_are_short_and_keep_captions_with_their_pictures():
    picture, words = handbook.Block("", Path("x.png")), handbook.Block("word " * 100)
    page = [words] * 7 + [picture, handbook.Block("Figure 1.")] + [words] * 7 + [picture, handbook.Block("Figure 2.")]
    parts = list(handbook.stretches(page))
    assert len(parts) == 2
    for number, part in enumerate(parts, 1):
        place = part.index(picture)
        assert part[place + 1].text == f"Figure {number}."
        assert sum(len(block.text) for block in part) <= handbook.CHARACTERS + 20


def test_animations_become_clips_and_still_pictures_do_not(unpacked):
    frames = [Image.new("RGB", (16, 12), (40 * i, 0, 0)) for i in range(5)]
    names = [f"film{i}-1.webp" for i in range(60)]
    for name in names:
        frames[0].save(unpacked / name, save_all=True, append_images=frames[1:], duration=250, lossless=True)
    frames[0].save(unpacked / "still-1.webp")
    rows = [{"name": name.removesuffix("-1.webp"), "title": f"Title of {name}"} for name in names]
    write(unpacked / "templates/index.json", json.dumps([{"templates": [*rows, {"name": "still", "title": "no"}]}]))
    train, test = (clips.Clips(split, unpacked) for split in ("train", "test"))
    assert len(train) + len(test) == 60 and len(test) > 0
    clip = train.record(0).media[0]
    assert isinstance(clip, Clip) and clip.fps == 4.0 and len(clip.frames) == 5
    assert [int(frame.pixels()[0, 0, 0]) for frame in clip.frames] == [0, 40, 80, 120, 160]
    assert clips.animation(unpacked / "still-1.webp") is None


def test_python_docs_are_filtered_and_split(unpacked):
    text = "The module offers functions to read and write files in many ways, and each is described below with care. "
    for i in range(30):
        write(
            unpacked / f"usr/share/doc/python3.11/html/_sources/library/m{i}.rst.txt",
            text + " ".join(f"w{i}x{j}" for j in range(40)),
        )
    write(unpacked / "usr/share/doc/python3.11/html/_sources/short.rst.txt", "Too short.")
    train, test = (python_docs.python_docs(split, unpacked) for split in ("train", "test"))
    assert len(train) + len(test) == 30
    assert train.report.dropped == {"short": "fewer than 20 words"}
