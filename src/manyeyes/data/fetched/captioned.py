"""`Captioned`: pictures with texts that people wrote for them, as alt text documents and as descriptions on request.

Report: App. B.3 (captions: real before synthetic).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from manyeyes.core.media import Picture
from manyeyes.data.collection import Domain, Split
from manyeyes.data.held_out import split_of
from manyeyes.data.phrasing import DESCRIBE
from manyeyes.data.record import OF_SCENES, Change, Record, Shown, Turn

CAPTIONS_ONLY = "_captions"
"""Ends the name of a collection without its conversations; both hold out the same pictures."""


class Item(NamedTuple):
    """A picture, what it is called, and the texts that belong to it, the best first.

    Attributes:
        key: names the content; items with one key go to the same split.
        load: opens the picture; nothing is read before.
        captions: at least one.
        asked: the best caption answers a request for a description.
    """

    key: str
    load: Callable[[], Picture]
    captions: tuple[str, ...]
    asked: bool = True


class Captioned:
    """One document for each caption; one conversation for each picture.

    Args:
        name: of the collection.
        items: all of them; those of the split are kept (a twentieth is held out, by key).
        split: "train" or "test".
        allowed: changes that the captions bear.
        talk: a conversation for each picture too; without, captions alone, which is what a ViT is trained on.
    """

    domain: Domain = "vision"
    kind = "caption"

    def __init__(
        self,
        name: str,
        items: Sequence[Item],
        split: Split,
        *,
        allowed: frozenset[Change] = OF_SCENES,
        talk: bool = True,
    ) -> None:
        self.name, self._allowed = name, allowed
        origin = name.removesuffix(CAPTIONS_ONLY)
        kept = [item for item in items if split_of(f"{origin}/{item.key}") == split]
        self._records = [(item, n) for item in kept for n in range(len(item.captions) + (item.asked and talk))]

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        """A captioned picture."""
        item, number = self._records[index]
        name = f"{self.name}/{item.key}/{number}"
        return Record(name, _turns(item, number), (item.load(),), allowed=self._allowed)


def _turns(item: Item, number: int) -> tuple[Turn, ...]:
    if number < len(item.captions):
        return (Turn("document", (Shown(0), item.captions[number])),)
    return Turn("user", (Shown(0), DESCRIBE[0])), Turn("assistant", (item.captions[0],))
