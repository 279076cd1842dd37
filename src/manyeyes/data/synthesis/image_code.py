"""Image and code that draws it: SVG, HTML, React and plotting code, each picture the true rendering of its code.

SVG is rendered by resvg, HTML by Blitz (a browser engine without scripts), plots by running the code in matplotlib. A
React component is written from the same tree as the HTML that is rendered, so both say the same. Fonts are given to the
renderers as files, never taken from the system.

Report: App. B.3 (image-code pairs: HTML, React, SVG and their renderings).
"""

import importlib
import io
import threading
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.picture import Picture
from manyeyes.data.record import Record, Shown
from manyeyes.data.synthesis.fonts import dejavu
from manyeyes.data.synthesis.generator import Generator, assistant, between, document, pick, some, user
from manyeyes.data.synthesis.scene import boxes
from manyeyes.data.synthesis.words import LANGUAGES

Direction = Literal["to_code", "to_picture"]
_NAMED = ("red", "green", "blue", "black", "gray", "teal", "brown", "orange", "purple", "pink", "gold", "navy")
_DARK = ("red", "green", "blue", "black", "teal", "brown", "purple", "navy")
_PALE = ("white", "ivory", "azure", "beige", "lavender", "mintcream", "seashell")
_matplotlib = threading.Lock()
"""matplotlib's text and font caches are not made for threads."""


class Code(NamedTuple):
    """Source text, and what is rendered where that differs (the HTML of a React component)."""

    source: str
    rendered: str


@dataclass(frozen=True, kw_only=True)
class CodeGenerator(Generator[Code]):
    """Pairs of a picture and its code.

    Attributes:
        direction: "to_code" asks for the code of a picture; "to_picture" is a document: code, then its picture.
    """

    width: int = 96
    height: int = 96
    direction: Direction = "to_code"
    kind: ClassVar[str] = "knowledge"
    language: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.direction not in ("to_code", "to_picture"):
            raise ConfigError(f"{self.name}: direction must be to_code or to_picture, got {self.direction!r}")

    def _pair(self, code: Code, picture: Picture, name: str) -> Record:
        fenced = f"```{self.language}\n{code.source}\n```"
        if self.direction == "to_picture":
            return Record(name, document(fenced, "\n", Shown(0)), (picture,))
        ask = f"Write the {_SPOKEN[self.language]} code of this picture."
        return Record(name, (user(Shown(0), ask), assistant(fenced)), (picture,), truth=code.source)


_SPOKEN = {"svg": "SVG", "html": "HTML", "jsx": "React", "python": "matplotlib"}


@dataclass(frozen=True, kw_only=True)
class SvgCode(CodeGenerator):
    """SVG of `elements[0]` to `elements[1]` shapes, lines and words."""

    elements: tuple[int, int] = (1, 4)
    name: str = "synthetic/knowledge/svg_code"
    language: ClassVar[str] = "svg"

    def _draw(self, rng: np.random.Generator) -> Code:
        width, height = self.width, self.height
        count = between(rng, *self.elements)
        placed = None
        while placed is None:
            placed = boxes(rng, [pick(rng, ("circle", "rectangle", "ellipse")) for _ in range(count)], width, height)
        lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">']
        lines.append(f'<rect width="{width}" height="{height}" fill="{pick(rng, _PALE)}"/>')
        lines += [_element(rng, width, *(int(side) for side in box)) for box in placed]
        source = "\n".join((*lines, "</svg>"))
        return Code(source, source)

    def _write(self, plan: Code, name: str) -> Record:
        return self._pair(plan, Picture.lazy(self.width, self.height, partial(svg_pixels, plan.rendered)), name)


def _element(rng: np.random.Generator, width: int, x0: int, y0: int, x1: int, y1: int) -> str:
    """One SVG element that fills a box of a picture `width` wide; a word of four letters may be wider than its box."""
    colour, w, h = pick(rng, _NAMED), x1 - x0, y1 - y0
    if rng.random() < 0.2:
        x, size, word = max(min(x0, width - 48), 0), min(max(h, 12), 16), pick(rng, _SHORT)
        return f'<text x="{x}" y="{y1}" font-size="{size}" fill="{pick(rng, _DARK)}">{word}</text>'
    paint = f'fill="{colour}"' if rng.random() < 0.8 else f'fill="none" stroke="{colour}" stroke-width="2"'
    if w == h:
        return f'<circle cx="{x0 + w / 2:g}" cy="{y0 + h / 2:g}" r="{w / 2:g}" {paint}/>'
    kind = pick(rng, ("rect", "ellipse", "polygon", "line"))
    if kind == "rect":
        corner = f' rx="{between(rng, 2, 5)}"' if rng.random() < 0.3 else ""
        return f'<rect x="{x0}" y="{y0}" width="{w}" height="{h}"{corner} {paint}/>'
    if kind == "ellipse":
        return f'<ellipse cx="{x0 + w / 2:g}" cy="{y0 + h / 2:g}" rx="{w / 2:g}" ry="{h / 2:g}" {paint}/>'
    if kind == "polygon":
        return f'<polygon points="{x0 + w / 2:g},{y0} {x1},{y1} {x0},{y1}" {paint}/>'
    return f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="{colour}" stroke-width="{between(rng, 1, 4)}"/>'


