import json
import math
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.view.chart import (
    HEIGHT,
    MOST_POINTS,
    WIDTH,
    Level,
    Line,
    Span,
    line_chart,
    moving_average,
    thinned,
    ticks,
)

values = st.floats(width=32)
finite = st.floats(min_value=-1e9, max_value=1e9)


def read(figure: str) -> ET.Element:
    return ET.fromstring(figure.replace(" hidden>", ' hidden="">'))


@given(st.lists(values, max_size=60), st.booleans(), st.booleans())
def test_any_values_make_a_well_formed_chart_within_its_frame(ys, smooth, dots) -> None:
    figure = line_chart(
        "t", [Line("<a> & b", list(range(len(ys))), ys, smooth=smooth, dots=dots)], spans=[Span("s", 0, 9)]
    )
    if not any(abs(y) < 1e30 for y in ys):
        assert figure == ""
        return
    for path in read(figure).iter("path"):
        for pair in path.get("d", "").lstrip("M").split("L"):
            x, y = map(float, pair.split())
            assert 0 <= x <= WIDTH and -40 <= y <= HEIGHT + 40


@given(finite, finite)
def test_ticks_are_round_increasing_and_within(a, b) -> None:
    low, high = min(a, b), max(a, b)
    if high - low <= 1e-6 * max(1.0, abs(high), abs(low)):
        return
    found = ticks(low, high)
    room = 1e-6 * (high - low)
    assert 1 <= len(found) <= 7 and found == sorted(set(found))
    assert all(low - room <= tick <= high + room for tick in found)


@given(st.lists(finite, min_size=1, max_size=2000))
def test_thinning_keeps_mean_and_ends(ys) -> None:
    line = thinned(Line("a", list(range(len(ys))), ys))
    assert len(line.xs) <= MOST_POINTS
    if len(ys) <= MOST_POINTS:
        assert list(line.ys) == ys
    slack = 1e-9 * max(1.0, *map(abs, ys))
    assert min(ys) - slack <= min(line.ys) and max(line.ys) <= max(ys) + slack


@given(st.lists(finite, min_size=1, max_size=100), st.integers(0, 10))
def test_a_moving_average_stays_within_its_neighbours(ys, reach) -> None:
    means = moving_average(ys, reach)
    assert len(means) == len(ys)
    for at, mean in enumerate(means):
        around = ys[max(0, at - reach) : at + reach + 1]
        slack = 1e-9 * max(1.0, *map(abs, around))
        assert min(around) - slack <= mean <= max(around) + slack


def test_what_is_not_finite_is_not_drawn() -> None:
    assert line_chart("t", [Line("a", [1, 2], [math.nan, math.inf])]) == ""
    (line,) = json.loads(read(line_chart("t", [Line("a", [1, 2, 3], [1, math.nan, 3])])).find("svg").get("data-chart"))[
        "lines"
    ]
    assert line["x"] == [1, 3] and line["y"] == [1, 3]


def test_a_line_is_cut_where_a_stage_ends() -> None:
    spans = [Span("one", 0, 3), Span("two", 3, 6)]
    figure = line_chart("t", [Line("a", [1, 2, 3, 4, 5, 6], [1, 1, 1, 9, 9, 9])], spans=spans)
    assert [path.get("d").count("L") for path in read(figure).iter("path")] == [2, 2]


def test_levels_and_several_lines_are_named_in_the_legend() -> None:
    figure = line_chart("t", [Line("a", [1], [1]), Line("b", [1], [2])], levels=[Level("blind 67%", 0.67)])
    assert all(name in figure for name in (">a<", ">b<", "blind 67%")) and 'class="level"' in figure
