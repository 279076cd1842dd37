"""The exported file: whole, bounded, and closed to whatever a run's texts try."""

import base64
import gzip
import re
from pathlib import Path

import msgspec
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Event, Journal
from manyeyes.view.swarm_export import export_html
from manyeyes.view.swarm_page_events import thin
from manyeyes.view.swarm_page_fake import fake_events, write_journal

PNG = bytes.fromhex("89504e470d0a1a0a") + b"the rest of a picture"


def inlined(content: bytes) -> dict:
    """The data in an exported file."""
    found = re.search(rb'<script id="data" type="application/gzip\+base64">([A-Za-z0-9+/=]+)</script>', content)
    assert found is not None
    return msgspec.json.decode(gzip.decompress(base64.b64decode(found[1])))


def test_events_transcripts_and_what_was_asked_are_in_it(tmp_path: Path) -> None:
    events = fake_events(5, seed=4)
    data = inlined(export_html(write_journal(tmp_path / "run", events, task="count the islands")))
    assert data["name"] == "run" and data["asked"]["task"] == "count the islands" and data["left_out"] == 0
    assert data["events"] == msgspec.json.decode(msgspec.json.encode([thin(event) for event in events]))
    own = [event for event in events if event.agent == "main/2"]
    assert msgspec.convert(data["agents"]["main/2"], list[Event]) == own


def test_what_does_not_fit_is_left_out_and_counted(tmp_path: Path) -> None:
    events = fake_events(5, seed=4)
    folder = write_journal(tmp_path, events)
    size = sum(len(msgspec.json.encode(event)) + 1 for event in events if event.agent == "main")
    data = inlined(export_html(folder, most_transcripts=size))
    assert list(data["agents"]) == ["main"] and data["left_out"] == 5 and len(data["events"]) == len(events)
    assert inlined(export_html(folder, most_transcripts=0))["agents"] == {}


def test_pictures_come_along_and_nothing_else_that_a_hash_may_name(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        names = [journal.blob(content) for content in (PNG, b"<svg onload=alert(1)>", PNG * 1000)]
        gone = "0" * 64
        content = [{"image": name} for name in (*names, gone, "../../etc/passwd")] + [{"video": names, "fps": 1.0}]
        journal.append("agent.began", agent="main", messages=[{"role": "user", "content": content}])
    pictures = inlined(export_html(tmp_path, most_pictures=10_000))["pictures"]
    assert list(pictures) == [names[0]] and pictures[names[0]].startswith("data:image/png;base64,")
    assert list(inlined(export_html(tmp_path))["pictures"]) == [names[0], names[2]]


def test_no_text_of_a_run_reaches_the_markup_and_only_its_own_script_may_run(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    with Journal(tmp_path / "<b>run") as journal:
        journal.append("agent.created", agent="main", role=evil, prompt=evil, task=evil, call="")
    content = export_html(tmp_path / "<b>run")
    assert evil.encode() not in content and b"<b>run" not in content and content.count(b"<script") == 2
    policy = re.search(rb'http-equiv="Content-Security-Policy" content="([^"]+)"', content)
    assert policy is not None and b"default-src" in policy[1] and b"unsafe" not in policy[1]


def test_equal_runs_make_equal_files_and_no_run_makes_none(tmp_path: Path) -> None:
    folder = write_journal(tmp_path / "run", fake_events(3))
    assert export_html(folder) == export_html(folder)
    with pytest.raises(ConfigError, match="holds no run"):
        export_html(tmp_path / "nothing")
