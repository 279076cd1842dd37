"""`CaptionsAsText`: what captions say, without their pictures: the alt texts that any crawl of the web is full of.

A language model that has read captions is a better judge of what a picture says: the alignment stage (§4.3) trains the
ViT through a frozen language model, which must know the words that the pictures are described with.

Report: §4.3 (alt texts), App. B.2 (web text).
"""

from manyeyes.data.collection import Collection, Domain
from manyeyes.data.record import Record, Shown, Turn


class CaptionsAsText:
    """A collection of captioned pictures as text documents of several captions each.

    Args:
        captions: document records with pictures.
        name: of the text source.
        together: captions in one document, a line each.
    """

    domain: Domain = "text"
    kind = "web"

    def __init__(self, captions: Collection, name: str, *, together: int = 8) -> None:
        self.captions, self.name, self.together = captions, name, together

    def __len__(self) -> int:
        return len(self.captions) // self.together

    def record(self, index: int) -> Record:
        """Document number `index`."""
        first = index * self.together
        lines = [self._line(self.captions.record(first + i)) for i in range(self.together)]
        return Record(f"{self.name}/{index:06d}", (Turn("document", ("\n".join(lines) + "\n",)),))

    def _line(self, record: Record) -> str:
        pieces = [piece for piece in record.turns[0].pieces if not isinstance(piece, Shown)]
        return "".join(piece if isinstance(piece, str) else getattr(piece, "word", "") for piece in pieces).strip()
