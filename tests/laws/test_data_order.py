"""Laws of App. C.1: the order of the data is planned, so nothing that happens to a run can change it."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.data.fake_source import FakeSource
from manyeyes.data.loader import LoadedBatch, Loader
from manyeyes.data.mixture import Mixture, Segment, constant, late, mid
from manyeyes.data.plan import Entry, PlannedPack, Planner
from manyeyes.data.quarantine import Quarantine

T = 256
SEGMENTS = Mixture((Segment(0, 0.1), Segment(20_000, 0.4, {"web": 3.0}), Segment(50_000, 0.25)))


def sources(*, broken: bool = False) -> list[FakeSource]:
    return [
        FakeSource("ocr", lengths(40, 101, 1), domain="vision", broken=range(0, 101, 9) if broken else ()),
        FakeSource("video", lengths(110, 37, 2), domain="vision"),
        FakeSource("web", lengths(60, 230, 3), broken=range(0, 230, 7) if broken else ()),
        FakeSource("code", lengths(90, 64, 4)),
    ]


def lengths(mean: int, size: int, seed: int) -> list[int]:
    draws = np.random.default_rng(seed).lognormal(np.log(mean) - 0.32, 0.8, size)
    return np.clip(draws, 1, T).astype(int).tolist()


def planner(mixture: Mixture = SEGMENTS, **changed: Any) -> Planner:
    return Planner(
        sources(broken=changed.pop("broken", False)), mixture, **{"row_length": T, "seed": 11, "window": 16, **changed}
    )


def resumed(state: dict[str, Any], mixture: Mixture = SEGMENTS) -> Planner:
    return Planner.from_state(json.loads(json.dumps(state)), sources(), mixture, row_length=T, seed=11, window=16)


def drawn(mixture: Mixture, packs: int, **changed: Any) -> list[Entry]:
    """Entries in drawn order: a window of one sample closes rows without reordering."""
    return [entry for pack in planner(mixture, window=1, **changed).take(packs) for entry in pack.entries]


@given(
    ratios=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    gap=st.integers(500, 8000),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=40)
def test_the_vision_ratio_holds_at_every_prefix_of_every_segment(ratios: list[float], gap: int, seed: int) -> None:
    mixture = Mixture(tuple(Segment(number * gap, ratio) for number, ratio in enumerate(ratios)))
    longest = max(source.length(i, 0) for source in sources() for i in range(len(source)))
    tokens = vision = number = began = 0
    for entry in drawn(mixture, 150, seed=seed):
        if mixture.segment_at(tokens) != number:
            number, began, vision = mixture.segment_at(tokens), tokens, 0
        tokens += entry.length
        vision += entry.length * (entry.source in ("ocr", "video"))
        assert abs(vision - ratios[number] * (tokens - began)) <= longest


@pytest.mark.parametrize("strategy", [mid, late])
def test_text_comes_first_until_fusion_begins(strategy: Any) -> None:
    budget = 40_000
    tokens = vision = 0
    for entry in drawn(strategy(budget), 250):
        if tokens >= budget:
            break
        is_vision = entry.source in ("ocr", "video")
        assert not (is_vision and tokens < strategy(budget).segments[1].start)
        tokens += entry.length
        vision += entry.length * is_vision
    assert vision / tokens == pytest.approx(0.1, abs=2 * T / budget)


def test_a_plan_killed_at_fifty_random_points_goes_on_identically() -> None:
    uninterrupted = planner().take(1000)
    kills = sorted(random.Random(5).sample(range(1000), 50))
    largest = 0
    current, packs = planner(), []
    for kill in kills:
        packs += current.take(kill - len(packs))
        state = current.state()
        largest = max(largest, len(json.dumps(state)))
        current = resumed(state)
    packs += current.take(1000 - len(packs))
    assert packs == uninterrupted
    assert largest < 4096


@given(kill=st.integers(0, 300), window=st.integers(1, 80))
@settings(deadline=None, max_examples=40)
def test_a_restored_state_is_the_state(kill: int, window: int) -> None:
    made = planner(window=window)
    made.take(kill)
    state = json.loads(json.dumps(made.state()))
    again = made.at(state)
    assert again.state() == made.state() and again.take(20) == made.take(20)


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_ranks_and_workers_do_not_change_the_global_order(world_size: int, workers: int) -> None:
    expected = [tuple(entry.name for entry in pack.entries) for pack in planner().take(24)]
    rows: dict[int, tuple[str, ...]] = {}
    states = []
    for rank in range(world_size):
        loader = Loader(
            planner(), rows_per_batch=4 // world_size, pad_id=0, rank=rank, world_size=world_size, workers=workers
        )
        with loader:
            batches = [next(loader) for _ in range(6)]
        assert all(index % world_size == rank for loaded in batches for index in loaded.packs)
        rows.update((i, names) for loaded in batches for i, names in zip(loaded.packs, loaded.batch.names, strict=True))
        states.append([loaded.state for loaded in batches])
    assert [rows[index] for index in range(24)] == expected
    assert all(state == states[0] for state in states)


@given(
    turns=st.lists(
        st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(1, 3), st.sampled_from([0, 2]), st.integers(1, 3)),
        max_size=5,
    )
)
@settings(deadline=None, max_examples=15)
def test_a_run_may_change_ranks_rows_and_workers_at_every_resume(turns: list[tuple[int, int, int, int]]) -> None:
    state = planner().state()
    rows: dict[int, tuple[str, ...]] = {}
    for world_size, rows_per_batch, workers, steps in turns:
        after = []
        for rank in range(world_size):
            batches = batches_of(resumed(state), rows_per_batch, rank, world_size, workers, steps)
            for loaded in batches:
                rows.update(zip(loaded.packs, loaded.batch.names, strict=True))
            after.append(batches[-1].state)
        assert all(one == after[0] for one in after)
        state = after[0]
    expected = planner().take(len(rows))
    assert [rows[pack.index] for pack in expected] == [tuple(e.name for e in pack.entries) for pack in expected]


def batches_of(made: Planner, rows: int, rank: int, world_size: int, workers: int, count: int) -> list[LoadedBatch]:
    with Loader(made, rows_per_batch=rows, pad_id=0, rank=rank, world_size=world_size, workers=workers) as loader:
        return [next(loader) for _ in range(count)]


@given(
    kill=st.integers(1, 200),
    ratio=st.floats(0, 1),
    weights=st.dictionaries(st.sampled_from(["ocr", "web", "code"]), st.floats(0.1, 10), max_size=3),
)
@settings(deadline=None, max_examples=40)
def test_a_ratio_changed_by_hand_repeats_nothing_and_skips_nothing(
    kill: int, ratio: float, weights: dict[str, float]
) -> None:
    made = planner()
    before = made.take(kill)
    later = resumed(made.state(), constant(ratio, weights=weights))
    after = later.take(200)
    assert after[0].index == kill
    assert_contiguous([*before, *after], later)


def assert_contiguous(packs: list[PlannedPack], after: Planner) -> None:
    """Each source's draws 0, 1, 2, ... are in the packs or still wait, each exactly once."""
    seen: dict[str, list[int]] = {}
    for entry in [*(e for pack in packs for e in pack.entries), *after._window.waiting]:
        seen.setdefault(entry.source, []).append(entry.draw)
    for draws in seen.values():
        assert sorted(draws) == list(range(len(draws)))


