"""A folder of files as a web."""

import asyncio
from pathlib import Path

import pytest

from manyeyes.agent.tools.folder_web import FolderThenWeb, folder_pages
from manyeyes.agent.tools.local_web import LocalWeb
from manyeyes.agent.tools.page import Page
from manyeyes.core.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.html").write_text("<title>Rivers</title><p>The Danube is long. <a href='deep/b c.md'>more</a>")
    (tmp_path / "deep" / "b c.md").write_text("# Danube\n\nIt is 2,850 km long.\n")
    (tmp_path / "notes.txt").write_text("nothing of that")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "link.md").symlink_to("/etc/hostname")
    return tmp_path


def test_every_page_is_found_and_opened_and_its_links_lead_on(folder: Path) -> None:
    pages = {page.url: page for page in folder_pages(folder)}
    assert sorted(pages) == [f"https://folder.invalid/{name}" for name in ("a.html", "deep/b%20c.md", "notes.txt")]
    assert pages["https://folder.invalid/a.html"].title == "Rivers"

    async def go() -> tuple[list[str], Page, Page]:
        web = LocalWeb.build(folder_pages(folder))
        found = [hit.url for hit in await web.search("Danube long", count=5)]
        first = await web.page("https://folder.invalid/a.html")
        return found, first, await web.page(first.links[0].url)

    found, _, linked = asyncio.run(go())
    assert sorted(found) == ["https://folder.invalid/a.html", "https://folder.invalid/deep/b%20c.md"]
    assert "It is 2,850 km long." in "\n".join(linked.lines)


def test_other_addresses_come_from_the_web(folder: Path) -> None:
    class Web:
        async def page(self, url: str) -> Page:
            return Page.from_markdown(url, "outside", "outside")

    async def go() -> list[str]:
        both = FolderThenWeb(LocalWeb.build(folder_pages(folder)), Web())
        return [(await both.page(url)).title for url in ("https://folder.invalid/a.html", "https://a.example/")]

    assert asyncio.run(go()) == ["Rivers", "outside"]


def test_a_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no page"):
        list(folder_pages(tmp_path))
    with pytest.raises(ConfigError, match="no folder of pages"):
        list(folder_pages(tmp_path / "none"))
