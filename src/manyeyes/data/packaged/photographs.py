"""Photographs and scientific pictures of two packages, with true captions and questions written for this project.

Few pictures, all real: each gives its captions as documents (alt text after the picture), a description on request and
a conversation about what is in it. They are shown at most `side` pixels wide and high, to be affordable for a small
model.

Sources: scikit-image 0.26.0 (BSD-3; pictures public domain, CC0 or as its documentation says), scikit-learn 1.9.1
(china.jpg, flower.jpg: CC-BY 2.0, see its `datasets/images/README.txt`). Report: App. B.3 (captions, real before
synthetic).
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manyeyes.core.media import Picture
from manyeyes.data.collection import Domain, Split
from manyeyes.data.packages import SCIKIT_IMAGE, SCIKIT_LEARN, Package
from manyeyes.data.phrasing import DESCRIBE
from manyeyes.data.record import OF_PHOTOGRAPHS, Change, Record, Shown, Turn

WHOLE: frozenset[Change] = OF_PHOTOGRAPHS - {"crop", "tilt"}
"""For pictures in which something is counted or fills the frame."""
ORDER: frozenset[Change] = frozenset({"order"})
COLOURLESS: frozenset[Change] = frozenset({"crop", "flip", "rotate", "tilt", "scale", "colour", "text", "order"})


class Photograph(NamedTuple):
    """A picture file with captions, and questions with answers of a word or two."""

    package: Package
    path: str
    captions: tuple[str, ...]
    asked: tuple[tuple[str, str], ...]
    allowed: frozenset[Change] = OF_PHOTOGRAPHS
    held_out: bool = False


def _skimage(
    file: str,
    captions: tuple[str, ...],
    asked: tuple[tuple[str, str], ...],
    allowed: frozenset[Change] = OF_PHOTOGRAPHS,
    *,
    held_out: bool = False,
) -> Photograph:
    return Photograph(SCIKIT_IMAGE, f"data/{file}", captions, asked, allowed, held_out)


PHOTOGRAPHS = (
    _skimage(
        "astronaut.png",
        (
            "A smiling astronaut in an orange space suit.",
            "A woman in an orange space suit in front of a flag and a model of a space shuttle.",
            "Portrait of an astronaut holding a white helmet.",
        ),
        (
            ("What is the person?", "an astronaut"),
            ("What color is the suit?", "orange"),
            ("Is there an animal in the picture?", "no"),
            ("Is the person smiling?", "yes"),
        ),
        WHOLE - {"flip"},
    ),
    _skimage(
        "brick.png",
        ("A gray wall of long bricks.", "Rows of bricks with bright joints between them."),
        (("What is the wall made of?", "bricks"), ("Is this a texture?", "yes")),
    ),
    _skimage(
        "camera.png",
        (
            "A man in a dark coat looks through a camera on a tripod.",
            "A photographer at work on a lawn, in black and white.",
            "A cameraman outdoors with buildings far behind him.",
        ),
        (
            ("What does the man use?", "a camera"),
            ("What does the camera stand on?", "a tripod"),
            ("Is the picture in color?", "no"),
            ("How many people are there?", "1"),
        ),
        WHOLE,
    ),
    _skimage(
        "cell.png",
        ("A bright round cell with a dark halo on a gray background.", "One cell seen through a microscope."),
        (("How many cells are there?", "1"), ("What was this taken with?", "a microscope")),
        WHOLE,
    ),
    _skimage(
        "chelsea.png",
        (
            "A tabby cat looks to the side.",
            "Close-up of the face of a brown striped cat.",
            "The head of a cat with green eyes and a pink nose.",
        ),
        (
            ("Which animal is this?", "a cat"),
            ("What color are the eyes?", "green"),
            ("Is there a dog?", "no"),
            ("Is the cat striped?", "yes"),
        ),
        OF_PHOTOGRAPHS - {"crop"},
    ),
    _skimage(
        "chessboard_RGB.png",
        ("A chessboard of black and white squares.", "A pattern of eight by eight squares, black and white."),
        (("What pattern is this?", "a chessboard"), ("How many squares are in a row?", "8")),
        frozenset({"scale", "rotate", "text"}),
    ),
    _skimage(
        "clock_motion.png",
        ("A round thing blurred by motion on a gray background.", "A bright disc smeared sideways by movement."),
        (("Is the picture sharp?", "no"), ("Is the picture in color?", "no")),
        WHOLE,
    ),
    _skimage(
        "coffee.png",
        (
            "A cup of coffee on a red saucer.",
            "An espresso in a small cup with a spoon on a wooden table.",
            "A cup, a saucer and a spoon on wood.",
        ),
        (
            ("What is in the cup?", "coffee"),
            ("What is the table made of?", "wood"),
            ("What color is the saucer?", "red"),
            ("Is there a spoon?", "yes"),
        ),
        WHOLE - {"colour"},
    ),
    _skimage(
        "coins.png",
        (
            "Rows of old coins on a dark background.",
            "Twenty-four ancient coins in four rows, in black and white.",
            "Many round coins laid out in rows.",
        ),
        (
            ("What is shown?", "coins"),
            ("How many rows of coins are there?", "4"),
            ("How many coins are in a row?", "6"),
            ("How many coins are there?", "24"),
        ),
        frozenset({"flip", "scale", "colour", "text"}),
    ),
    _skimage(
        "color.png",
        ("A round color wheel on black.", "All colors of the rainbow in a disc that is white in the middle."),
        (
            ("What is shown?", "a color wheel"),
            ("What color is the background?", "black"),
            ("Which shape is it?", "a circle"),
        ),
        frozenset({"scale", "text"}),
    ),
    _skimage(
        "grass.png",
        ("Dry grass from above.", "A texture of grass and leaves, in black and white."),
        (("What grows here?", "grass"), ("Are there people?", "no")),
        COLOURLESS,
        held_out=True,
    ),
    _skimage(
        "gravel.png",
        ("Gravel: many small stones.", "A texture of little stones, in black and white."),
        (("What is on the ground?", "stones"), ("Is there grass?", "no")),
        COLOURLESS,
    ),
    _skimage(
        "horse.png",
        ("The black outline of a standing horse.", "Silhouette of a horse from the side, black on white."),
        (
            ("Which animal is this?", "a horse"),
            ("What color is the horse?", "black"),
            ("How many legs can be seen?", "4"),
        ),
        WHOLE - {"colour"},
    ),
    _skimage(
        "hubble_deep_field.jpg",
        (
            "Distant galaxies on a black sky.",
            "Many small galaxies and stars, seen by the Hubble space telescope.",
            "A photograph of deep space with galaxies of many colors.",
        ),
        (("What is shown?", "galaxies"), ("What color is the sky?", "black"), ("Is there a planet?", "no")),
        COLOURLESS - {"colour"},
    ),
    _skimage(
        "ihc.png",
        (
            "Tissue under a microscope, stained brown and blue.",
            "A microscope picture of brown glands with blue nuclei.",
        ),
        (("What was this taken with?", "a microscope"), ("Which colors does the stain have?", "brown and blue")),
        COLOURLESS - {"colour"},
    ),
    _skimage(
        "logo.png",
        ("A round logo in green and orange with the head of a snake.", "The logo of scikit-image."),
        (("What is this?", "a logo"), ("Which colors does it have?", "green and orange")),
        frozenset({"scale", "text"}),
    ),
    _skimage(
        "microaneurysms.png",
        ("Thin dark blood vessels on a gray background.", "A small part of the retina with fine vessels."),
        (("What are the dark lines?", "blood vessels"), ("Is the picture in color?", "no")),
    ),
    _skimage(
        "moon.png",
        ("The surface of the moon with craters.", "Small craters on a gray plain of the moon."),
        (("Where is this?", "on the moon"), ("What are the round holes?", "craters"), ("Is there water?", "no")),
        COLOURLESS,
    ),
    _skimage(
        "motorcycle_left.png",
        (
            "A red motorcycle in a garage.",
            "A parked motorcycle with a red tank in front of shelves.",
            "A motorcycle in a workshop with a chair and boxes behind it.",
        ),
        (
            ("What vehicle is this?", "a motorcycle"),
            ("What color is it?", "red"),
            ("How many wheels does it have?", "2"),
            ("Is somebody riding it?", "no"),
        ),
        WHOLE - {"colour"},
    ),
    _skimage(
        "phantom.png",
        (
            "The Shepp-Logan phantom: ellipses in a white ring.",
            "A drawing of a head in section, made of gray ellipses.",
        ),
        (("What color is the ring?", "white"), ("What color is the background?", "black")),
        frozenset({"flip", "scale", "text"}),
    ),
    _skimage(
        "retina.jpg",
        ("The back of an eye with red blood vessels.", "A round photograph of a human retina, orange on black."),
        (
            ("Which organ is this?", "an eye"),
            ("What are the red lines?", "blood vessels"),
            ("Which shape is it?", "a circle"),
        ),
        WHOLE - {"colour"},
    ),
    _skimage(
        "rocket.jpg",
        (
            "A white rocket on its launch pad at dusk.",
            "A rocket between tall towers, lit by lamps, ready for launch.",
            "A space rocket against a dark blue sky.",
        ),
        (
            ("What is standing in the middle?", "a rocket"),
            ("What color is the rocket?", "white"),
            ("Is the rocket flying?", "no"),
            ("Is it bright day?", "no"),
        ),
        WHOLE,
    ),
    Photograph(
        SCIKIT_LEARN,
        "datasets/images/china.jpg",
        (
            "A Chinese tower with many roofs among trees, above a lake.",
            "The Tower of Buddhist Incense at the Summer Palace in Beijing.",
            "An old red and green pagoda with trees around it.",
        ),
        (
            ("What building is this?", "a pagoda"),
            ("In which country is it?", "China"),
            ("What grows around it?", "trees"),
            ("Is it indoors?", "no"),
        ),
        WHOLE,
    ),
    Photograph(
        SCIKIT_LEARN,
        "datasets/images/flower.jpg",
        (
            "An orange dahlia in bloom.",
            "Close-up of a round orange flower against dark green leaves.",
            "A flower with many petals.",
        ),
        (
            ("What is this?", "a flower"),
            ("What color is the flower?", "orange"),
            ("Is there a person?", "no"),
        ),
        WHOLE - {"colour"},
        held_out=True,
    ),
)


class Photographs:
    """Captions as documents, descriptions on request, and conversations.

    Args:
        split: two pictures are held out.
        side: longest side, in pixels.
        talk: conversations too; without them it is captions alone, which is what a ViT is trained on.
    """

    domain: Domain = "vision"
    kind = "caption"

    def __init__(self, split: Split, *, side: int = 128, talk: bool = True) -> None:
        self.name = "photographs" if talk else "photographs_captions"
        photographs = [item for item in PHOTOGRAPHS if item.held_out == (split == "test")]
        folders = {package: package.folder() for package in (SCIKIT_IMAGE, SCIKIT_LEARN)}
        self._records = [
            record
            for item in photographs
            for record in _records(item, split, _shrunk(folders[item.package] / item.path, side))
            if talk or record.turns[0].role == "document"
        ]

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        """A captioned picture or a conversation about it."""
        return self._records[index]


def _records(item: Photograph, split: Split, picture: Picture) -> list[Record]:
    stem = f"photographs/{split}/{Path(item.path).stem}"
    turns: list[tuple[Turn, ...]] = [(Turn("document", (Shown(0), caption)),) for caption in item.captions]
    turns += [(Turn("user", (Shown(0), DESCRIBE[0])), Turn("assistant", (caption,))) for caption in item.captions]
    talk = [turn for asked, answer in item.asked for turn in (Turn("user", (asked,)), Turn("assistant", (answer,)))]
    turns.append((Turn("user", (Shown(0), *talk[0].pieces)), *talk[1:]))
    changes: frozenset[Change] = item.allowed | ORDER
    return [Record(f"{stem}/{n}", told, (picture,), allowed=changes) for n, told in enumerate(turns)]


def _shrunk(path: Path, side: int) -> Picture:
    original = Picture.open(path)
    scale = min(1.0, side / max(original.width, original.height))
    width, height = max(1, round(original.width * scale)), max(1, round(original.height * scale))
    return Picture.lazy(width, height, functools.cache(functools.partial(_resized, original, width, height)))


def _resized(original: Picture, width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(original.pixels()).resize((width, height), Image.Resampling.LANCZOS))
