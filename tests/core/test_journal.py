"""The journal: numbered, whole, readable while it grows, and without secrets."""

import os

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
