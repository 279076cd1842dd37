"""Screens and traces: clicks hit what they name, states follow from actions, boxes are those that are drawn."""

import re

import numpy as np
import pytest

from manyeyes.data.geometry import Size, written
from manyeyes.data.record import Located, Point, Record
from manyeyes.data.synthesis.agent import ClickTargets, ScreenReading, Traces, solve
from manyeyes.data.synthesis.screens import Screen

SIZES = [(112, 128), (200, 160)]


def said(record: Record) -> list[str]:
    """Each assistant turn as it is learned."""
    lines = []
    for turn in record.turns[1::2]:
        text = ""
        for piece in turn.pieces:
            if isinstance(piece, Located):
                shape, media = record.geometry[piece.geometry]
                text += written(shape, Size(record.media[media].width, record.media[media].height))
            else:
                text += str(piece)
        lines.append(text)
    return lines


def numbers(text: str) -> list[float]:
    return [float(value) for value in re.findall(r"\d\.\d{3}", text)]


@pytest.mark.parametrize("size", SIZES)
def test_a_click_lies_in_the_box_that_is_the_truth(size):
    generator = ClickTargets(size=80, width=size[0], height=size[1])
    for i in range(80):
        record = generator.record(i)
        x, y = numbers(said(record)[-1])
        x0, y0, x1, y1 = numbers(record.truth or "")
        assert x0 < x < x1 and y0 < y < y1
        assert said(record)[-1] == f"click({x:.3f}, {y:.3f})"


@pytest.mark.parametrize("size", SIZES)
def test_elements_are_drawn_within_their_boxes_and_apart(size):
    generator = ScreenReading(size=60, width=size[0], height=size[1], rows=(2, 8))
    for i in range(60):
        screen = generator.draw_screen(np.random.default_rng(i))
        pixels = screen.picture.pixels().astype(int)
        boxes = [element.box for element in screen.elements]
        for element in screen.elements:
            x0, y0, x1, y1 = map(int, element.box)
            assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]
            inside = pixels[y0:y1, x0:x1]
            assert np.abs(inside - inside[0, 0]).max() > 60 or np.abs(inside - [250, 250, 252]).max() > 60
            if element.kind in ("button", "field", "tick"):  # these have a dark edge that is the box
                edge = np.concatenate([inside[:, 0], inside[:, -1], inside[0], inside[-1]])
                assert (edge.max(axis=1) < 210).mean() > 0.7
                if 0 < x0 and x1 < size[0]:
                    around = np.concatenate([pixels[y0 + 5 : y1 - 5, x0 - 1], pixels[y0 + 5 : y1 - 5, x1]])
                    assert (around.max(axis=1) > 210).all()
        for j, a in enumerate(boxes):
            for b in boxes[:j]:
                assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


@pytest.mark.parametrize("style", ["desktop", "web", "mobile"])
@pytest.mark.parametrize("size", SIZES)
def test_a_trace_replayed_from_its_text_reaches_every_goal(style, size):
    """An independent simulation: it knows only boxes, and what each action means."""
    generator = Traces(size=50, styles=(style,), width=size[0], height=size[1], rows=(3, 9))
    for i in range(50):
        task = generator._draw(np.random.default_rng(i))
        lines = said(generator._write(task, "x"))
        texts, ticked, first, focus = dict(task.screen.state.texts), set(task.screen.state.ticked), 0, None
        pressed = []
        for line in lines:
            shown = task.screen._replace(state=task.screen.state._replace(first=first))
            if line.startswith("click"):
                x, y = numbers(line)
                point = Point(x * size[0], y * size[1])
                hit = [e for e in shown.elements if e.box.x0 <= point.x < e.box.x1 and e.box.y0 <= point.y < e.box.y1]
                assert len(hit) == 1
                focus = hit[0].label if hit[0].kind == "field" else None
                ticked ^= {hit[0].label} if hit[0].kind == "tick" else set()
                pressed.append((hit[0].kind, hit[0].label))
            elif line.startswith("type"):
                assert focus
                texts[focus] = line[6:-2]
            elif line.startswith("scroll"):
                step = max(shown.capacity - 1, 1) * (1 if "down" in line else -1)
                first = min(max(first + step, 0), max(len(shown.app.rows) - shown.capacity, 0))
        assert lines[-1] == "done()" and lines.count("done()") == 1
        for goal in task.goals:
            if goal.kind == "field":
                assert texts[goal.label] == goal.text
            elif goal.kind == "tick":
                assert (goal.label in ticked) == (goal.text == "tick")
            else:
                assert (goal.kind, goal.label) in pressed


def test_every_screenshot_is_the_state_after_the_actions_before_it():
    generator = Traces(size=40, rows=(4, 7), goals=(2, 3))
    changes = 0
    for i in range(40):
        task = generator._draw(np.random.default_rng(i))
        steps = solve(task)
        record = generator._write(task, "x")
        assert len(record.media) == len(steps)
        frames = [step.screen.picture.pixels() for step in steps]
        for media, frame in zip(record.media, frames, strict=True):
            assert np.array_equal(media.pixels(), frame)
        changes += sum(not np.array_equal(a, b) for a, b in zip(frames, frames[1:], strict=False))
        assert all(not np.array_equal(a, b) for a, b in zip(frames, frames[1:], strict=False))
    assert changes > 40


def test_reading_questions_are_answered_by_the_state():
    generator = ScreenReading(size=80)
    for i in range(80):
        screen, questions = generator._draw(np.random.default_rng(i))
        assert isinstance(screen, Screen)
        for ask, answer in questions:
            text = str(ask[0])
            if text.startswith("What stands"):
                assert answer[0] == (screen.state.text(text.split('"')[1]) or "nothing")
            elif text.endswith("ticked?"):
                assert answer[0] == ("yes" if text.split()[1] in screen.state.ticked else "no")
            elif text.startswith("Which buttons"):
                boxes = [screen.find("button", label) for label in str(answer[0]).split(", ")]
                xs = [element.box.x0 for element in boxes if element]
                assert xs == sorted(xs) and len(xs) == len(screen.app.buttons)
