"""`Draft`: an answer that says nothing and keeps every constraint that it was drafted for.

It is the proof that a set of constraints contradicts neither itself nor the language and the words that every answer
to the task needs; and it is what a scripted model answers with.

Report: App. D (module for instruction following).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

from manyeyes.agent.prompting.languages import LANGUAGES

Structure = Literal["text", "paragraphs", "bullets", "numbered", "sections", "two_parts", "json"]
TITLE, POSTSCRIPT, SEPARATOR = "<<The answer>>", "P.S. that is it", "******"
LONGEST_SENTENCE = 12


@dataclass(frozen=True, slots=True)
class Draft:
    """What the answer must be like.

    Attributes:
        language: of its words.
        essential: a text that every answer to the task holds; stays as it is.
        least, most: words.
        sentences: exactly so many; None for as many as there are blocks.
        structure: of the whole, with `count` blocks; `keys` of a JSON object.
        opening, ending: first and last words; `title`, `postscript`: lines of their own.
        wrap: around everything.
        case: of all letters.
        include: a word that comes `times` times.
        avoid: words, and `marks`: letters and marks that do not occur.
        bold, placeholders: so many of them.
    """

    language: str = "en"
    essential: str = ""
    least: int = 0
    most: int = 1_000
    sentences: int | None = None
    structure: Structure = "text"
    count: int = 1
    keys: tuple[str, ...] = ()
    opening: str = ""
    ending: str = ""
    title: bool = False
    postscript: bool = False
    wrap: Literal["", "quotes", "fence"] = ""
    case: Literal["", "upper", "lower"] = ""
    include: str = ""
    times: int = 0
    avoid: tuple[str, ...] = ()
    marks: str = ""
    bold: int = 0
    placeholders: int = 0

    def written(self) -> str:
        """The answer."""
        filler = max(8, self.least, 2 * max(self.count, len(self.keys), self.sentences or 0))
        text = self._written(filler)
        if (over := len(text.split()) - self.most) > 0:
            text = self._written(max(0, filler - over))
        return text

    def _written(self, filler: int) -> str:
        blocks = self._blocks([*self._needed, *islice(self._filler, filler)])
        body = [TITLE] * self.title + [self._structured(blocks)] + [POSTSCRIPT] * self.postscript
        text = "\n".join(body)
        text = {"": text, "upper": text.upper(), "lower": text.lower()}[self.case]
        return {"": text, "quotes": f'"{text}"', "fence": f"```\n{text}\n```"}[self.wrap]

    @property
    def _needed(self) -> list[str]:
        """Words that must come; the essential text as one of them."""
        bold = [f"**{word}**" for word in islice(self._filler, self.bold)]
        open_places = [f"[{word}]" for word in islice(self._filler, self.placeholders)]
        return [*[self.include] * self.times, *bold, *open_places, *([self.essential] if self.essential else [])]

    @property
    def _filler(self) -> "cycle[str]":
        """Words of the language that may occur, for ever; one is always needed to say anything."""
        said = [word.strip(".,，。、") for word in LANGUAGES[self.language].sentence.split()]
        allowed = [word for word in said if self._allowed(word)]
        return cycle(allowed or said)

    def _allowed(self, word: str) -> bool:
        avoided = {one.casefold() for one in self.avoid}
        return word.casefold() not in avoided and not any(mark in word.casefold() for mark in self.marks)

    def _blocks(self, words: Sequence[str]) -> list[str]:
        """The words as sentences, and these as blocks."""
        blocks = len(self.keys) if self.structure == "json" else self.count
        wanted = max(blocks, self.sentences if self.sentences is not None else len(words) // LONGEST_SENTENCE)
        made = [f"{' '.join(part)}{self._stop}" for part in _parts(words, wanted) if part]
        return [" ".join(part) for part in _parts(made, blocks)]

    @property
    def _stop(self) -> str:
        return "。" if self.language in ("zh", "ja") else "."

    def _structured(self, blocks: Sequence[str]) -> str:
        match self.structure:
            case "json":
                return json.dumps(dict(zip(self.keys, blocks, strict=True)), ensure_ascii=False)
            case "bullets":
                return self._listed([f"- {block}" for block in blocks])
            case "numbered":
                return self._listed([f"{number}. {block}" for number, block in enumerate(blocks, 1)])
            case "sections":
                return self._listed([f"Section {number}\n{block}" for number, block in enumerate(blocks, 1)])
            case "two_parts":
                return self._flowing(blocks, f"\n{SEPARATOR}\n")
            case _:
                return self._flowing(blocks, "\n\n")

    def _listed(self, entries: Sequence[str]) -> str:
        return "\n".join([*[self.opening] * bool(self.opening), *entries, *[self.ending] * bool(self.ending)])

    def _flowing(self, blocks: Sequence[str], between: str) -> str:
        return " ".join(part for part in (self.opening, between.join(blocks), self.ending) if part)


def _parts(items: Sequence[str], count: int) -> list[Sequence[str]]:
    """Runs of almost equal length, one after another."""
    ends = [len(items) * number // count for number in range(count + 1)]
    return [items[start:end] for start, end in zip(ends, ends[1:], strict=False)]
