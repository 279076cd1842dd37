"""Draws the README's picture: held-out pictures with question, truth and the run's answer, as the run kept them.

    python docs/make_picture.py RUN [--out docs/pictures/demo.png] [--sets 4] [--each 4]

One row for each held-out set, in the order in which the run scored them, and in it the first examples of the set: none
is chosen by its answer. A right answer is green, a wrong one red, with the truth below it; boxes that the model names
are drawn where it says (true ones in grey). Small pictures are enlarged. Needs the extra `demo` (its typeface).
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from manyeyes.core.coordinates import read_boxes
from manyeyes.core.runlog import RunFolder
from manyeyes.data.synthesis.fonts import extent, put
from manyeyes.view.examples import Example, read_examples
from manyeyes.view.wording import printable

HERE = Path(__file__).parent
SCALE = 2
"""Pixels drawn for one pixel of layout, for dense screens."""
CELL, PICTURE, GAP, HEAD, LINE = 236, 100, 12, 24, 15
PAPER, INK, PALE, RULE = (255, 255, 255), (28, 30, 33), (110, 116, 124), (222, 225, 230)
RIGHT, WRONG = (22, 128, 61), (190, 40, 40)


class Line(NamedTuple):
    """One line of text beside a picture."""

    text: str
    colour: tuple[int, int, int]
    face: str = "sans"


class Cell(NamedTuple):
    """An example laid out: its picture as drawn, and its text."""

    example: Example
    image: Image.Image
    lines: list[Line]

    @property
    def height(self) -> int:
        """In layout pixels."""
        return max(self.image.height // SCALE, len(self.lines) * LINE)


def main() -> None:
    """Draw the picture of the run named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--out", type=Path, default=HERE / "pictures" / "demo.png")
    parser.add_argument("--sets", type=int, default=4, help="most rows")
    parser.add_argument("--each", type=int, default=4, help="most examples in a row")
    arguments = parser.parse_args()
    rows = examples_by_set(RunFolder.open(arguments.run))[: arguments.sets]
    if not rows:
        raise SystemExit(f"{arguments.run} kept no examples with pictures; they are kept when a stage ends")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    montage([row[: arguments.each] for row in rows]).save(arguments.out, optimize=True)
    print(arguments.out)


def examples_by_set(folder: RunFolder) -> list[list[Example]]:
    """The kept examples that show a picture, set by set, in the run's order."""
    sets: dict[str, list[Example]] = defaultdict(list)
    for example in read_examples(folder):
        if example.picture is not None:
            sets[example.held_out].append(example)
    return list(sets.values())


def montage(rows: list[list[Example]]) -> Image.Image:
    """All rows below each other, each under the name of its set."""
    cells = [[_cell(example) for example in row] for row in rows]
    heights = [HEAD + max(cell.height for cell in row) + GAP for row in cells]
    width = max(map(len, rows)) * CELL + GAP
    page = Image.new("RGB", (width * SCALE, sum(heights) * SCALE), PAPER)
    draw, top = ImageDraw.Draw(page), 0
    for row, height in zip(cells, heights, strict=True):
        if top:
            draw.line([(GAP * SCALE, top * SCALE), ((width - GAP) * SCALE, top * SCALE)], fill=RULE, width=SCALE)
        _write(draw, (GAP, top + 6), Line(row[0].example.held_out, PALE))
        for column, cell in enumerate(row):
            _draw(page, draw, cell, (GAP + column * CELL, top + HEAD))
        top += height
    return page


def _cell(example: Example) -> Cell:
    room, right = CELL - PICTURE - 22, _is_right(example)
    asked, answer = _wrapped(printable(example.asked), room), printable(example.answer) or "(nothing)"
    lines = [Line(text, INK) for text in asked[:4]]
    lines += [Line(text, RIGHT if right else WRONG, "bold") for text in _wrapped(answer, room, face="bold")[:3]]
    if not right:
        lines += [Line(text, PALE) for text in _wrapped(f"truth: {printable(example.truth)}", room)[:3]]
    return Cell(example, _enlarged(example), lines)


def _draw(page: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int]) -> None:
    left, top = at
    page.paste(cell.image, (left * SCALE, top * SCALE))
    frame = (left * SCALE, top * SCALE, left * SCALE + cell.image.width - 1, top * SCALE + cell.image.height - 1)
    draw.rectangle(frame, outline=RULE)
    _boxes(draw, cell.example.truth, frame, colour=PALE)
    _boxes(draw, cell.example.answer, frame, colour=RIGHT if _is_right(cell.example) else WRONG)
    for number, line in enumerate(cell.lines):
        _write(draw, (left + PICTURE + 10, top - 2 + number * LINE), line)


def _is_right(example: Example) -> bool:
    """Exactly, or, for boxes, with at least half of the area in common."""
    if "iou" in example.scores and read_boxes(example.truth).found.size:
        return example.scores["iou"] >= 0.5
    return example.answer.strip() == example.truth.strip()


def _enlarged(example: Example) -> Image.Image:
    with Image.open(str(example.picture)) as stored:
        image = stored.convert("RGB")
    whole = max(1, PICTURE * SCALE // max(image.size))
    image = image.resize((image.width * whole, image.height * whole), Image.Resampling.NEAREST)
    factor = PICTURE * SCALE / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _boxes(
    draw: ImageDraw.ImageDraw, text: str, frame: tuple[int, int, int, int], *, colour: tuple[int, int, int]
) -> None:
    left, top, right, bottom = frame
    for x0, y0, x1, y1 in read_boxes(text).found.tolist():
        corners = (
            left + x0 * (right - left), top + y0 * (bottom - top), left + x1 * (right - left), top + y1 * (bottom - top)
        )  # fmt: skip
        draw.rectangle(corners, outline=colour, width=2 * SCALE)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], line: Line) -> None:
    put(draw, (at[0] * SCALE, at[1] * SCALE), line.text, face=line.face, size=11 * SCALE, fill=line.colour)


def _wrapped(text: str, room: int, *, face: str = "sans") -> list[str]:
    """The text in lines of at most `room` layout pixels, broken at blanks; a longer word stands alone."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if extent(face, 11 * SCALE, longer)[2] > room * SCALE and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


if __name__ == "__main__":
    main()
