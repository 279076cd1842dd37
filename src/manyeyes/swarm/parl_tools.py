"""Search, pages and delegation for models that read few tokens: short declarations, short results.

    search(query)                        Page 53                      the best page, or the best few, a line each
    open(page)                           its lines, then More 18      a page that an agent has heard of, by its number
    put(key, value)                      Ok.                          a row of the table that all agents share
    write(section, text)                 Ok.                          a section of the report that all agents share
    create_subagent(name, system_prompt) Created a.
    assign_task(agent, prompt)           the last message of the sub-agent; a status line where it did not finish

Behind them are the same search engines, pages and `Delegation` as behind the tools of App. E.8; only what is said is
shorter: five declarations in 210 tokens of the vocabulary of recipe `tiny`, where those take two thousand.

Report: App. E.8 (the two tools' semantics); the short forms are a choice here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from manyeyes.agent.environment import Ctx
from manyeyes.agent.task import Outcome
from manyeyes.agent.tools.citations import canonical
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import Page, plain
from manyeyes.agent.tools.pages import PageSource
from manyeyes.agent.tools.search import SearchBackend, SearchError
from manyeyes.agent.toolset import ToolResult, unknown_tool
from manyeyes.core.messages import TextPart, Tool, ToolCall
from manyeyes.swarm.orchestrator import ASSIGN, CREATE, AssignTask, CreateSubagent, Delegation, clipped
from manyeyes.swarm.parl_shared import PUT_DOWN, WRITTEN

LONGEST_PAGE = 600
"""Characters of a page that are shown."""
LONGEST_ANSWER = 400
"""Characters of a sub-agent's answer that come back."""


def compact_tool(name: str, description: str, /, **arguments: str) -> Tool:
    """A declaration without a word too many.

    Args:
        arguments: JSON type by name.
    """
    properties = {argument: {"type": kind} for argument, kind in arguments.items()}
    return Tool(name, description, {"type": "object", "properties": properties, "required": list(arguments)})


SEARCH = compact_tool("search", "Find pages.", query="string")
OPEN = compact_tool("open", "Read a page.", page="integer")
WEB_TOOLS = (SEARCH, OPEN)
PUT = compact_tool("put", "Fill a row.", key="string", value="integer")
WRITE = compact_tool("write", "Write a section.", section="string", text="string")
SWARM_TOOLS = (
    compact_tool(CREATE, "Make an agent.", name="string", system_prompt="string"),
    compact_tool(ASSIGN, "Start it on a task.", agent="string", prompt="string"),
)


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `search`."""

    query: str


class Numbered(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `open`."""

    page: int


class Cell(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `put`."""

    key: str
    value: int


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `write`."""

    section: str
    text: str


class SharingTool:
    """The tool of an agent that puts something down for all; what stands there in the end is what the record of all
    agents says (`parl_shared`).

    Args:
        writes: sections of a report; else rows of a table.
    """

    def __init__(self, *, writes: bool = False) -> None:
        self.writes = writes
        self.tools: Sequence[Tool] = (WRITE,) if writes else (PUT,)
        self.repeatable = frozenset(tool.name for tool in self.tools)

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Put a row or a section down."""
        if call.name not in self.repeatable:
            return unknown_tool(call.name, self.repeatable)
        try:
            said = msgspec.json.decode(call.arguments or "{}", type=Section if self.writes else Cell)
        except msgspec.DecodeError:
            return ToolResult.failed("bad_arguments", "wrong arguments")
        if isinstance(said, Section):
            return ToolResult.of("Ok.", **{WRITTEN: {said.section: said.text}})
        return ToolResult.of("Ok.", **{PUT_DOWN: {said.key: str(said.value)}})


class CompactWeb:
    """The two tools of one agent. A page's number is the one that its address ends in, else the next that is free.

    Args:
        noted: what its finished calls left behind before an interruption.
        hits: pages that a search tells.
    """

    tools: Sequence[Tool] = WEB_TOOLS
    repeatable = frozenset((SEARCH.name, OPEN.name))

    def __init__(
        self, backend: SearchBackend, pages: PageSource, noted: Sequence[dict[str, Any]] = (), *, hits: int = 1
    ) -> None:
        self._backend, self._pages, self._hits = backend, pages, hits
        self._urls: dict[int, str] = {}
        for data in noted:
            self._urls |= {int(number): url for number, url in data.get("numbered", {}).items()}

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Make one call."""
        kinds: dict[str, type[Query] | type[Numbered]] = {SEARCH.name: Query, OPEN.name: Numbered}
        if call.name not in kinds:
            return unknown_tool(call.name, kinds)
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=kinds[call.name])
        except msgspec.DecodeError:
            return ToolResult.failed("bad_arguments", "wrong arguments")
        return await (self._search(arguments.query) if isinstance(arguments, Query) else self._open(arguments.page))

    async def _search(self, query: str) -> ToolResult:
        try:
            hits = await self._backend.search(query, count=self._hits)
        except SearchError as error:
            return ToolResult.failed("refused", str(error))
        if not hits:
            return ToolResult.failed("refused", "no page")
        found = {self._number(hit.url): hit.url for hit in hits}
        told = "\n".join(f"Page {number}" for number in found)
        return ToolResult.of(told, numbered={str(number): url for number, url in found.items()})

    async def _open(self, number: int) -> ToolResult:
        if number not in self._urls:
            return ToolResult.failed("refused", f"no page {number}")
        try:
            page = await self._pages.page(self._urls[number])
        except FetchError as error:
            return ToolResult.failed("refused", str(error))
        links = {self._number(link.url): link for link in page.links}
        more = {str(at): link.url for at, link in links.items()}
        return ToolResult.of("\n".join([shown(page), *(f"{x.text} {at}" for at, x in links.items())]), numbered=more)

    def _number(self, url: str) -> int:
        """Of an address; one that was heard of before keeps its own."""
        key = canonical(url)
        for number, known in self._urls.items():
            if canonical(known) == key:
                return number
        ending = url.rstrip("/").rpartition("/")[2]
        number = int(ending) if ending.isascii() and ending.isdigit() and len(ending) < 10 else 1
        while number in self._urls:
            number += 1
        self._urls[number] = url
        return number


def shown(page: Page) -> str:
    """A page's text without its links, of which nothing but words would be left.

    Example:
        >>> shown(Page.from_markdown("https://a.example/", "A", "C4\\n[More](/18)"))
        'C4'
    """
    links = {link.text for link in page.links}
    lines = [line for line in map(plain, page.lines) if line.strip() and line not in links]
    return clipped("\n".join(lines), limit=LONGEST_PAGE)


@dataclass
class CompactDelegation(Delegation):
    """`Delegation`, told in few words."""

    def __post_init__(self) -> None:
        self.tools: Sequence[Tool] = SWARM_TOOLS

    def _create(self, wanted: CreateSubagent) -> ToolResult:
        made = super()._create(wanted)
        return made if made.failure else replace(made, parts=(TextPart(f"Created {wanted.name}."),))

    def _told(self, wanted: AssignTask, outcome: Outcome) -> ToolResult:
        told, text = super()._told(wanted, outcome), clipped(outcome.text, limit=LONGEST_ANSWER)
        status = "" if outcome.finished else f"[{wanted.agent}: {outcome.stop}]\n"
        return replace(told, parts=(TextPart(status + (text or "(nothing)")),))


def web_of(backend: SearchBackend, pages: PageSource, ctx: Ctx, *, hits: int = 1) -> CompactWeb:
    """The two tools of an agent."""
    return CompactWeb(backend, pages, ctx.noted, hits=hits)
