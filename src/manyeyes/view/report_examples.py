"""Answered questions as cards: the picture, what was asked, what the model said, right or wrong, the boxes drawn."""

import base64
import io
from collections.abc import Sequence

from PIL import Image

from manyeyes.core.coordinates import read_boxes
from manyeyes.core.media import MediaError, Picture
from manyeyes.view.examples import Example
from manyeyes.view.markup import Markup, tag
from manyeyes.view.wording import percent

LONGEST_SIDE = 320
GOOD_IOU = 0.5
"""A box counts as found from this IoU on (PASCAL VOC)."""
SHOWN = 80
LONGEST_TEXT = 180


def example_cards(examples: Sequence[Example]) -> Markup:
    """Cards, set by set."""
    by_set: dict[str, list[Example]] = {}
    for example in examples[:SHOWN]:
        by_set.setdefault(example.held_out, []).append(example)
    return tag("div", [_set(name, of_set) for name, of_set in by_set.items()], class_="sets")


def _set(name: str, examples: Sequence[Example]) -> Markup:
    where = f"{examples[0].stage}, step {examples[0].step:,}"
    cards = tag("div", [_card(example) for example in examples], class_="cards")
    return tag("section", tag("h3", name, tag("small", where)), cards)


def _card(example: Example) -> Markup:
    return tag(
        "article",
        _picture(example),
        tag("p", _short(example.asked), class_="asked"),
        tag("p", _verdict(example), " ", tag("b", _short(example.answer) or "(nothing)"), class_="answer"),
        None if _right(example) else tag("p", "truth: ", _short(example.truth), class_="quiet"),
        class_="right" if _right(example) else "wrong",
    )


def _right(example: Example) -> bool:
    score = example.score or 0.0
    return score >= GOOD_IOU if "iou" in example.scores else score >= 1.0


def _verdict(example: Example) -> Markup:
    right = _right(example)
    said = f"IoU {percent(example.scores['iou'])}" if "iou" in example.scores else "right" if right else "wrong"
    return tag("span", "✓ " if right else "✗ ", said, class_="verdict")


def _picture(example: Example) -> Markup | None:
    if example.picture is None:
        return None
    try:
        picture = Picture.open(example.picture)
        source = _data_uri(picture)
    except MediaError:
        return None
    # SVG's coordinates are the picture's pixels, so boxes lie right at any size.
    width, height = picture.width, picture.height
    image = tag("image", href=source, width=width, height=height, preserveAspectRatio="none")
    texts = {"asked": example.asked, "truth": example.truth, "said": example.answer}
    boxes = [_boxes(text, width, height, name) for name, text in texts.items()]
    label = f"picture of {example.name}"
    return tag("svg", image, boxes, viewbox=f"0 0 {width} {height}", role="img", aria_label=label)


def _boxes(text: str, width: int, height: int, name: str) -> list[Markup]:
    return [
        tag(
            "rect", class_=name, x=f"{left * width:.1f}", y=f"{top * height:.1f}",
            width=f"{(right - left) * width:.1f}", height=f"{(bottom - top) * height:.1f}",
        )
        for left, top, right, bottom in read_boxes(text).found.tolist()
    ]  # fmt: skip


def _data_uri(picture: Picture) -> str:
    """Decoded and encoded again, so that nothing but pixels reaches the page."""
    image = Image.fromarray(picture.pixels())
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _short(text: str) -> str:
    """A long text without its middle: what is asked stands at the end."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} ... {text[-half:]}"
