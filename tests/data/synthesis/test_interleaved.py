"""Several pictures and text: what the text says of each picture holds on its pixels."""

import re

import numpy as np
from scipy import ndimage

from manyeyes.data.record import Oriented, Record, Shown
from manyeyes.data.synthesis.interleaved import Albums, Comparisons, DrawingLessons, NewNames
from manyeyes.data.synthesis.scene import COLOURS


def regions(pixels: np.ndarray) -> int:
    packed = pixels.astype(int) @ (1 << 16, 1 << 8, 1)
    colours, counts = np.unique(packed, return_counts=True)
    ground = np.array([colours[counts.argmax()] >> shift & 255 for shift in (16, 8, 0)])
    far = np.abs(pixels.astype(int) - ground).max(axis=2) > 24
    return ndimage.label(far, structure=np.ones((3, 3)))[1]


def text_of(record: Record) -> str:
    return "".join(p if isinstance(p, str) else getattr(p, "word", "#") for p in record.turns[0].pieces)


def test_each_step_of_a_lesson_adds_one_figure():
    generator = DrawingLessons(size=40)
    for i in range(40):
        record = generator.record(i)
        assert [regions(media.pixels()) for media in record.media] == list(range(1, len(record.media) + 1))
        shown = [piece.media for piece in record.turns[0].pieces if isinstance(piece, Shown)]
        assert shown == list(range(len(record.media)))
        for media, step in zip(record.media, text_of(record).split("\n"), strict=True):
            colour = re.search(r"an? (\w+) ", step)
            assert colour
            pixels = media.pixels().astype(int)
            assert (np.abs(pixels - COLOURS[colour[1]]).max(axis=2) < 40).any()


def test_direction_words_belong_to_their_picture():
    generator = Albums(size=40)
    for i in range(40):
        media = -1
        for piece in generator.record(i).turns[0].pieces:
            if isinstance(piece, Shown):
                media = piece.media
            elif isinstance(piece, Oriented):
                assert piece.media == media


def test_albums_compare_true_counts():
    generator = Albums(size=60)
    for i in range(60):
        record = generator.record(i)
        counts = [regions(media.pixels()) for media in record.media]
        for number, line in enumerate(text_of(record).split("\n")[1:], 1):
            more = counts[number] - counts[number - 1]
            if more == 0:
                assert f"as many shapes as figure {number}." in line
            else:
                assert f"{abs(more)} {'more' if more > 0 else 'fewer'} than figure {number}." in line


def test_comparisons_count_right_and_have_one_winner():
    generator = Comparisons(size=80)
    for i in range(80):
        record = generator.record(i)
        answer = str(record.turns[1].pieces[0])
        counts = [int(n) for n in re.findall(r"icture \d+ has (\d+)", answer)]
        ask = str(record.turns[0].pieces[-1])
        if "shapes?" in ask:
            assert counts == [regions(media.pixels()) for media in record.media]
        best = max(counts) if "most" in ask else min(counts)
        assert counts.count(best) == 1
        assert record.truth == f"picture {counts.index(best) + 1}" and record.truth in answer


def test_a_new_name_means_the_shape_and_not_the_colour():
    generator = NewNames(size=60)
    for i in range(60):
        lesson = generator._draw(np.random.default_rng(i))
        (quiz,) = lesson.quiz.figures
        shapes = [example.figures[0].shape for example in lesson.examples]
        assert shapes[lesson.right] == quiz.shape and shapes.count(quiz.shape) == 1
        assert all(example.figures[0].colour != quiz.colour for example in lesson.examples)
        assert len(set(lesson.names)) == len(lesson.names)
