import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.sample import Sample
from manyeyes.data.fake_source import FakeSource
from manyeyes.data.loader import LoadedBatch, Loader, Retry
from manyeyes.data.mixture import constant, one_pass
from manyeyes.data.plan import Planner
from manyeyes.data.quarantine import Quarantine

T = 128
PAD = 1
QUICK = Retry(attempts=3, wait=0.001)


def plan(web: FakeSource | None = None, *, seed: int = 0) -> Planner:
    web = web or FakeSource.realistic("web", 60, mean=40, longest=T)
    ocr = FakeSource.realistic("ocr", 40, mean=30, longest=T, domain="vision")
    return Planner([web, ocr], constant(0.3), row_length=T, seed=seed, window=8)


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("manyeyes-")]


def take(loader: Loader, count: int) -> list[LoadedBatch]:
    with loader:
        return [next(loader) for _ in range(count)]


def assert_equal(one: LoadedBatch, other: LoadedBatch) -> None:
    assert one.packs == other.packs and one.state == other.state and one.failures == other.failures
    assert one.batch.names == other.batch.names
    for left, right in zip(one.batch[:4], other.batch[:4], strict=True):
        assert np.array_equal(left, right)
    assert [m.patches.tobytes() for m in one.batch.media] == [m.patches.tobytes() for m in other.batch.media]


def test_batches_hold_what_was_planned() -> None:
    planned = plan().take(12)
    batches = take(Loader(plan(), rows_per_batch=3, pad_id=PAD), 4)
    assert [index for loaded in batches for index in loaded.packs] == list(range(12))
    names = [row for loaded in batches for row in loaded.batch.names]
    assert names == [tuple(entry.name for entry in pack.entries) for pack in planned]
    assert batches[0].batch.ids_BT.shape == (3, T)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_gives_the_same_batches(workers: int) -> None:
    expected = take(Loader(plan(), rows_per_batch=2, pad_id=PAD, workers=0), 10)
    for one, other in zip(
        take(Loader(plan(), rows_per_batch=2, pad_id=PAD, workers=workers), 10), expected, strict=True
    ):
        assert_equal(one, other)


def test_a_broken_record_is_written_down_and_stood_in_for(tmp_path: Path) -> None:
    broken = {3, 17, 40}
    web = FakeSource("web", [20 + n % 30 for n in range(60)], broken=broken)
    good = take(Loader(plan(FakeSource("web", web._lengths)), rows_per_batch=2, pad_id=PAD), 20)
    bad = take(Loader(plan(web), rows_per_batch=2, pad_id=PAD, quarantine=Quarantine(tmp_path)), 20)
    failures = [failure for loaded in bad for failure in loaded.failures]
    assert {failure.index for failure in failures} == broken and {failure.source for failure in failures} == {"web"}
    assert all("cut short" in failure.reason for failure in failures)
    assert Quarantine(tmp_path).failures == failures
    for one, other in zip(good, bad, strict=True):
        assert one.state == other.state and np.array_equal(one.batch.segments_BT, other.batch.segments_BT)
        differ = one.batch.ids_BT != other.batch.ids_BT
        assert (other.batch.ids_BT[differ] == PAD).all() and not other.batch.weights_BT[differ].any()


@pytest.mark.parametrize("workers", [0, 3])
def test_the_quarantine_file_does_not_depend_on_threads(tmp_path: Path, workers: int) -> None:
    texts = []
    for count in (0, workers):
        web = FakeSource("web", [10 + n % 50 for n in range(60)], broken=range(0, 60, 4))
        folder = tmp_path / f"{count}-{len(texts)}"
        take(Loader(plan(web), rows_per_batch=2, pad_id=PAD, workers=count, quarantine=Quarantine(folder)), 15)
        texts.append((folder / "rank-0.jsonl").read_text())
    assert texts[0] == texts[1] and texts[0].count("\n") > 5


def test_a_record_repaired_meanwhile_stays_out_when_resumed(tmp_path: Path) -> None:
    lengths = [10 + n % 50 for n in range(60)]
    broken = FakeSource("web", lengths, broken=range(0, 60, 4))
    first = take(Loader(plan(broken), rows_per_batch=2, pad_id=PAD, quarantine=Quarantine(tmp_path)), 10)
    again = take(
        Loader(plan(FakeSource("web", lengths)), rows_per_batch=2, pad_id=PAD, quarantine=Quarantine(tmp_path)), 10
    )
    for one, other in zip(first, again, strict=True):
        assert_equal(one, other)


def test_a_passing_error_changes_nothing() -> None:
    lengths = [10 + n % 50 for n in range(60)]
    flaky = FakeSource("web", lengths, flaky=range(0, 60, 5))
    one = take(Loader(plan(flaky), rows_per_batch=2, pad_id=PAD, retry=QUICK), 10)
    for left, right in zip(
        one, take(Loader(plan(FakeSource("web", lengths)), rows_per_batch=2, pad_id=PAD), 10), strict=True
    ):
        assert_equal(left, right)


