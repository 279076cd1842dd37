"""Printed text: wholly inside the picture, drawn with faces that have its letters, as long as it says."""

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from scipy import ndimage

from manyeyes.data.synthesis.fonts import EVERY_SCRIPT, FILES, dejavu, extent
from manyeyes.data.synthesis.layout import advance, wrapped
from manyeyes.data.synthesis.ocr import Digits, Words, drawn, typeset
from manyeyes.data.synthesis.printed_pages import PrintedPages
from manyeyes.data.synthesis.words import ALPHABETIC, LANGUAGES


@pytest.mark.parametrize("generator", [Digits(size=300), Words(size=300, width=96, languages=ALPHABETIC)])
def test_ink_stays_off_the_border(generator):
    for i in range(300):
        pixels = generator.record(i).media[0].pixels()
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == border[0]).all()
        assert np.abs(pixels.astype(int) - border[0]).max() > 100  # and it can be seen


def test_a_string_of_digits_has_as_many_marks_unless_neighbours_touch():
    generator = Digits(size=200, digits=3, font_sizes=(20, 20))
    marks = []
    for i in range(200):
        if "0" in (generator.record(i).truth or ""):
            continue  # a zero has a dot in it in some faces
        pixels = generator.record(i).media[0].pixels().astype(int)
        far = np.abs(pixels - pixels[0, 0]).max(axis=2)
        ink = far > 0.3 * far.max()
        marks.append(ndimage.label(ink, structure=np.ones((3, 3)))[1])
    assert len(marks) > 100 and max(marks) == 3 and marks.count(3) > 0.75 * len(marks)


def test_digits_are_large_enough_to_read():
    generator = Digits(size=200)
    for i in range(200):
        pixels = generator.record(i).media[0].pixels().astype(int)
        ys, xs = np.nonzero(np.abs(pixels - pixels[0, 0]).max(axis=2) > 60)
        assert ys.max() - ys.min() >= 10 and xs.max() - xs.min() >= 20


def test_a_fifth_of_all_numbers_is_never_trained_on():
    train = {Digits(size=4000).record(i).truth for i in range(4000)}
    test = {Digits(size=600, split="test").record(i).truth for i in range(600)}
    assert not train & test
    assert 730 <= len(train) <= 860 and 130 <= len(test) <= 270


def test_the_extent_is_where_the_ink_is():
    rng = np.random.default_rng(0)
    for text in ("407", "Äpfel", "яблоко", "κόσμος"):
        for face in EVERY_SCRIPT:
            line = typeset(rng, text, 140, 40, faces=(face,), smallest=20, largest=20)
            left, top, right, bottom = extent(face, 20, text)
            pixels = drawn(line).astype(int)
            ys, xs = np.nonzero(np.abs(pixels - pixels[0, 0]).max(axis=2) > 8)
            assert line.x + left - 1 <= xs.min() and xs.max() < line.x + right + 1
            assert line.y + top - 1 <= ys.min() and ys.max() < line.y + bottom + 1


@pytest.mark.parametrize("code", ALPHABETIC)
def test_every_face_has_every_letter_of_its_language(code):
    language = LANGUAGES[code]
    letters = set("".join(language.words) + language.onsets + language.vowels + language.stop)
    letters |= {letter.upper() for letter in letters if len(letter.upper()) == 1}
    for face in language.faces:
        if face == "aileron":
            assert all(letter.isascii() for letter in letters)
        else:
            assert letters <= {chr(point) for point in TTFont(dejavu(face)).getBestCmap()}


def test_the_shipped_faces_are_all_there():
    assert all(dejavu(face).is_file() for face in FILES)


def test_wrapping_loses_nothing_and_keeps_the_width():
    text = " ".join(LANGUAGES["de"].words[:60])
    lines = wrapped(text, 150, 14, "serif")
    assert " ".join(lines) == text
    assert all(advance(line, 14, "serif") <= 150 for line in lines)
    assert "".join(wrapped("abcdef" * 9, 60, 14, "mono", "")) == "abcdef" * 9


@pytest.mark.parametrize("size", [(224, 288, (1, 2)), (96, 96, (1, 1)), (128, 128, (1, 2))])
def test_pages_keep_their_text_within_margins(size):
    width, height, columns = size
    generator = PrintedPages(size=25, width=width, height=height, columns=columns, pages=(1, 3))
    for i in range(25):
        for page in generator.record(i).media:
            pixels = page.pixels().astype(int)
            edge = np.concatenate(
                [pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), pixels[:, -2:].reshape(-1, 3)]
            )
            assert (edge == edge[0]).all()


def test_pages_answer_what_they_hold():
    generator = PrintedPages(size=120, pages=(1, 3), languages=("en", "ru"))
    asked = set()
    for i in range(120):
        record = generator.record(i)
        ask = "".join(p for p in record.turns[0].pieces if isinstance(p, str))
        document = PrintedPages(size=120, pages=(1, 3), languages=("en", "ru"), form="document").record(i)
        everything = "".join(p for p in document.turns[0].pieces if isinstance(p, str))
        asked.add(ask.split()[0])
        assert record.truth
        if "Which page" in ask:
            assert 1 <= int(record.truth) <= len(record.media) > 1
            assert everything.lower().count(ask.split('"')[1]) >= 1
        else:
            assert record.truth in everything
    assert asked == {"Read", "What", "Which"}
