"""Makes the vocabulary of recipe `tiny`: 1,792 byte strings learned from a mix of all its kinds of text.

    python -m manyeyes.data.tiny_vocabulary src/manyeyes/core/assets/tiny.tiktoken

The corpus is a fixed number of characters of each kind, so that no kind crowds out another: documentation and source
code of scikit-learn and scikit-image, sentences from three tables (countries, elements, airports), questions and
answers of easy-VQA, chat, captions and boxes, sums, markup, and words of five more languages. All of it comes from the
packages of the extra `demo` at their pinned versions and from templates below, so the file is the same on every
machine (fingerprint in tests/core/test_tokenizer.py). It ships: runs on any Python version and machine agree.
"""

import ast
import hashlib
import json
import random
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from csv import DictReader
from itertools import product
from pathlib import Path

from manyeyes.core import seeds
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.tokenizer_training import train
from manyeyes.data.packages import AIRPORTSDATA, COUNTRYINFO, EASY_VQA, MENDELEEV, SCIKIT_IMAGE, SCIKIT_LEARN, Package

N_RANKS = 1792

COLOURS = "red green blue yellow gray black brown teal orange purple white pink".split()
SHAPES = "circle rectangle triangle square star polygon line button icon word number picture box table chart".split()
PLACES = "left of,right of,above,below,on top of,next to,inside,at the top left of,at the bottom right of,near".split(
    ","
)
CHAT = """
Describe the picture. | The picture shows {a} {s} {p} {b} {t}.
What is in this image? | There are {n} {s}s in the image, one of them is {a}.
How many {a} {s}s are there? | There are {n}.
Where is the {a} {s}? | The {a} {s} is at [{x}, {y}, {z}, {w}].
Read the text. | It says "{a} {t} {n}{m}".
What is the number in the picture? | The number is {n}{m}{k}.
Click the {a} {s}. | click(x={x}, y={y})
Please write a short sentence about a {t}. | Here is a sentence: the {a} {t} is {p} the {b} {s}.
Can you explain why? | Yes. First we look at the {s}, then we count: it has {n} sides. So the answer is {m}.
Which one is larger, the {a} {s} or the {b} {t}? | I think that the {b} {t} is larger, because its width is {x}.
Thank you! | You are welcome. What else would you like to know?
What happens in this video? | At first the {a} {s} moves to the left, after {n} seconds it stops {p} the {b} {t}.
I don't know what this is. | Let me look. It's a {s} with {n} corners, so that is what you're asking about.
Fill in the form and press the button. | type(text="{a}{n}"); scroll(direction="down"); press(key="enter"); done()
""".strip().splitlines()
SUMS = """
{n} + {m} = {p}
What is {n} times {m}? {n} * {m} = {t}, so the answer is {t}.
Tom has {n} apples and buys {m} more. How many apples does he have now? He has {n} + {m} = {p} apples.
If x = {n} and y = {m}, then x - y = {d} and x^2 + y^2 = {q}.
Solve {n}x = {t}. Divide both sides by {n}: x = {t} / {n} = {m}.
The area of a rectangle with sides {n} and {m} is {t}, its perimeter is {r}.
""".strip().splitlines()
MARKUP = """
<svg width="{n}" height="{m}" viewBox="0 0 {n} {m}"><circle cx="{x}" cy="{y}" r="{k}" fill="{a}" stroke="{b}"/></svg>
<rect x="{x}" y="{y}" width="{n}" height="{m}" fill="{a}"/><text x="{y}" y="{x}" font-size="{k}">{s}</text>
<line x1="{x}" y1="{y}" x2="{n}" y2="{m}" stroke="{b}" stroke-width="{k}"/><polygon points="{x},{y} {n},{m}"/>
<html><head><title>{s}</title><style>p {{ color: {a}; margin: {k}px; }}</style></head><body><h1>{s}</h1></body></html>
<div class="{s}" style="background: {a}; width: {n}px"><p>{a} {t}</p><a href="#{s}">{t}</a></div>
<table><tr><th>{s}</th><td>{n}</td><td>{m}</td></tr></table><ul><li>{a}</li><li>{b}</li></ul>
<form><label>{s}</label><input type="text" name="{t}" value="{n}"><button id="{s}">{t}</button></form>
plt.plot([{n}, {m}, {k}], color="{a}"); plt.title("{s}"); plt.xlabel("{t}"); plt.bar(x, height, label="{b}")
""".strip().splitlines()
LANGUAGES = """
图片里有一个红色的圆形和两个蓝色的方形。这是什么？这是一张照片，上面写着数字。请描述这张图。你好，谢谢，再见。中国的首都是北京。
我们在学校学习语言。今天天气很好，他们去公园看花。一二三四五六七八九十，大小多少，上下左右，东南西北，年月日时分。
La photo montre un cercle rouge à gauche du carré bleu. Qu'est-ce que c'est ? C'est une maison près de la forêt.
Le garçon a été très heureux, où êtes-vous allés ? La tête, la fenêtre, le café, le français, l'été, déjà, après, noël.
Das Bild zeigt einen roten Kreis links neben dem blauen Quadrat. Was ist das? Das ist ein großes Haus mit grüner Tür.
Die Straße führt über den Fluss, und wir können später zurück. Schöne Grüße, fünf Äpfel, der Schlüssel, die Mädchen.
La imagen muestra un círculo rojo a la izquierda del cuadrado azul. ¿Qué es esto? Es una casa pequeña en la montaña.
El niño está mañana en el jardín con su corazón y su canción. ¡Buenos días! ¿Cuántos años tienes? También más, aquí.
На картинке красный круг слева от синего квадрата. Что это такое? Это большой дом, а рядом зелёное дерево и река.
Сегодня хорошая погода, мы идём в школу. Сколько стоит чай? Где находится улица? Её съёмка, объём, щётка, юность, эхо.
""".strip().splitlines()


