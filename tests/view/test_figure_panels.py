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
