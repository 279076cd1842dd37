"""The patterns by which fetched archives are unpacked, against archives laid out like the real ones (names of 2026)."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from manyeyes.data.fetched import clip_art, clips, handbook, openmoji, python_docs, stamps

from ..test_archives import a_deb, a_tar

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="20mm" height="10mm"><dc:title>A frog</dc:title></svg>'
ROW = {"hexcode": "1F438", "annotation": "frog", "tags": "animal", "openmoji_tags": "", "skintone_base_hexcode": ""}
WORDS = " ".join(f"word{i}" for i in range(80)).encode()
PAGE = b'<html><body><h1>Booting</h1><p>First text.</p><img src="images/inst-partman.png"/></body></html>'


def an_image(kind: str, *, frames: int = 1) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("RGB", (16, 16), (40 * number, 0, 0)) for number in range(frames)]
    pictures[0].save(out, kind, save_all=frames > 1, append_images=pictures[1:], duration=100)
    return out.getvalue()


class Fetched(NamedTuple):
    """An archive's files by name, those that must be unpacked, and what reads them: it returns how many records."""

    archive: str
    wanted: dict[str, bytes]
    others: tuple[str, ...]
    read: Callable[[Path], int]


HTML, SOURCES = "usr/share/doc/debian-handbook/html", "usr/share/doc/python3.11/html/_sources"
STAMPS, ART = "usr/share/tuxpaint/stamps", "usr/share/openclipart"
MEDIA, TEMPLATES = "comfyui_workflow_templates_media_assets_02", "comfyui_workflow_templates_json"

OPENMOJI = Fetched(
    "openmoji-17.0.0.tgz",
    {
        "package/data/openmoji.json": json.dumps([ROW]).encode(),
        "package/color/svg/1F438.svg": SVG,
    },
    ("package/black/svg/1F438.svg", "package/src/animals-nature/animal-amphibian/1F438.svg", "package/index.js",
     "package/helpers/lib/create-zip.sh", "package/guidelines/openmoji-template.ai", "package/README.md"),
    lambda folder: len(openmoji.openmoji(folder)),
)  # fmt: skip
CLIP_ART = Fetched(
    "openclipart-svg_1%3a0.18+dfsg-19_all.deb",
    {
        f"{ART}/svg/food/fruit/banana_mateya_01.svg": SVG,
        f"{ART}/svg/signs_and_symbols/flags/miscellany/unitednations.svg": SVG,
    },
    ("usr/share/doc/openclipart-svg/copyright", "usr/share/doc/openclipart-svg/changelog.Debian.gz"),
    lambda folder: len(clip_art.clip_art(folder)),
)
STAMP = Fetched(
    "tuxpaint-stamps-default_2022.06.04-1_all.deb",
    {
        f"{STAMPS}/animals/amphibians/frog-1.png": an_image("png"),
        f"{STAMPS}/animals/amphibians/frog-1.txt": b"A frog.\n",
        f"{STAMPS}/animals/birds/swallow.svg": SVG,
        f"{STAMPS}/animals/birds/swallow.txt": b"A swallow.\n",
    },
    (f"{STAMPS}/animals/amphibians/frog-1_desc_be.ogg", f"{STAMPS}/animals/amphibians/frog-1.dat",
     f"{STAMPS}/animals/amphibians/frog-1.wav", "usr/share/doc/tuxpaint-stamps-default/changelog.gz"),
    lambda folder: len(stamps.stamps(folder)),
)  # fmt: skip
HANDBOOK = Fetched(
    "debian-handbook_11.20220922_all.deb",
    {
        **{f"{HTML}/en-US/sect.{name}.html": PAGE for name in ("knoppix", "remote-login", "packages", "mail")},
        f"{HTML}/en-US/images/inst-partman.png": an_image("png"),
        f"{HTML}/zh-CN/sect.knoppix.html": PAGE,
    },
    ("usr/share/doc/debian-handbook/copyright", "usr/share/doc-base/debian-handbook.debian-handbook"),
    lambda folder: sum(len(handbook.Handbook(split, folder, languages=("en-US",))) for split in ("train", "test")),
)
PYTHON_DOCS = Fetched(
    "python3.11-doc_3.11.2-6+deb12u9_all.deb",
    {
        f"{SOURCES}/library/lzma.rst.txt": b"The module reads and writes. " + WORDS,
        f"{SOURCES}/c-api/arg.rst.txt": b"These functions parse arguments. " + WORDS[::-1],
        f"{SOURCES}/contents.rst.txt": b"Too short.",
    },
    ("usr/share/doc/python3.11/html/library/lzma.html", "usr/share/doc/python3.11/html/_static/pygments.css",
     "usr/share/doc/python3.11/html/objects.inv", "usr/share/doc/python3.11/html/_static/license.txt"),
    lambda folder: sum(len(python_docs.python_docs(split, folder)) for split in ("train", "test")),
)  # fmt: skip
FILMS = [f"api_vidu_q{number}_preview_i2v-1" for number in range(20)]
CLIPS = Fetched(
    "comfyui_workflow_templates_media_assets_02-0.1.24-py3-none-any.whl",
    {f"{MEDIA}/templates/{name}.webp": an_image("webp", frames=3) for name in FILMS},
    (f"{MEDIA}/__init__.py", f"{MEDIA}/templates/logo/meta.jpg", f"{MEDIA}-0.1.24.dist-info/METADATA"),
    lambda folder: sum(len(clips.Clips(split, folder)) for split in ("train", "test")),
)
INDEX = [{"templates": [{"name": name.removesuffix("-1"), "title": f"Film {name}"} for name in FILMS]}]
TITLES = Fetched(
    "comfyui_workflow_templates_json-0.1.123-py3-none-any.whl",
    {f"{TEMPLATES}/templates/index.json": json.dumps(INDEX).encode()},
    (f"{TEMPLATES}/templates/video_minimax_h3_i2v.json", f"{TEMPLATES}/templates/image_krea2_turbo_t2i_int8.json",
     f"{TEMPLATES}/templates/index.schema.json", f"{TEMPLATES}/templates/index.zh.json"),
    CLIPS.read,
)  # fmt: skip


