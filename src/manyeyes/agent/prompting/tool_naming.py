"""`ToolNaming`: the same tools under other names: of the tools, of their parameters, and other manners of description.

    search_web(query, top)      searchWeb(searchQuery, top)      use_search_web_tool(the_query, the_top)

A model that learned names and not tools fails here. The toolset inside never knows: a call under the shown names is
translated, and its errors are translated back. A call under a name that is not shown is a call of nothing.

Report: App. D (prompt diversification).
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manyeyes.agent.prompting.module import Presentation
from manyeyes.agent.prompting.renamed_toolset import Naming, RenamedToolset
from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import key

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
SYNONYMS: dict[str, tuple[str, ...]] = {
    "query": ("search_query", "question", "keywords"), "queries": ("search_queries", "questions"),
    "path": ("file_path", "file", "location"), "url": ("address", "link", "page_url"),
    "code": ("source", "program", "snippet"), "command": ("shell_command", "cmd", "line"),
    "text": ("content", "body"), "seconds": ("timeout_seconds", "time_limit"), "top": ("limit", "max_results"),
    "prompt": ("instruction", "request"), "name": ("label", "title"), "number": ("count", "amount"),
    "x": ("x_position", "left"), "y": ("y_position", "top_offset"), "expression": ("formula", "term"),
}  # fmt: skip
"""What a parameter may be called instead, where the style renames parameters."""
LONGEST = 64
"""Characters of a name, as endpoints take it."""
STYLES = ("plain", "snake", "camel", "pascal", "kebab", "verbose", "terse")
DESCRIPTIONS = ("plain", "titled", "listed", "alphabetical")


@dataclass(frozen=True, slots=True)
class ToolNaming:
    """A prompt module: names of tools and parameters, and manner of their descriptions.

    Attributes:
        styles: of names; "plain" leaves them.
        synonyms: whether parameters may get another word, too.
        mentioned: tools that the prompts speak of in backticks, as in `search_web`; renamed there, too.
        descriptions: of schemas: "titled" gives each parameter a title, "listed" tells them again in the description,
            "alphabetical" orders them by name.
    """

    styles: tuple[str, ...] = STYLES
    synonyms: bool = True
    mentioned: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = DESCRIPTIONS
    name: str = field(default="tool_naming")

    def __post_init__(self) -> None:
        for what, given, known in (
            ("style", self.styles, STYLES), ("manner of description", self.descriptions, DESCRIPTIONS),
        ):  # fmt: skip
            if not given or set(given) - set(known):
                raise ConfigError(f"{self.name}: expected each {what} to be one of {', '.join(known)}, got {given}")

    def draw(self, rng: np.random.Generator, shown: Presentation) -> dict[str, Any]:
        """See `PromptModule.draw`."""
        return {
            "style": str(rng.choice(self.styles)),
            "synonyms": int(rng.integers(1, 2**31)) if self.synonyms and rng.random() < 0.5 else 0,
            "descriptions": str(rng.choice(self.descriptions)),
        }

    def apply(self, shown: Presentation, choice: dict[str, Any]) -> Presentation:
        """See `PromptModule.apply`."""
        naming = named(choice["style"], choice["synonyms"], choice["descriptions"])
        return shown.looking(lambda toolset: RenamedToolset(toolset, naming)).retold(
            {f"`{name}`": f"`{naming.tool(name)}`" for name in self.mentioned}
        )


def named(style: str, synonyms: int, descriptions: str) -> Naming:
    """How names are changed; the same arguments change them in the same way.

    Args:
        synonyms: which of the other words parameters get; 0 for none.
    """

    def parameter(name: str) -> str:
        words = SYNONYMS.get(name, ()) if synonyms else ()
        number = key(synonyms, f"prompting/synonym/{name}") % (len(words) + 1)
        return styled((name, *words)[number], "snake" if style == "kebab" else style, before="the")

    return Naming(lambda name: styled(name, style, before="use", after="tool"), parameter, descriptions)


def styled(name: str, style: str, *, before: str = "", after: str = "") -> str:
    """A name in another style.

    Example:
        >>> [styled("search_web", style, before="use", after="tool") for style in STYLES]
        ['search_web', 'search_web', 'searchWeb', 'SearchWeb', 'search-web', 'use_search_web_tool', 'srch_web']
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if style == "plain" or not words:
        return name
    if style == "verbose":
        words = [*([before] if before else []), *words, *([after] if after else [])]
    if style == "terse":
        words = [word[0] + re.sub("[aeiou]", "", word[1:]) if len(word) > 3 else word for word in words]
    if style in ("camel", "pascal"):
        words = [word if style == "camel" and number == 0 else word.capitalize() for number, word in enumerate(words)]
    new = {"camel": "", "pascal": "", "kebab": "-"}.get(style, "_").join(words)
    return new if len(new) <= LONGEST else name
