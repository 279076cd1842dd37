"""A cloud of words: no box meets another, larger is more frequent, and the same counts give the same drawing."""

import xml.etree.ElementTree as ET
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.view.figure_cloud import GAP, cloud, layout, markdown, table

WORDS = st.dictionaries(st.text("abMWij -é<&", min_size=1, max_size=30), st.integers(1, 500), max_size=25)
SVG = "{http://www.w3.org/2000/svg}"


@given(WORDS)
@settings(max_examples=40, deadline=None)
def test_no_two_boxes_overlap_and_none_is_left_out(counts: dict[str, int]) -> None:
    boxes = layout(counts)
    assert {box.word: box.count for box in boxes} == counts
    for one, other in combinations(boxes, 2):
        apart_x = abs(one.x - other.x) - (one.width + other.width) / 2
        apart_y = abs(one.y - other.y) - (one.height + other.height) / 2
        assert apart_x >= GAP or apart_y >= GAP


def test_more_frequent_is_larger_and_nearer_the_middle() -> None:
    boxes = layout({f"Role {number}": number for number in range(1, 30)})
    assert [box.count for box in boxes] == list(range(29, 0, -1)) and (boxes[0].x, boxes[0].y) == (0.0, 0.0)
    assert [box.size for box in boxes] == sorted((box.size for box in boxes), reverse=True)


def test_the_order_in_which_counts_come_changes_nothing() -> None:
    counts = {"Fact Checker": 3, "Researcher": 9, "Analyst": 3}
    assert cloud(counts, label="x") == cloud(dict(reversed(counts.items())), label="x")


def test_the_drawing_is_xml_and_words_are_as_wide_as_their_boxes() -> None:
    counts = {"<b>bold</b> & Co": 4, "Researcher": 9}
    root = ET.fromstring(cloud(counts, label="two roles"))
    words = root.findall(f"{SVG}text")
    assert [word.text for word in words] == ["Researcher", "<b>bold</b> & Co"]
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for word, box in zip(words, layout(counts), strict=True):
        x, y, wide = (float(word.attrib[name]) for name in ("x", "y", "textLength"))
        assert abs(wide - box.width) < 0.1 and 0 <= x <= x + wide <= width and 0 < y < height
    assert ET.fromstring(cloud({}, label="nothing")).findall(f"{SVG}text") == []


def test_the_page_lists_what_the_cloud_shows() -> None:
    result = {"roles": {"Researcher": 9, "Checker": 2}, "agents": 11, "sentences": ["So it was."]}
    assert table(result)[1] == [["Researcher", "9"], ["Checker", "2"]]
    page = markdown(result, picture="fig6.svg")
    assert "![roles](fig6.svg)" in page and "| Checker | 2 |" in page and "- So it was." in page