def test_a_changed_ratio_takes_effect_at_once() -> None:
    made = planner(constant(0.1), window=1)
    made.take(100)
    later = Planner.from_state(made.state(), sources(), constant(0.5), row_length=T, seed=11, window=1)
    vision = tokens = 0
    for entry in [e for pack in later.take(200) for e in pack.entries][1:]:  # the first was drawn before
        tokens += entry.length
        vision += entry.length * (entry.source in ("ocr", "video"))
        assert abs(vision - 0.5 * tokens) <= T


@given(
    tables=st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=30), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    window=st.integers(1, 40),
)
@settings(deadline=None, max_examples=60)
def test_each_sample_is_in_exactly_one_pack_per_epoch(tables: list[list[int]], seed: int, window: int) -> None:
    made = [FakeSource(f"s{n}", table) for n, table in enumerate(tables)]
    caps = {source.name: 2.0 for source in made}
    plan = Planner(made, Mixture((Segment(0, 0.0),), caps, finite=True), row_length=64, seed=seed, window=window)
    packs = list(plan)
    assert all(0 < pack.tokens <= 64 for pack in packs)
    counts = Counter((e.source, e.epoch, e.index) for pack in packs for e in pack.entries)
    assert counts == {(s.name, epoch, i): 1 for s in made for epoch in (0, 1) for i in range(len(s))}