def make(folder: Path, fetched: Fetched) -> None:
    """The archive as its registry packs it."""
    files = fetched.wanted | dict.fromkeys(fetched.others, b"not wanted")
    path = folder / fetched.archive
    if path.suffix == ".deb":
        a_deb(path, a_tar({f"./{name}": data for name, data in files.items()}))
    elif path.suffix == ".tgz":
        with tarfile.open(path, "w:gz") as tar:
            for name, data in files.items():
                item = tarfile.TarInfo(name)
                item.size = len(data)
                tar.addfile(item, io.BytesIO(data))
    else:
        with zipfile.ZipFile(path, "w") as wheel:
            for name, data in files.items():
                wheel.writestr(name, data)


@pytest.mark.parametrize(
    ("fetched", "beside", "records"),
    [
        (OPENMOJI, (), 1),
        (CLIP_ART, (), 2),
        (STAMP, (), 2),
        (HANDBOOK, (), 4),
        (PYTHON_DOCS, (), 2),
        (CLIPS, (TITLES,), 20),
        (TITLES, (CLIPS,), 20),
    ],
    ids=lambda value: value.archive if isinstance(value, Fetched) else "",
)
def test_all_that_is_wanted_is_unpacked_and_nothing_else(
    tmp_path: Path, fetched: Fetched, beside: tuple[Fetched, ...], records: int
) -> None:
    for one in (fetched, *beside):
        make(tmp_path, one)
    assert fetched.read(tmp_path) == records
    (root,) = tmp_path.glob(f"{fetched.archive}.*.unpacked")
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == set(fetched.wanted)