_SHORT = tuple(word for word in LANGUAGES["en"].words if len(word) <= 4)


def svg_pixels(source: str) -> NDArray[np.uint8]:
    """The rendering of an SVG document by resvg: uint8 [height, width, 3]."""
    resvg = needed("resvg_py", "resvg-py")
    png = resvg.svg_to_bytes(
        svg_string=source,
        background="#ffffff",
        skip_system_fonts=True,
        font_files=[str(dejavu("sans"))],
        font_family="DejaVu Sans",
    )
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


class Node(NamedTuple):
    """An element of a page: a tag, its style, and text or further nodes."""

    tag: str
    inside: "str | tuple[Node, ...]"
    style: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class HtmlCode(CodeGenerator):
    """Small web pages: a heading, then paragraphs, lists, tables and buttons.

    Attributes:
        parts: fewest and most parts below the heading.
    """

    width: int = 144
    height: int = 144
    parts: tuple[int, int] = (1, 2)
    name: str = "synthetic/knowledge/html_code"
    language: ClassVar[str] = "html"

    def _draw(self, rng: np.random.Generator) -> Code:
        tree = self._tree(rng)
        return Code(html(tree), html(tree))

    def _tree(self, rng: np.random.Generator) -> Node:
        parts = [pick(rng, _PARTS)(rng) for _ in range(between(rng, *self.parts))]
        heading = Node("h3", _words(rng, 1, 2).capitalize(), (("color", pick(rng, _DARK)), ("margin", "0")))
        return Node("div", (heading, *parts), (("background", pick(rng, _PALE)), ("padding", "4px")))

    def _write(self, plan: Code, name: str) -> Record:
        load = partial(html_pixels, plan.rendered, self.width, self.height)
        return self._pair(plan, Picture.lazy(self.width, self.height, load), name)


@dataclass(frozen=True, kw_only=True)
class ReactCode(HtmlCode):
    """The same pages written as a React component; lists come from an array."""

    name: str = "synthetic/knowledge/react_code"
    language: ClassVar[str] = "jsx"

    def _draw(self, rng: np.random.Generator) -> Code:
        tree = self._tree(rng)
        return Code(react(tree), html(tree))


def _words(rng: np.random.Generator, low: int, high: int) -> str:
    return " ".join(some(rng, _SHORT, between(rng, low, high)))


def _paragraph(rng: np.random.Generator) -> Node:
    style = (("color", pick(rng, _DARK)),) if rng.random() < 0.5 else ()
    return Node("p", _words(rng, 2, 5), (*style, ("margin", "4px 0")))


def _list(rng: np.random.Generator) -> Node:
    items = tuple(Node("li", word) for word in some(rng, _SHORT, between(rng, 2, 3)))
    return Node(pick(rng, ("ul", "ol")), items, (("margin", "2px 0"), ("padding-left", "24px")))


def _table(rng: np.random.Generator) -> Node:
    edge = (("border", "1px solid black"),)
    rows = tuple(
        Node("tr", (Node("td", pick(rng, _SHORT), edge), Node("td", str(between(rng, 0, 99)), edge)))
        for _ in range(between(rng, 1, 3))
    )
    return Node("table", (Node("tbody", rows),))


def _button(rng: np.random.Generator) -> Node:
    return Node("button", pick(rng, _SHORT).capitalize(), (("background", pick(rng, _PALE)),))


def _block(rng: np.random.Generator) -> Node:
    size = (("width", f"{8 * between(rng, 3, 12)}px"), ("height", f"{4 * between(rng, 3, 8)}px"))
    return Node("div", "", (("background", pick(rng, _NAMED)), *size))


_PARTS = (_paragraph, _list, _table, _button, _block)


def html(node: Node, depth: int = 0) -> str:
    """A node as HTML, two spaces a level."""
    style = f' style="{";".join(f"{key}:{value}" for key, value in node.style)}"' if node.style else ""
    return _markup(node, style, depth, html)


def react(tree: Node) -> str:
    """A node as a React component. A list of plain items becomes an array and a map."""
    arrays: list[str] = []
    body = _jsx(tree, 2, arrays)
    return "\n".join(("export default function App() {", *arrays, "  return (", body, "  );", "}"))