def build() -> Tokenizer:
    """Learns the vocabulary. Raises DataError if a package is missing or of another version."""
    return train(corpus(), N_RANKS)


def corpus() -> Iterator[str]:
    """The texts, kind after kind."""
    for _, (characters, texts) in KINDS.items():
        yield from _first(characters, texts())


def _prose() -> Iterator[str]:
    for package in (SCIKIT_LEARN, SCIKIT_IMAGE):
        for path in _files(package, "*.rst"):
            yield path.read_text(encoding="utf-8")
    for tree in map(ast.parse, _code()):
        documented = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module))
        yield from filter(None, map(ast.get_docstring, documented))


def _code() -> Iterator[str]:
    for package in (SCIKIT_IMAGE, SCIKIT_LEARN):
        for path in _files(package, "*.py"):
            if "tests" not in path.parts:
                yield path.read_text(encoding="utf-8")


def _undocumented_code() -> Iterator[str]:
    return (re.sub(r'\n *"""[\s\S]*?"""', "", source) for source in _code())


def _tables() -> Iterator[str]:
    for country in map(_json, _files(COUNTRYINFO, "data/*.json")):
        name, capital = country["name"], country.get("capital", "no city")
        yield f"The capital of {name} is {capital}. It lies in {country.get('region')}, {country.get('subregion')}."
        yield f"What is the population of {name}? {country.get('population', 'I do not know')}. What is its currency?"
        yield " ".join([*country.get("provinces", ()), *country.get("translations", {}).values()])
    database = sqlite3.connect(f"{(MENDELEEV.folder() / 'elements.db').as_uri()}?mode=ro", uri=True)
    columns = "name, symbol, atomic_number, atomic_weight, description, uses, sources, name_origin, discoverers"
    for name, symbol, number, weight, *prose in database.execute(f"select {columns} from elements order by 3"):
        yield f"{name} ({symbol}) is the chemical element with atomic number {number} and atomic weight {weight}."
        yield " ".join(text for text in prose if text)
    database.close()


def _airports() -> Iterator[str]:
    path = AIRPORTSDATA.folder() / "airports.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for row in DictReader(file):
            if row["iata"]:
                yield f"{row['name']} ({row['iata']}) is an airport in {row['city']}, {row['subd']}, {row['country']}."
                yield f"It lies at {row['lat']}, {row['lon']}, {row['elevation']} feet above the sea ({row['tz']})."


def _easy_vqa() -> Iterator[str]:
    for question, answer, _ in json.loads(_files(EASY_VQA, "data/train/questions.json")[0].read_text()):
        yield f"{question}\n{answer}\n{question.capitalize()} {answer.capitalize()}."


def _chat() -> Iterator[str]:
    draw = random.Random(seeds.key(0, "tiny_vocabulary/chat"))
    while True:
        question, answer = _pick(draw, CHAT).format(**_words(draw)).split(" | ")
        yield f"{question}\n{answer}"


def _sums() -> Iterator[str]:
    for n, m in product(range(2, 60), range(2, 60)):
        for template in SUMS:
            yield template.format(n=n, m=m, p=n + m, t=n * m, d=n - m, q=n * n + m * m, r=2 * (n + m))


def _markup() -> Iterator[str]:
    draw = random.Random(seeds.key(0, "tiny_vocabulary/markup"))
    while True:
        yield _pick(draw, MARKUP).format(**_words(draw)) + "\n"


def _languages() -> Iterator[str]:
    while True:
        yield from LANGUAGES


def _words(draw: random.Random) -> dict[str, object]:
    fractions = dict(zip("xyzw", (f"{draw.random():.3f}" for _ in range(4)), strict=True))
    names = {"a": COLOURS, "b": COLOURS, "s": SHAPES, "t": SHAPES, "p": PLACES}
    numbers = {key: int(10 * draw.random()) for key in "nmk"}
    return {**fractions, **{key: _pick(draw, choices) for key, choices in names.items()}, **numbers}


def _pick(draw: random.Random, choices: Sequence[str]) -> str:
    # `random()` is the one method whose sequence Python promises to keep.
    return choices[int(len(choices) * draw.random())]


# Characters of each kind. What the recipe reads most has most.
KINDS: dict[str, tuple[int, Callable[[], Iterable[str]]]] = {
    "documentation": (700_000, lambda: _mixed(_prose())),
    "code": (600_000, lambda: _mixed(_undocumented_code())),
    "tables": (300_000, lambda: _mixed(_tables())),
    "airports": (120_000, lambda: _mixed(_airports())),
    "easy-VQA": (300_000, lambda: _mixed(_easy_vqa())),
    "chat": (500_000, _chat),
    "sums": (150_000, lambda: _mixed(_sums())),
    "markup": (200_000, _markup),
    "languages": (60_000, _languages),
}


def _mixed(texts: Iterable[str]) -> list[str]:
    """In an order without meaning that depends on the texts alone."""
    return sorted(texts, key=lambda text: hashlib.blake2b(text.encode()).digest())


def _first(characters: int, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


def _files(package: Package, pattern: str) -> list[Path]:
    """Matching files in an order that no file system decides."""
    folder = package.folder()
    found = folder.rglob(pattern) if "/" not in pattern else folder.glob(pattern)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m manyeyes.data.tiny_vocabulary FILE")
    vocabulary = build()
    vocabulary.save(sys.argv[1])
    print(f"{sys.argv[1]}: {vocabulary.n_ranks} ranks, sha256 {vocabulary.fingerprint}")
