"""Code and picture say the same: the code in the answer, rendered again or by other means, gives the picture."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import ImageColor

from manyeyes.data.synthesis.image_code import (
    HtmlCode,
    PlotCode,
    ReactCode,
    SvgCode,
    html_pixels,
    plot_pixels,
    svg_pixels,
)

SVG = "{http://www.w3.org/2000/svg}"


def code_in(text: str) -> str:
    """What stands between the fences of an answer."""
    found = re.fullmatch(r"```\w+\n(.*)\n```", text, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("make", [SvgCode, HtmlCode, PlotCode])
def test_the_code_in_the_answer_renders_to_the_picture(make):
    generator = make(size=4)
    render = {
        SvgCode: svg_pixels,
        HtmlCode: lambda code: html_pixels(code, generator.width, generator.height),
        PlotCode: plot_pixels,
    }[make]
    for i in range(4):
        record = generator.record(i)
        code = code_in(record.turns[-1].pieces[0])
        assert code == record.truth
        assert np.array_equal(render(code), record.media[0].pixels())


def test_svg_shapes_are_where_and_what_their_attributes_say():
    generator = SvgCode(size=80, elements=(1, 1))
    checked = 0
    for i in range(80):
        record = generator.record(i)
        ground, figure = ET.fromstring(record.truth or "")
        pixels = record.media[0].pixels()
        if (
            figure.tag not in (f"{SVG}circle", f"{SVG}ellipse", f"{SVG}polygon", f"{SVG}rect")
            or "stroke" in figure.attrib
        ):
            continue
        get = {key: float(value) for key, value in figure.attrib.items() if re.fullmatch(r"[\d.]+", value)}
        if "cx" in get:
            x, y = get["cx"], get["cy"]
        elif "points" in figure.attrib:
            corners = [tuple(map(float, pair.split(","))) for pair in figure.attrib["points"].split()]
            x, y = np.mean(corners, axis=0)
        else:
            x, y = get["x"] + get["width"] / 2, get["y"] + get["height"] / 2
        assert tuple(pixels[int(y), int(x)]) == ImageColor.getrgb(figure.attrib["fill"])
        assert tuple(pixels[0, 0]) == ImageColor.getrgb(ground.attrib["fill"]) or (x < 12 and y < 12)
        checked += 1
    assert checked > 40


def as_html(component: str) -> str:
    """A React component of this module as HTML, by text substitution."""
    arrays = {name: re.findall(r'"([^"]*)"', body) for name, body in re.findall(r"const (\w+) = \[(.*)\];", component)}
    body = component.split("return (\n")[1].rsplit("\n  );", 1)[0]
    for name, items in arrays.items():
        expression = f"{{{name}.map((item) => <li key={{item}}>{{item}}</li>)}}"
        assert expression in body
        body = body.replace(expression, "".join(f"<li>{item}</li>" for item in items))

    def style(match):
        pairs = re.findall(r'(\w+): "([^"]*)"', match[1])
        return 'style="' + ";".join(f"{re.sub('([A-Z])', lambda m: '-' + m[1].lower(), k)}:{v}" for k, v in pairs) + '"'

    return re.sub(r"style=\{\{(.*?)\}\}", style, body)


def test_a_react_component_says_the_same_as_the_html_that_was_rendered():
    generator = ReactCode(size=12, parts=(2, 3))
    lists = 0
    for i in range(12):
        record = generator.record(i)
        component = code_in(record.turns[-1].pieces[0])
        lists += ".map(" in component
        assert np.array_equal(html_pixels(as_html(component), 144, 144), record.media[0].pixels())
    assert lists


def test_colours_of_a_page_are_those_in_its_code():
    generator = HtmlCode(size=12)
    for i in range(12):
        record = generator.record(i)
        ground = re.search(r"background:(\w+);padding", record.truth or "")
        assert ground
        assert tuple(record.media[0].pixels()[1, 1]) == ImageColor.getrgb(ground[1])


def test_bars_of_a_plot_are_as_high_as_its_values():
    generator = PlotCode(size=40)
    done = 0
    for i in range(40):
        record = generator.record(i)
        found = re.search(r'ax\.bar\(\[.*\], \[(.*)\], color="(\w+)"\)', record.truth or "")
        if not found or found[2] == "black" or "grid" in (record.truth or ""):
            continue
        values = [int(value) for value in found[1].split(",")]
        mask = (record.media[0].pixels() == ImageColor.getrgb(found[2])).all(axis=2)
        columns = mask.sum(axis=0)
        starts = np.flatnonzero((columns[1:] > 0) & (columns[:-1] == 0)) + 1
        heights = [columns[start + 3] for start in starts]
        assert np.allclose(np.array(heights) / max(heights), np.array(values) / max(values), atol=0.04)
        done += 1
        if done == 2:
            return
    assert done


def test_from_code_to_picture_the_code_comes_first():
    record = SvgCode(size=1, direction="to_picture").record(0)
    pieces = record.turns[0].pieces
    assert record.is_document and str(pieces[0]).startswith("```svg\n") and pieces[-1] == (0,)