@pytest.mark.parametrize(("first", "second"), [((1, 0), (1, 3)), ((1, 2), (2, 1)), ((4, 1), (2, 0))])
def test_the_quarantine_survives_a_resume_with_other_ranks(tmp_path: Path, first: tuple, second: tuple) -> None:
    def run(folder: Path, turns: list[tuple[int, int, int]]) -> tuple[set[Any], dict[int, bytes]]:
        state, rows = planner(broken=True).state(), {}
        for world_size, workers, steps in turns:
            made = [planner(broken=True).at(state) for _ in range(world_size)]
            for rank, plan in enumerate(made):
                quarantine = Quarantine(folder, rank=rank)
                with Loader(
                    plan,
                    rows_per_batch=4 // world_size,
                    pad_id=0,
                    rank=rank,
                    world_size=world_size,
                    workers=workers,
                    quarantine=quarantine,
                ) as loader:
                    for _ in range(steps):
                        loaded = next(loader)
                        rows.update((i, loaded.batch.ids_BT[n].tobytes()) for n, i in enumerate(loaded.packs))
            state = loaded.state
        return set(Quarantine(folder).failures), rows

    whole = run(tmp_path / "whole", [(1, 0, 12)])
    assert whole == run(tmp_path / "cut", [(*first, 5), (*second, 7)])
    assert len(whole[0]) > 10


CHILD = textwrap.dedent(
    """
    import json, os, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_data_order import SEGMENTS, T, planner
    from manyeyes.data.loader import Loader
    from manyeyes.data.quarantine import Quarantine

    folder, workers = Path(sys.argv[2]), int(sys.argv[3])
    made = planner(broken=True)
    if (folder / "state.json").exists():
        made = made.at(json.loads((folder / "state.json").read_text()))
    with (folder / "began.txt").open("a") as began:
        began.write(str(made.packs) + chr(10))
    log = (folder / "log.jsonl").open("a")
    with Loader(made, rows_per_batch=2, pad_id=0, workers=workers, quarantine=Quarantine(folder)) as loader:
        for number, loaded in enumerate(loader):
            for index, names, ids in zip(loaded.packs, loaded.batch.names, loaded.batch.ids_BT):
                log.write(json.dumps([index, names, ids.tolist()]) + chr(10))
            log.flush()
            if number == 5:
                (folder / "under-way").touch()
            if number % 3 == 2:
                (folder / "state.tmp").write_text(json.dumps(loaded.state))
                os.replace(folder / "state.tmp", folder / "state.json")
    """
)


KILL_SEED = int(os.environ.get("MANYEYES_KILL_SEED", "7"))
"""Of the moments at which processes are killed; another one searches further."""


def test_a_process_killed_at_random_moments_sees_the_same_data(tmp_path: Path) -> None:
    moments = random.Random(KILL_SEED)
    saved = [0]
    for workers in (2, 0, 3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path), str(workers)])
        wait_for(tmp_path / "under-way", child)
        wait = moments.uniform(0.0, 0.3)
        print(f"MANYEYES_KILL_SEED={KILL_SEED}: {workers} workers, killed {wait:.3f} s after the sixth batch")
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(timeout=10) == -signal.SIGKILL
        cut_last_line(tmp_path / "log.jsonl")
        (tmp_path / "under-way").unlink()
        saved.append(json.loads((tmp_path / "state.json").read_text())["packs"])
    began = [int(line) for line in (tmp_path / "began.txt").read_text().split()]
    assert began == saved[:-1]  # each went on from what the one before had saved,
    assert saved == sorted(set(saved))  # which was further on every time
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    seen: dict[int, list[Any]] = {}
    for index, names, ids in lines:
        assert seen.setdefault(index, [names, ids]) == [names, ids]
    assert sorted(seen) == list(range(len(seen)))
    with Loader(planner(broken=True), rows_per_batch=1, pad_id=0, workers=0) as loader:
        for index in range(len(seen)):
            loaded = next(loader)
            assert [list(loaded.batch.names[0]), loaded.batch.ids_BT[0].tolist()] == seen[index]


def wait_for(path: Path, child: subprocess.Popen) -> None:
    """Until the child has made the file (it needs a second to start)."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def cut_last_line(path: Path) -> None:
    text = path.read_text()
    path.write_text(text[: text.rfind("\n") + 1])
