"""The journal: numbered, whole, readable while it grows, and without secrets."""

import json
import os
import subprocess
import sys

import pytest

from manyeyes.core.journal import EVENTS, Journal, JournalError, read, read_blob


def test_events_come_back_as_they_were_written(tmp_path) -> None:
    with Journal(tmp_path, now=lambda: 12.5) as journal:
        first = journal.append("run.started", task="t")
        journal.append("llm.finished", agent="main", after=[first.seq], message={"role": "assistant", "content": "é\n"})
    events = read(tmp_path).events
    assert [event.seq for event in events] == [0, 1] and events[1].after == (0,)
    assert events[1].data["message"]["content"] == "é\n" and events[1].subject == "llm" and events[0].time == 12.5


def test_a_reopened_journal_goes_on_counting(tmp_path) -> None:
    with Journal(tmp_path) as journal:
        journal.append("a.b")
    with Journal(tmp_path) as journal:
        assert journal.append("a.c").seq == 1


def test_a_cut_line_is_dropped_and_written_over(tmp_path) -> None:
    with Journal(tmp_path) as journal:
        journal.append("a.b")
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"seq":1,"kind":"a.')
    assert len(read(tmp_path).events) == 1
    with Journal(tmp_path) as journal:
        journal.append("a.c")
    assert [event.kind for event in read(tmp_path).events] == ["a.b", "a.c"]


def test_a_reader_goes_on_from_a_position(tmp_path) -> None:
    with Journal(tmp_path) as journal:
        journal.append("a.b")
        position = read(tmp_path).position
        journal.append("a.c")
        assert [event.kind for event in read(tmp_path, position).events] == ["a.c"]


def test_secrets_never_reach_the_disk(tmp_path) -> None:
    secret = 'sk-"quoted"-123'
    with Journal(tmp_path, secrets=[secret, ""]) as journal:
        journal.append("llm.failed", why=f"invalid key {secret}")
        name = journal.blob(b"key: sk-123 " + secret.replace('"', '\\"').encode())
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"quoted" not in written and b"[secret]" in written
    assert b"quoted" not in read_blob(tmp_path, name)


def test_blobs_are_kept_once_and_only_by_their_own_names(tmp_path) -> None:
    with Journal(tmp_path) as journal:
        assert journal.blob(b"x" * 10) == journal.blob(b"x" * 10)
    assert len(list((tmp_path / "blobs").iterdir())) == 1
    for name in ("../events.jsonl", "0" * 64, ""):
        with pytest.raises(JournalError, match="blob"):
            read_blob(tmp_path, name)


def test_the_log_is_private(tmp_path) -> None:
    with Journal(tmp_path) as journal:
        assert os.stat(journal.path).st_mode & 0o077 == 0


def test_damage_and_absence_are_one_clear_error(tmp_path) -> None:
    with pytest.raises(JournalError, match=EVENTS):
        read(tmp_path)
    (tmp_path / EVENTS).write_text("nonsense\n")
    with pytest.raises(JournalError, match="line 1"):
        read(tmp_path)


def test_listeners_hear_every_event_until_they_stop(tmp_path) -> None:
    heard = []
    with Journal(tmp_path) as journal:
        stop = journal.listen(heard.append)
        journal.append("a.b")
        stop()
        journal.append("a.c")
    assert [event.kind for event in heard] == ["a.b"]


def test_secrets_are_cut_out_of_texts_and_not_of_the_log(tmp_path) -> None:
    secret, heard = 'sk-"quoted"-123', []
    arguments = json.dumps({"key": secret})
    with Journal(tmp_path, secrets=[secret, "1", '"seq":0,"kind"', "12345678"]) as journal:
        journal.listen(heard.append)
        written = journal.append(
            "llm.failed", agent="main", seconds=123456789, deep=[{"why": (f"key {secret}", True, None)}], args=arguments
        )
        plain = journal.append("a.b", text="step 1")
    events = read(tmp_path).events
    assert events == [written, plain] == heard and events[1].data == {"text": "step 1"}
    assert events[0].data == {
        "seconds": 123456789, "deep": [{"why": ["key [secret]", True, None]}], "args": '{"key": "[secret]"}',
    }  # fmt: skip


def test_blobs_keep_what_only_looks_like_a_short_secret(tmp_path) -> None:
    with Journal(tmp_path, secrets=["1", "long enough"]) as journal:
        assert read_blob(tmp_path, journal.blob(b"1: long enough")) == b"1: [secret]"


def test_one_writer_at_a_time(tmp_path) -> None:
    other = f"from manyeyes.core.journal import Journal; Journal({str(tmp_path)!r}).append('b.c')"
    with Journal(tmp_path) as journal:
        journal.append("a.b")
        with pytest.raises(JournalError, match="another process is writing this run") as caught:
            Journal(tmp_path)
        assert "\n" not in str(caught.value)
        assert b"JournalError" in subprocess.run([sys.executable, "-c", other], capture_output=True).stderr
        journal.append("a.c")
    with Journal(tmp_path) as journal:
        assert journal.count == 2


def test_a_journal_that_cannot_be_read_is_not_left_locked(tmp_path) -> None:
    (tmp_path / EVENTS).write_text("nonsense\n")
    for _ in range(2):
        with pytest.raises(JournalError, match="line 1"):
            Journal(tmp_path)
