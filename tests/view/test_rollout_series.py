"""Snapshots for a page: all that is new, never more than fits, and no event lost by leaving some out."""

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.rollouts.snapshot import ROLLOUTS, RolloutSnapshot
from manyeyes.view.rollout_series import SnapshotSeries


def line(number: int) -> bytes:
    return msgspec.json.encode(RolloutSnapshot(at=float(number), seconds=float(number), finished=number)) + b"\n"


class Client:
    """A page, as `source.js` keeps its rows."""

    def __init__(self) -> None:
        self.rows: list[RolloutSnapshot] = []
        self.generation, self.have = -1, 0

    def poll(self, series: SnapshotSeries) -> None:
        series.refresh()
        part = series.since(self.generation, self.have)
        self.rows = [*(self.rows[: part.first] if part.generation == self.generation else []), *part.rows]
        self.generation, self.have = part.generation, max(0, len(self.rows) - 1)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_a_page_that_asks_now_and_then_has_what_one_has_that_asks_once(tmp_path_factory, pieces: list[int]) -> None:
    folder: Path = tmp_path_factory.mktemp("run")
    series, client, number = SnapshotSeries(folder, most=16), Client(), 0
    for count in pieces:
        with (folder / ROLLOUTS).open("ab") as file:
            for _ in range(count):
                file.write(line(number))
                number += 1
        client.poll(series)
        seen = [row.finished for row in client.rows]
        fresh = Client()
        fresh.poll(SnapshotSeries(folder, most=16))
        assert seen == [row.finished for row in fresh.rows] == sorted(set(seen))
        assert len(seen) <= 17 and (not number or (seen[0] == 0 and seen[-1] == number - 1))


def test_a_line_that_is_being_written_or_was_cut_is_left_out(tmp_path: Path) -> None:
    series = SnapshotSeries(tmp_path)
    series.refresh()
    assert series.latest is None and series.since(-1, 0).rows == []
    (tmp_path / ROLLOUTS).write_bytes(line(0) + line(1)[:-9])
    series.refresh()
    assert [row.finished for row in series.rows] == [0]
    with (tmp_path / ROLLOUTS).open("ab") as file:
        file.write(b"\n" + line(2))
    series.refresh()
    assert [row.finished for row in series.rows] == [0, 2]