class Unreachable(FakeSource):
    def sample(self, index: int, epoch: int) -> Sample:
        if index == 5:
            raise OSError("no route to host")
        return super().sample(index, epoch)


class Liar(FakeSource):
    def sample(self, index: int, epoch: int) -> Sample:
        return FakeSource("web", [self.length(index, epoch) + (index == 5)] * 60).sample(index, epoch)


class Buggy(FakeSource):
    def sample(self, index: int, epoch: int) -> Sample:
        return super().sample(index // 0, epoch)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (Unreachable, DataError, "web/5@0 failed 3 times: no route to host. Check the storage"),
        (Liar, DataError, r"web/5@0 was planned with 30 tokens and has 31: length\(\) and sample\(\) of source 'web'"),
        (Buggy, ZeroDivisionError, "integer"),
    ],
)
def test_what_is_not_the_record_s_fault_is_raised(kind: type, error: type, message: str, workers: int) -> None:
    loader = Loader(plan(kind("web", [30] * 60)), rows_per_batch=2, pad_id=PAD, workers=workers, retry=QUICK)
    with pytest.raises(error, match=message):
        take(loader, 100)
    assert our_threads() == []


def test_the_state_after_a_failure_is_that_of_the_last_batch() -> None:
    loader = Loader(plan(Unreachable("web", [30] * 60)), rows_per_batch=2, pad_id=PAD, retry=QUICK)
    last = loader.state
    with pytest.raises(DataError):
        for loaded in loader:
            last = loaded.state
    repaired = plan(FakeSource("web", [30] * 60))
    healthy = take(Loader(repaired.at(last), rows_per_batch=2, pad_id=PAD), 3)
    assert healthy[0].packs == (last["packs"], last["packs"] + 1)


def test_planning_errors_come_after_the_batches_before_them() -> None:
    short = Planner([FakeSource("web", [T] * 6)], constant(0.0, epochs={"web": 1}), row_length=T, seed=0, window=1)
    loader = Loader(short, rows_per_batch=1, pad_id=PAD, prefetch=4)
    seen = []
    with pytest.raises(DataError, match="epoch cap"):
        for loaded in loader:
            seen.append(loaded.packs)
    assert seen == [(0,), (1,), (2,), (3,), (4,)] and our_threads() == []


def test_a_finite_plan_ends_with_whole_steps_on_every_rank() -> None:
    def finite() -> Planner:
        return Planner([FakeSource.realistic("web", 50, mean=40, longest=T)], one_pass(["web"]), row_length=T, seed=0)

    per_rank = [list(Loader(finite(), rows_per_batch=2, pad_id=PAD, rank=rank, world_size=3)) for rank in range(3)]
    assert len({len(batches) for batches in per_rank}) == 1
    names = [name for batches in per_rank for b in batches for row in b.batch.names for name in row]
    assert sorted(names) == sorted(f"web/{index}@0" for index in range(50))
    assert all(loaded.batch.ids_BT.shape == (2, T) for batches in per_rank for loaded in batches)


@pytest.mark.parametrize("end", ["close", "drop", "exception"])
def test_no_thread_is_left_behind(end: str) -> None:
    loader = Loader(plan(), rows_per_batch=2, pad_id=PAD, workers=3)
    next(loader)
    assert our_threads()
    if end == "close":
        loader.close()
        loader.close()
        assert next(loader, None) is None
    elif end == "drop":
        del loader
    else:
        with pytest.raises(KeyboardInterrupt), loader:
            raise KeyboardInterrupt
    assert our_threads() == []


def test_closing_does_not_wait_for_retries() -> None:
    slow = Retry(attempts=2, wait=20.0)
    loader = Loader(
        plan(Unreachable("web", [30] * 60)), rows_per_batch=1, pad_id=PAD, workers=2, retry=slow, prefetch=40
    )
    next(loader)
    time.sleep(0.05)
    began = time.monotonic()
    loader.close()
    assert time.monotonic() - began < 5.0


def test_ctrl_c_ends_a_waiting_process(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import signal
        from manyeyes.data.fake_source import FakeSource
        from manyeyes.data.loader import Loader
        from manyeyes.data.mixture import constant
        from manyeyes.data.plan import Planner
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        planner = Planner([FakeSource("web", [30] * 60, delay=0.05)], constant(0.0), row_length=128, seed=0)
        with Loader(planner, rows_per_batch=4, pad_id=0, workers=3) as loader:
            for loaded in loader:
                print("batch", flush=True)
        """
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=120)
    assert child.returncode != 0 and error.decode().strip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize(
    "wrong", [{"rank": 2, "world_size": 2}, {"rows_per_batch": 0}, {"workers": -1}, {"prefetch": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a loader needs"):
        Loader(plan(), **{"rows_per_batch": 1, "pad_id": PAD, **wrong})
