from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.view.markup import tag, trusted


class Reader(HTMLParser):
    """What a browser sees: elements with attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text += data


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=("Cc",))))
def test_any_text_comes_back_as_text(text) -> None:
    read = Reader(tag("p", text, title=text))
    assert read.elements == [("p", {"title": text})] and read.text == text


def test_only_markup_passes_unescaped() -> None:
    assert tag("p", trusted("<b>x</b>"), "<b>") == "<p><b>x</b>&lt;b&gt;</p>"
    assert tag("p", ["a", 1, None, [tag("i")]]) == "<p>a1<i></i></p>"


def test_attributes_are_named_as_html_has_them() -> None:
    assert (
        tag("div", class_="a", data_x="1", hidden=True, id=None, open=False)
        == '<div class="a" data-x="1" hidden></div>'
    )
    assert tag("path", d='M0"') == '<path d="M0&quot;"/>'
