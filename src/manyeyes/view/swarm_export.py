"""`export_html`: a run as one file that needs nothing else, opens without a server, and does all but steer.

The page's own modules are put one after the other, its events, transcripts and pictures are compressed into it. What
does not fit is left out from the largest on, and the page says so.

Report: none; a run is worth showing to others.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event, JournalError, read_blob
from manyeyes.view.markup import tag, trusted
from manyeyes.view.swarm_page_events import thin
from manyeyes.view.swarm_page_feed import Feed
from manyeyes.view.swarm_page_files import asked, picture_type
from manyeyes.view.wording import printable

MOST_TRANSCRIPTS, MOST_PICTURES = 64 * 2**20, 16 * 2**20
"""Bytes before compression."""
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function |class |const )", re.MULTILINE)


class _Kept(NamedTuple):
    """What fits of whole events and pictures, and how much does not."""

    agents: dict[str, list[Event]]
    pictures: dict[str, str]
    left_out: int


def export_html(
    folder: Path,
    *,
    most_transcripts: int = MOST_TRANSCRIPTS,
    most_pictures: int = MOST_PICTURES,
) -> bytes:
    """The page of a run's folder as one HTML file.

    Args:
        most_transcripts: bytes of agents' whole events; an agent is in it whole or not at all, in order of creation.
        most_pictures: bytes of pictures.

    Raises:
        ConfigError: the folder holds no run.
    """
    feed = Feed(folder)
    if not feed.read_all():
        raise ConfigError(f"{folder} holds no run that could be exported; name the folder of a run")
    kept = _kept(feed, most_transcripts, most_pictures)
    data = {
        "name": folder.name,
        "asked": asked(folder),
        "events": [thin(event) for event in _all(feed)],
        "agents": kept.agents,
        "pictures": kept.pictures,
        "left_out": kept.left_out,
    }
    return _document(folder.name, msgspec.json.encode(data)).encode()


def _all(feed: Feed) -> Iterator[Event]:
    first = 0
    while events := feed.events(first):
        yield from events
        first = events[-1].seq + 1


def _kept(feed: Feed, most_transcripts: int, most_pictures: int) -> _Kept:
    agents: dict[str, list[Event]] = {}
    pictures: dict[str, str] = {}
    left_out = 0
    for name, numbers in feed.agents.items():
        if (size := feed.size_of(name)) > most_transcripts:
            left_out += 1
            continue
        most_transcripts -= size
        agents[name] = feed.of_agent(name, 0, most=len(numbers), most_bytes=size)
        for blob in _blobs([event.data for event in agents[name]]):
            content = _picture(feed.folder, blob)
            if blob not in pictures and 0 < len(content) <= most_pictures:
                most_pictures -= len(content)
                pictures[blob] = f"data:{picture_type(content)};base64,{base64.b64encode(content).decode()}"
    return _Kept(agents, pictures, left_out)


def _blobs(value: Any) -> Iterator[str]:
    """Names of the pictures in an event's data."""
    if isinstance(value, dict):
        if isinstance(value.get("image"), str):
            yield value["image"]
        elif isinstance(value.get("video"), list):
            yield from (name for name in value["video"] if isinstance(name, str))
        else:
            yield from (name for one in value.values() for name in _blobs(one))
    elif isinstance(value, list):
        yield from (name for one in value for name in _blobs(one))


def _picture(folder: Path, name: str) -> bytes:
    """A picture's bytes; none where the blob is gone or no picture."""
    try:
        content = read_blob(folder, name)
    except JournalError:
        return b""
    return content if picture_type(content).startswith("image/") else b""


def _document(name: str, data: bytes) -> str:
    style, script = asset("page.css"), bundle("app.js")
    packed = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; img-src data:"
    )
    body = re.search(r"<body[^>]*>.*</body>", asset("index.html"), re.DOTALL)
    assert body is not None, "the page has a body"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{printable(name)} · manyeyes"),
        tag("style", trusted(style)),
    )
    inlined = tag("script", trusted(packed), id="data", type="application/gzip+base64")
    run = tag("script", trusted(script), type="module")
    content = trusted(body.group().replace("</body>", f"{inlined}{run}</body>"))
    return "<!doctype html>\n" + tag("html", head, content, lang="en") + "\n"


def bundle(entry: str) -> str:
    """The modules that one imports, and itself, as one script: each after those that it imports.

    Modules import one another's names as they are and no name twice, so taking the words `import` and `export` away is
    all that it takes.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for found in _IMPORT.finditer(asset(name)):
                visit(found[2])
            order.append(name)

    visit(entry)
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", asset(name))) for name in order)


def asset(name: str) -> str:
    """A file of the page."""
    return files("manyeyes.view").joinpath("swarm_web", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
