"""The store: what was appended is there, whatever happened to the process, the index or the disk."""

import errno
import multiprocessing
import os
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from manyeyes.core import trajectory_blobs
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Grid, Media
from manyeyes.core.trajectory import Event, Node, Trajectory
from manyeyes.core.trajectory_blobs import Blobs
from manyeyes.core.trajectory_index import INDEX, TrajectoryIndex
from manyeyes.core.trajectory_segments import segment_path
from manyeyes.core.trajectory_store import TrajectoryStore, TrajectoryStoreError, Wanted
from manyeyes.core.trajectory_summary import WireError


def made(name: str = "t/0/0", *, tokens: int = 8, turns: int = 1, **fields: object) -> Trajectory:
    whole = Trajectory(name, name.rpartition("/")[0], "maze", stop="done", reward=1.0)
    parent = -1
    for turn in range(turns):
        ids = np.arange(tokens, dtype=np.int32) + turn
        given = tokens // 4
        lp, versions = np.full(tokens - given, -0.5, np.float32), np.full(tokens - given, turn, np.int32)
        parent = whole.add(Node(ids, given, lp, versions, parent))
        whole.events.append(Event("tool", float(turn), 0.1, 0, parent, {"name": "shell", "result": "ok"}))
    for field, value in fields.items():
        setattr(whole, field, value)
    return whole


def fill(folder: Path, count: int, **options: int) -> None:
    with TrajectoryStore(folder, **options) as store:  # type: ignore[arg-type]
        for number in range(count):
            store.append(made(f"t/{number}/0", reward=float(number)))


def names(folder: Path) -> list[str]:
    with TrajectoryStore(folder, mode="read") as store:
        return list(store.names())