def _jsx(node: Node, depth: int, arrays: list[str] | None = None) -> str:
    arrays = [] if arrays is None else arrays
    entries = ", ".join(f'{_camel(key)}: "{value}"' for key, value in node.style)
    style = f" style={{{{{entries}}}}}" if entries else ""
    if node.tag in ("ul", "ol") and not isinstance(node.inside, str):
        name = f"items{len(arrays) + 1}"
        arrays.append(f"  const {name} = [{', '.join(f'{chr(34)}{item.inside}{chr(34)}' for item in node.inside)}];")
        item = f"{{{name}.map((item) => <li key={{item}}>{{item}}</li>)}}"
        return f"{'  ' * depth}<{node.tag}{style}>{item}</{node.tag}>"
    return _markup(node, style, depth, partial(_jsx, arrays=arrays))


def _markup(node: Node, attributes: str, depth: int, inner: Any) -> str:
    pad = "  " * depth
    if isinstance(node.inside, str):
        return f"{pad}<{node.tag}{attributes}>{node.inside}</{node.tag}>"
    children = "\n".join(inner(child, depth + 1) for child in node.inside)
    return f"{pad}<{node.tag}{attributes}>\n{children}\n{pad}</{node.tag}>"


def _camel(key: str) -> str:
    head, *tail = key.split("-")
    return head + "".join(word.capitalize() for word in tail)


def html_pixels(source: str, width: int, height: int) -> NDArray[np.uint8]:
    """The rendering of HTML by Blitz in a window of the given size: uint8 [height, width, 3]."""
    blitz = needed("blitz_py", "blitz-py")
    style = "html{font-family:'DejaVu Sans';font-size:14px}body{margin:0}button{font-family:'DejaVu Sans'}"
    w, h, data = blitz.render_rgba(
        source, width=width, height=height, css=style, fonts=_html_fonts(), default_font_family="DejaVu Sans"
    )
    return np.frombuffer(data, np.uint8).reshape(h, w, 4)[:, :, :3].copy()


@cache
def _html_fonts() -> list[bytes]:
    return [dejavu(face).read_bytes() for face in ("sans", "bold")]


@dataclass(frozen=True, kw_only=True)
class PlotCode(CodeGenerator):
    """Plots: bars, lines, points, pies and steps, by matplotlib's object interface.

    The picture comes from running the code, which this module wrote itself.
    """

    width: int = 224
    height: int = 160
    name: str = "synthetic/knowledge/plot_code"
    language: ClassVar[str] = "python"

    def _draw(self, rng: np.random.Generator) -> Code:
        count = between(rng, 3, 5)
        values = [between(rng, 1, 9) for _ in range(count)]
        names = [word.capitalize() for word in some(rng, _SHORT, count)]
        colour = pick(rng, ("red", "green", "blue", "black", "orange", "purple"))
        lines = [
            "from matplotlib.figure import Figure",
            "",
            f"fig = Figure(figsize=({self.width / 100:g}, {self.height / 100:g}), dpi=100)",
            "ax = fig.add_axes((0.22, 0.2, 0.74, 0.64))",
            pick(rng, _PLOTS).format(names=names, values=values, range=list(range(count)), colour=colour),
            f'ax.set_title("{_words(rng, 1, 2).capitalize()}")',
        ]
        if "pie" not in lines[4] and rng.random() < 0.5:
            lines.append(f'ax.set_ylabel("{pick(rng, _SHORT)}")')
        if "pie" not in lines[4] and rng.random() < 0.3:
            lines.append("ax.grid(True)")
        source = "\n".join(lines).replace("'", '"')
        return Code(source, source)

    def _write(self, plan: Code, name: str) -> Record:
        load = partial(plot_pixels, plan.rendered)
        return self._pair(plan, Picture.lazy(self.width, self.height, load), name)


_PLOTS = (
    'ax.bar({names}, {values}, color="{colour}")',
    'ax.barh({names}, {values}, color="{colour}")',
    'ax.plot({range}, {values}, color="{colour}")',
    'ax.plot({range}, {values}, "o--", color="{colour}")',
    'ax.scatter({range}, {values}, color="{colour}")',
    'ax.step({range}, {values}, color="{colour}")',
    "ax.pie({values}, labels={names})",
)


def plot_pixels(source: str) -> NDArray[np.uint8]:
    """The figure that plotting code leaves in `fig`, with matplotlib's default style: uint8 [height, width, 3].

    Runs `source`: give it only code that this module wrote.
    """
    matplotlib = needed("matplotlib", "matplotlib")
    agg = needed("matplotlib.backends.backend_agg", "matplotlib")
    names: dict[str, Any] = {}
    with _matplotlib, matplotlib.rc_context():
        matplotlib.rcdefaults()
        exec(compile(source, "<plot>", "exec"), names)
        canvas = agg.FigureCanvasAgg(names["fig"])
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def needed(module: str, package: str) -> Any:
    """A renderer that only these generators use, imported when first drawn with.

    Raises:
        DataError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(f"{package} draws this picture and is not installed; pip install 'manyeyes[demo]'") from error
