"""Fact sheets, charts and problems: answers worked out again from the page, its pixels, or by arithmetic."""

import re
from fractions import Fraction

import numpy as np
import pytest
import shapely

from manyeyes.data.record import Box
from manyeyes.data.synthesis.knowledge import BarCharts, FactSheets
from manyeyes.data.synthesis.layout import Bar, Run, Stroke
from manyeyes.data.synthesis.problems import KINDS, Problems
from manyeyes.data.synthesis.scene import COLOURS


@pytest.mark.parametrize(
    "config", [{}, {"width": 112, "height": 112, "rows": (2, 3), "measures": (1, 1), "paragraph": False}]
)
def test_a_fact_sheet_prints_every_answer_or_what_it_follows_from(config):
    generator = FactSheets(size=60, **config)
    for i in range(60):
        plan = generator._draw(np.random.default_rng(i))
        page = generator._page(plan)
        runs = [item for item in page.items if isinstance(item, Run)]
        printed = {run.text for run in runs}
        assert plan.title in printed
        assert {name for name, _ in plan.rows} | {str(v) for _, values in plan.rows for v in values} <= printed
        assert all(0 <= run.box.x0 and run.box.x1 <= page.width and run.box.y1 <= page.height for run in runs)
        for ask, answer in plan.questions:
            if found := re.fullmatch(r"(.+): how far apart are (\w+) and (\w+)\?", ask):
                column = [what for what, *_ in plan.topic.measures].index(found[1])
                values = dict(plan.rows)
                assert int(answer) == abs(values[found[2]][column] - values[found[3]][column])
            elif found := re.search(r"the (largest|smallest) value of (.+)\?", ask):
                column = [what for what, *_ in plan.topic.measures].index(found[2])
                choose = max if found[1] == "largest" else min
                assert answer == choose(plan.rows, key=lambda row: row[1][column])[0]
            elif "How many" in ask:
                assert answer == str(len(plan.rows))
            else:
                assert answer in printed


def test_bars_are_as_high_as_their_values():
    generator = BarCharts(size=60)
    for i in range(60):
        plan = generator._draw(np.random.default_rng(i))
        record = generator._write(plan, "x")
        pixels = record.media[0].pixels()
        heights = []
        for colour in plan.colours:
            mask = (pixels == COLOURS[colour]).all(axis=2)
            heights.append(mask.sum(axis=0).max())
        if "black" in plan.colours:
            continue  # text and axes are black, too
        unit = (generator.height - 17 - 10) / generator.top
        assert [round(height / unit) for height in heights] == list(plan.values)


def test_charts_answer_what_they_show():
    generator = BarCharts(size=100)
    for i in range(100):
        plan = generator._draw(np.random.default_rng(i))
        values = dict(zip(plan.names, plan.values, strict=True))
        for ask, answer in plan.questions:
            if "highest" in ask or "lowest" in ask:
                assert values[answer] == (max if "highest" in ask else min)(values.values())
            elif "sum" in ask:
                assert int(answer) == sum(values.values())
            elif found := re.fullmatch(r"What is the value of (\w)\?", ask):
                assert int(answer) == values[found[1]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_of_a_solution_holds(kind):
    generator = Problems(size=40, kinds=(kind,))
    for i in range(40):
        record = generator.record(i)
        steps, answer = str(record.turns[1].pieces[0]).split("\nAnswer: ")
        assert answer == record.truth
        for part in re.split(r"[,:.] ?", steps):
            sides = [side for side in part.split(" = ") if re.fullmatch(r"[\d+\-×/²() ]+", side)]
            values = [eval(side.replace("×", "*").replace("²", "**2"), {}) for side in sides]
            assert len(set(values)) <= 1
            if len(values) > 1 and kind not in ("angle", "force", "right_triangle"):
                assert Fraction(values[-1]).limit_denominator(1000) is not None


@pytest.mark.parametrize("side", [64, 96, 192])
@pytest.mark.parametrize("kind", KINDS)
def test_problems_are_drawn_within_their_picture(kind, side):
    for i in range(30):
        numbers = KINDS[kind].numbers(np.random.default_rng(i), 20)
        for item in KINDS[kind].items(numbers, float(side)):
            if isinstance(item, Run):
                assert item.box.x0 >= -1 and item.box.x1 <= side + 1 and 0 <= item.box.y0 and item.box.y1 <= side + 1
            elif isinstance(item, Bar):
                assert Box(-1, -1, side + 2, side + 2).x1 >= item.box.x1
            elif isinstance(item, Stroke):
                assert all(-1 <= value <= side + 1 for point in item.points for value in point)


def test_numbers_of_a_problem_stand_in_its_picture():
    for kind in ("sum", "equation", "area", "perimeter", "angle", "right_triangle", "resistor", "force"):
        for i in range(20):
            numbers = KINDS[kind].numbers(np.random.default_rng(i), 20)
            text = " ".join(item.text for item in KINDS[kind].items(numbers, 96.0) if isinstance(item, Run))
            assert all(str(number) in text for number in numbers[:2])


def test_drawn_angles_are_the_angles_that_are_written():
    for i in range(40):
        numbers = KINDS["angle"].numbers(np.random.default_rng(i), 20)
        left, right, apex = next(
            item.points[:3] for item in KINDS["angle"].items(numbers, 96.0) if isinstance(item, Stroke)
        )
        triangle = shapely.Polygon([left, right, apex])
        assert triangle.is_valid
        slope = np.degrees(np.arctan2(left[1] - apex[1], apex[0] - left[0]))
        other = np.degrees(np.arctan2(right[1] - apex[1], right[0] - apex[0]))
        assert abs(slope - numbers[0]) < 0.5 and abs(other - numbers[1]) < 0.5


def test_the_blue_share_of_a_disc_is_the_fraction():
    generator = Problems(size=40, kinds=("fraction",), side=192, split="test")
    for i in range(40):
        record = generator.record(i)
        pixels = record.media[0].pixels().astype(int)
        disc = np.hypot(*np.meshgrid(np.arange(192) - 95.5, np.arange(192) - 95.5)) < 75
        blue = (np.abs(pixels - (30, 60, 160)).max(axis=2) < 10) & disc
        white = (pixels.min(axis=2) > 245) & disc
        assert abs(blue.sum() / (blue.sum() + white.sum()) - float(Fraction(record.truth or "0"))) < 0.02


def test_a_line_has_the_slope_that_is_said():
    generator = Problems(size=30, kinds=("slope",), side=192)
    for i in range(30):
        record = generator.record(i)
        pixels = record.media[0].pixels().astype(int)
        ys, xs = np.nonzero(np.abs(pixels - (30, 60, 160)).max(axis=2) < 10)
        (x0, x1), (y0, y1) = (xs.min(), xs.max()), (ys.min(), ys.max())
        rising = ys[xs == xs.min()].mean() > ys[xs == xs.max()].mean()
        slope = (y1 - y0) / (x1 - x0) * (1 if rising else -1)
        assert abs(slope - int(record.truth or "0")) < 0.25


def test_the_net_force_points_to_the_longer_number():
    for left, right, expected in ((19, 6, "13 N left"), (3, 8, "5 N right"), (4, 4, "0 N")):
        assert KINDS["force"].solved((left, right)).answer == expected
