"""The generators of `data.synthesis` as registered sources: each of the report's seven kinds of visual data, exact truth.

Report: App. B.3.
"""

from manyeyes.data.source_info import SourceInfo
from manyeyes.data.synthesis.caption import SceneCaptions
from manyeyes.data.synthesis.generator import Generator
from manyeyes.data.synthesis.ocr import Digits, Words
from manyeyes.data.synthesis.perception import Attributes, Contours, Counting, Grounding, Pointing, Relations

SIZE = 100_000
"""Records of one epoch of a generator; another seed gives others."""
HELD_OUT_SIZE = 2_000


def _info(generator: type[Generator], about: str) -> SourceInfo:
    default = generator(size=1)
    return SourceInfo(
        name=default.name,
        about=about,
        kind=generator.kind,
        domain=generator.domain,
        licence="Apache-2.0",
        origin="generated",
        build=lambda split, seed, folder: generator(
            size=SIZE if split == "train" else HELD_OUT_SIZE, seed=seed, split=split
        ),
        synthetic=True,
    )


SYNTHETIC_SOURCES = (
    _info(SceneCaptions, "captions of scenes of coloured shapes"),
    _info(Digits, "printed strings of three digits; a fifth of all strings is held out"),
    _info(Words, "printed words of six languages"),
    _info(Attributes, "questions in the words of easy-VQA"),
    _info(Counting, "how many shapes"),
    _info(Grounding, "boxes of shapes"),
    _info(Pointing, "points of shapes"),
    _info(Contours, "outlines of shapes as polygons"),
    _info(Relations, "which shape is where"),
)
