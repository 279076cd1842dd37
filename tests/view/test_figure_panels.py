"""Panels of curves: drawings that stand alone, with what they were given in them."""

import re
import xml.etree.ElementTree as ET

from manyeyes.view.figure_panels import COLOURS, Panel, Series, colours_of, document, panels_figure

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*panels: Panel) -> ET.Element:
    return ET.fromstring(document(panels_figure(panels, label="a figure")))


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", path)]


def test_a_line_joins_its_points_and_steps_hold_their_values() -> None:
    xs, ys = [0.0, 1.0, 2.0], [0.0, 5.0, 10.0]
    root = drawn(Panel("P", "x", [Series("swarm", xs, ys), Series("single", xs, ys, form="steps")]))
    line, steps = (path.attrib["d"] for path in root.iter(f"{SVG}path"))
    places = numbers(line)
    assert places[::2] == sorted(places[::2]) and places[1::2] == sorted(places[1::2], reverse=True)
    assert re.fullmatch(r"M[\d. ]+(H[\d.]+V[\d.]+){2}", steps) and numbers(steps)[-1] == places[-1]
    assert len(list(root.iter(f"{SVG}circle"))) == 3


def test_names_stand_once_in_the_legend_and_are_escaped() -> None:
    one = Series("<a> & b", [0.0, 1.0], [1.0, 2.0])
    root = drawn(Panel("P", "x", [one]), Panel("Q", "x", [one]))
    assert [text.text for text in root.iter(f"{SVG}text")].count("<a> & b") == 1


def test_colours_belong_to_names() -> None:
    names = ["single", "swarm", "swarm, what its agents know together", "to the end", "to F1 70%"]
    colours = colours_of([Panel("P", "x", [Series(name, [1.0], [1.0]) for name in names])])
    assert colours["swarm"] == colours[names[2]] == COLOURS["swarm"] != colours["single"]
    assert len({colours["to the end"], colours["to F1 70%"], *COLOURS.values()}) == 2 + len(set(COLOURS.values()))


def test_axes_hold_the_ranges_and_shares_are_percent() -> None:
    root = drawn(
        Panel("P", "steps", [Series("swarm", [0, 50], [0, 1])], percent=True, y_range=(0, 1), x_range=(0, 100))
    )
    written = [text.text for text in root.iter(f"{SVG}text")]
    assert {"0%", "100%", "0", "100", "steps", "P"} <= set(written)


def test_a_panel_without_points_says_so() -> None:
    written = [text.text for text in drawn(Panel("P", "x", [Series("swarm", [], [])])).iter(f"{SVG}text")]
    assert "nothing measured" in written and "swarm" not in written


def test_a_band_spans_the_lowest_and_the_highest_and_the_axis_holds_it() -> None:
    one = Series("swarm", [0.0, 1.0], [0.2, 0.4], low=[0.1, 0.3], high=[0.3, 0.9])
    band, line = drawn(Panel("P", "x", [one])).iter(f"{SVG}path")
    assert band.attrib["d"].endswith("Z") and len(numbers(band.attrib["d"])) == 8 and "opacity" in band.attrib
    places = numbers(line.attrib["d"])
    assert min(numbers(band.attrib["d"])[1::2]) < min(places[1::2]) and min(numbers(band.attrib["d"])[1::2]) > 34


def test_points_stand_alone_with_a_bar_through_each_over_their_names() -> None:
    one = Series("swarm", [1.0, 2.0], [0.2, 0.4], "points", low=[0.1, 0.3], high=[0.3, 0.5])
    root = drawn(Panel("P", "", [one], x_names=("deep", "wide"), x_range=(0.5, 2.5)))
    assert not list(root.iter(f"{SVG}path")) and len(list(root.iter(f"{SVG}circle"))) == 2
    upright = [line for line in root.iter(f"{SVG}line") if line.attrib["x1"] == line.attrib["x2"]]
    assert len(upright) == 2
    assert {"deep", "wide"} <= {text.text for text in root.iter(f"{SVG}text")}


def test_panels_stand_in_rows_and_a_long_legend_takes_more_lines() -> None:
    panels = [Panel(f"P{n}", "x", [Series("a series of a long name " * 2 + str(n), [0, 1], [0, 1])]) for n in range(5)]
    root = ET.fromstring(document(panels_figure(panels, label="a figure", columns=2)))
    places = [group.attrib["transform"] for group in root.iter(f"{SVG}g")]
    assert len(set(places)) == 5 and len({place.split()[0] for place in places}) == 2
    legend = {line.attrib["y1"] for line in root.findall(f"{SVG}line")}
    assert len(legend) > 1
    assert float(root.attrib["viewBox" if "viewBox" in root.attrib else "viewbox"].split()[3]) > 3 * 240