def test_what_was_appended_is_found_again(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    with TrajectoryStore(tmp_path) as store:
        assert list(store.names()) == [f"t/{n}/0" for n in range(5)]
        assert "t/3/0" in store and "t/9/0" not in store and len(store) == 5
        assert store.get("t/3/0").reward == store.summary("t/3/0").reward == 3.0
        store.append(made("t/9/0"))
        assert "t/9/0" in store and store.get("t/9/0").nodes[0].ids.tolist() == list(range(8))


def test_a_name_is_stored_once(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with TrajectoryStore(tmp_path) as store:
        with pytest.raises(TrajectoryStoreError, match="t/0/0"):
            store.append(made("t/0/0"))
        store.append(made("new"))
        with pytest.raises(TrajectoryStoreError, match="new"):
            store.append(made("new"))
        assert len(store) == 2


def test_find_asks_the_index(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path) as store:
        for number in range(6):
            store.append(made(f"t/{number % 2}/{number}", reward=float(number), turns=number + 1))
        store.append(made("u/0/0", reward=None, stop="failed", environment="shell", masked="a hole"))

        def found(**wanted: object) -> list[str]:
            return [one.name for one in store.find(**wanted)]  # type: ignore[arg-type]

        assert found(task="t/1") == ["t/1/1", "t/1/3", "t/1/5"]
        assert found(min_reward=2, max_reward=3) == ["t/0/2", "t/1/3"]
        assert found(environment="shell") == found(stop="failed") == found(failure="unknown") == ["u/0/0"]
        assert found(version=4) == ["t/0/4", "t/1/5"]
        assert found(order="best", limit=2) == ["t/1/5", "t/0/4"]
        assert found(order="worst", limit=1) == ["t/0/0"]
        assert [one.name for one in store.matching(Wanted(masked=True))] == ["u/0/0"]
        assert [one.name for one in store.matching(Wanted(text="1/", limit=1, offset=1))] == ["t/1/3"]
        assert store.count(Wanted(text="1/", limit=1)) == 3
        assert store.values("stop") == {"done": 6, "failed": 1}
        with pytest.raises(ConfigError, match="newest"):
            found(order="newest; DROP TABLE trajectories")


def test_a_reader_sees_what_a_writer_appends(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path) as writer:
        writer.append(made("a"))
        with TrajectoryStore(tmp_path, mode="read") as reader:
            assert list(reader.names()) == ["a"]
            writer.append(made("b"))
            assert reader.refresh() == 1 and reader.get("b").name == "b"
            assert reader.refresh() == 0
            with pytest.raises(TrajectoryStoreError):
                reader.append(made("c"))


def test_only_one_process_writes(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path), pytest.raises(TrajectoryStoreError, match="another process"):
        TrajectoryStore(tmp_path)


def test_full_segments_are_followed_by_others(tmp_path: Path) -> None:
    fill(tmp_path, 20, segment_bytes=1500)
    assert len(list((tmp_path / "segments").iterdir())) > 3
    assert names(tmp_path) == [f"t/{n}/0" for n in range(20)]
    (tmp_path / INDEX).unlink()
    assert names(tmp_path) == [f"t/{n}/0" for n in range(20)]


@pytest.mark.parametrize("harm", ["missing", "damaged", "damaged inside", "older", "of other segments"])
def test_the_index_is_made_of_the_segments(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "store"
    fill(folder, 3)
    older = (folder / INDEX).read_bytes()
    if harm == "of other segments":
        fill(tmp_path / "other", 30)
        older = (tmp_path / "other" / INDEX).read_bytes()
    with TrajectoryStore(folder) as store:
        store.append(made("late"))
    if harm == "missing":
        (folder / INDEX).unlink()
    elif harm == "damaged inside":
        data = (folder / INDEX).read_bytes()
        (folder / INDEX).write_bytes(data[:4096] + bytes([7]) * (len(data) - 4096))
    else:
        (folder / INDEX).write_bytes(b"no database at all" * 300 if harm == "damaged" else older)
    expected = ["t/0/0", "t/1/0", "t/2/0", "late"]
    assert names(folder) == expected
    with TrajectoryStore(folder) as store:
        assert list(store.names()) == expected
    with sqlite3.connect(folder / INDEX) as base:
        assert base.execute("SELECT COUNT(*) FROM trajectories").fetchone() == (4,)


def test_a_torn_end_is_cut_at_every_byte(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    fill(folder, 1)
    whole = segment_path(folder, 0).read_bytes()
    with TrajectoryStore(folder) as store:
        store.append(made("last", tokens=4))
    both = segment_path(folder, 0).read_bytes()
    for end in range(len(whole), len(both)):
        segment_path(folder, 0).write_bytes(both[:end])
        (folder / INDEX).unlink(missing_ok=True)
        assert names(folder) == ["t/0/0"]  # a reader stops before it
        if end % 19 and end < len(both) - 1:
            continue  # opening for writing takes longer
        with TrajectoryStore(folder) as store:
            assert "last" not in store
            store.append(made("next"))
            assert [one.name for one in store.find()] == ["t/0/0", "next"]


@pytest.mark.parametrize("indexed", [True, False])
def test_zeros_after_a_power_failure_are_cut(tmp_path: Path, indexed: bool) -> None:
    fill(tmp_path, 2)
    with segment_path(tmp_path, 0).open("ab") as file:
        file.write(bytes(5000))
    if not indexed:
        (tmp_path / INDEX).unlink()
    fill_again = TrajectoryStore(tmp_path)
    fill_again.append(made("after"))
    fill_again.close()
    assert names(tmp_path) == ["t/0/0", "t/1/0", "after"]


def test_damage_in_the_middle_is_told_and_never_cut(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    path = segment_path(tmp_path, 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with TrajectoryStore(tmp_path, mode="read") as store:  # the index knows it, and reading it tells
        assert len(store) == 4
        with pytest.raises(TrajectoryStoreError, match=r"wrong|no trajectory"):
            [store.get(name) for name in store.names()]
    (tmp_path / INDEX).unlink()
    with pytest.raises(TrajectoryStoreError, match=r"edited or damaged"):
        TrajectoryStore(tmp_path)
    with TrajectoryStore(tmp_path, mode="read") as store:
        assert list(store.names()) == ["t/0/0", "t/1/0"] and "byte" in store.damage
    assert path.read_bytes() == data


def _append_until_killed(folder: str, told: Connection) -> None:
    store = TrajectoryStore(folder)
    for number in range(10**6):
        store.append(made(f"t/{number}", tokens=40))
        told.send(number)


def test_killed_at_any_moment_every_trajectory_that_was_acknowledged_is_there(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_append_until_killed, args=(str(tmp_path), there))
    process.start()
    while (last := here.recv()) < 700:  # past several batches of the index
        pass
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    there.close()
    while here.poll():
        try:
            last = here.recv()
        except EOFError:
            break
    with TrajectoryStore(tmp_path) as store:
        found = list(store.names())
        assert found[: last + 1] == [f"t/{number}" for number in range(last + 1)] and len(found) - last in (1, 2)
        assert store.get(found[-1]).nodes[0].ids.tolist() == list(range(40))


@pytest.mark.parametrize("room", [0, 10, 200])
def test_a_full_disk_is_told_and_the_store_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    with TrajectoryStore(tmp_path) as store:
        store.append(made("before"))
        real, left = os.write, [room]

        def full(file: int, data: bytes) -> int:
            if not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done = real(file, data[: left[0]])
            left[0] -= done
            return done

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(TrajectoryStoreError, match="the disk is full; free some space"):
            store.append(made("during", turns=4))
        assert list(store.names()) == ["before"] and store.get("before")
        monkeypatch.undo()
        store.append(made("during", turns=4))
    assert names(tmp_path) == ["before", "during"]


def test_an_index_that_cannot_be_written_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with TrajectoryStore(tmp_path) as store:
        monkeypatch.setattr(TrajectoryIndex, "add", full)
        for number in range(600):  # more than a batch
            store.append(made(f"t/{number}/0"))
        with pytest.raises(TrajectoryStoreError, match="disk is full"):
            store.find()
        assert "t/599/0" in store and store.get("t/1/0").reward == 1.0
    monkeypatch.undo()
    assert len(names(tmp_path)) == 600
    with TrajectoryStore(tmp_path) as store:
        assert len(store) == 600


def test_what_the_disk_refuses_later_does_not_pass_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with TrajectoryStore(tmp_path) as store:
        store.append(made("before"))
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(TrajectoryStoreError, match="Input/output error"):
            store.sync()
        monkeypatch.undo()
        store.append(made("after"))
    assert names(tmp_path) == ["before", "after"]


def test_threads_append_and_read_at_once(tmp_path: Path) -> None:
    def work(thread: int, store: TrajectoryStore) -> None:
        for number in range(120):
            store.append(made(f"t/{thread}/{number}", reward=float(number)))
            assert store.get(f"t/{thread}/{number}").reward == number and f"t/{thread}/{number}" in store
            if number % 40 == 0:
                assert store.find(task=f"t/{thread}", order="best", limit=1)[0].reward == number

    with TrajectoryStore(tmp_path, segment_bytes=20_000) as store, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, thread, store) for thread in range(4)]:
            done.result()
    assert sorted(names(tmp_path)) == sorted(f"t/{thread}/{number}" for thread in range(4) for number in range(120))


def test_media_and_long_texts_are_kept_once(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path) as store:
        for number in range(3):
            whole = made(f"t/{number}/0", events=[Event("tool", data={"result": "page " * 5000})])
            picture = Media(np.full((4, 3, 14, 14), 9, np.uint8), Grid(1, 2, 2))
            empty = np.empty(0, np.float32)
            whole.add(Node(np.array([5], np.int32), 1, empty, empty.astype(np.int32), media=(picture,)))
            store.append(whole)
        assert len(list((tmp_path / "blobs").iterdir())) == 2
        found = store.get("t/2/0")
        assert found.events[0].data["result"] == "page " * 5000
        assert (found.nodes[-1].media[0].patches == 9).all()


@pytest.mark.parametrize("name", ["", "../index.sqlite", "/etc/passwd", "A" * 64, "a" * 63, "a" * 64])
def test_a_blob_is_named_by_its_hash_alone(tmp_path: Path, name: str) -> None:
    fill(tmp_path, 1)
    with TrajectoryStore(tmp_path, mode="read") as store, pytest.raises(TrajectoryStoreError):
        store.blob(name)


def test_a_sampled_token_takes_at_most_sixteen_bytes(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path) as store:
        store.append(made("long", tokens=500, turns=40))
    taken = segment_path(tmp_path, 0).stat().st_size / 20_000
    print(f"{taken:.2f} bytes a token of a 20,000-token trajectory, a quarter of it given")
    assert taken <= 16


def test_what_no_text_can_hold_does_not_stop_a_run(tmp_path: Path) -> None:
    with TrajectoryStore(tmp_path) as store:
        said = made("odd", masked="it said \ud800", rewards={"\udfff": 1.0})
        assert store.append(said).masked == "it said ?"
        assert store.get("odd").masked == said.masked and store.get("odd").rewards == said.rewards
        with pytest.raises(WireError, match="UTF-8"):
            store.append(made("\ud800"))


def test_names_too_long_for_a_list_are_refused_and_harm_nothing(tmp_path: Path) -> None:
    """A header of that length would count as damage ever after."""
    with TrajectoryStore(tmp_path) as store:
        with pytest.raises(WireError, match="at most 1,048,576"):
            store.append(made("long", task="t" * 2**24))
        store.append(made("after"))
    (tmp_path / INDEX).unlink()
    assert names(tmp_path) == ["after"]


def test_a_summary_that_was_damaged_is_told(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    path = segment_path(tmp_path, 0)
    data = path.read_bytes()
    with TrajectoryStore(tmp_path, mode="read") as store:
        for harmed, words in ((data[:30], "ends before byte 0"), (b"x" + data[1:], "no trajectory begins")):
            path.write_bytes(harmed)
            with pytest.raises(TrajectoryStoreError, match=words):
                store.summary("t/0/0")
        path.unlink()
        with pytest.raises(TrajectoryStoreError, match="incomplete"):
            store.summary("t/0/0")


def test_a_picture_whose_name_alone_outlived_a_power_failure_is_written_again(tmp_path: Path) -> None:
    said = "page " * 5000
    with TrajectoryStore(tmp_path) as store:
        store.append(made("a", events=[Event("tool", data={"result": said})]))
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.write_bytes(b"")
    with TrajectoryStore(tmp_path) as store:
        store.append(made("b", events=[Event("tool", data={"result": said})]))
        assert store.get("a").events[0].data == store.get("b").events[0].data == {"result": said}


def test_a_blob_that_the_disk_refused_is_waited_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    blobs, name = Blobs(tmp_path), "a" * 64
    blobs.folder.mkdir()
    blobs.keep(name, lambda: b"picture")
    with monkeypatch.context() as patch:
        patch.setattr(trajectory_blobs, "sync_path", broken)
        with pytest.raises(OSError, match="Input/output"):
            blobs.sync()
    synced: list[Path] = []
    monkeypatch.setattr(trajectory_blobs, "sync_path", synced.append)
    blobs.sync()
    blobs.sync()
    assert synced == [blobs.path(name), blobs.folder]


def test_names_of_blobs_are_not_remembered_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trajectory_blobs, "MOST_KNOWN", 3)
    blobs = Blobs(tmp_path)
    blobs.folder.mkdir()
    for number in range(10):
        blobs.keep(f"{number:064x}", lambda: b"text")
        assert len(blobs._known) <= 3
    blobs.keep(f"{0:064x}", lambda: pytest.fail("it is on the disk"))


def test_a_write_that_was_interrupted_leaves_no_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def interrupted(file: int, data: bytes) -> int:
        real(file, data[:20])
        raise KeyboardInterrupt

    with TrajectoryStore(tmp_path) as store:
        store.append(made("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.append(made("b"))
        store.append(made("c"))
    (tmp_path / INDEX).unlink()
    assert names(tmp_path) == ["a", "c"]


def test_nobody_writes_into_a_store_that_was_closed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`close` waits for the frame that is being written, and the next append is refused."""
    store, real = TrajectoryStore(tmp_path), os.write
    begun, go_on = threading.Event(), threading.Event()

    def slow(file: int, data: bytes) -> int:
        begun.set()
        assert go_on.wait(30)
        return real(file, data)

    monkeypatch.setattr(os, "write", slow)
    with ThreadPoolExecutor(2) as pool:
        appended = pool.submit(store.append, made("a"))
        assert begun.wait(30)
        closed = pool.submit(store.close)
        with pytest.raises(TimeoutError):
            closed.result(0.05)
        go_on.set()
        appended.result()
        closed.result()
    with pytest.raises(TrajectoryStoreError, match="is closed"):
        store.append(made("b"))
    assert names(tmp_path) == ["a"]


def test_there_must_be_a_store_to_read(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryStoreError, match="no store"):
        TrajectoryStore(tmp_path, mode="read")
    assert not list(tmp_path.iterdir())
