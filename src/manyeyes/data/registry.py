"""The registry of sources: every description by name, opened as a collection, as dialogues or as the planner's source.

Report: App. C.1 (data registration), §4.4.1 (dialogues for supervised fine-tuning).
"""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path

from manyeyes.core.errors import DataError
from manyeyes.core.media import MediaRules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.augment import Augmentation
from manyeyes.data.collection import DIALOGUE, TEXT_KINDS, VISUAL_KINDS, Collection, Split
from manyeyes.data.dialogue import Dialogues
from manyeyes.data.dialogue_source import DialogueSource
from manyeyes.data.documents import DocumentSource
from manyeyes.data.rendered import RecordSource
from manyeyes.data.small_sources import SMALL_SOURCES
from manyeyes.data.source import Source
from manyeyes.data.source_info import SourceInfo
from manyeyes.data.synthetic_sources import SYNTHETIC_SOURCES
from manyeyes.data.tiny_sources import TINY_SOURCES


class Registry:
    """Descriptions by name; never changed after it is made.

    Example:
        >>> REGISTRY["easy_vqa"].licence
        'MIT'
    """

    def __init__(self, infos: Iterable[SourceInfo]) -> None:
        self._infos: dict[str, SourceInfo] = {}
        for info in infos:
            _check(info, self._infos)
            self._infos[info.name] = info

    def __iter__(self) -> Iterator[SourceInfo]:
        return iter(self._infos.values())

    def __len__(self) -> int:
        return len(self._infos)

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __getitem__(self, name: str) -> SourceInfo:
        """The description of a source. Raises DataError for an unknown name, with the nearest known ones."""
        if name in self._infos:
            return self._infos[name]
        near = difflib.get_close_matches(name, self._infos, n=3) or sorted(self._infos)
        raise DataError(f"no source named {name!r}; known are {', '.join(near)}")

    def open(self, name: str, split: Split, *, seed: int = 0, folder: Path | None = None) -> Collection:
        """The collection behind a name; see `SourceInfo.open`."""
        return self[name].open(split, seed=seed, folder=folder)

    def open_dialogues(self, name: str, split: Split, *, seed: int = 0, folder: Path | None = None) -> Dialogues:
        """The dialogues behind a name; see `SourceInfo.open_dialogues`."""
        return self[name].open_dialogues(split, seed=seed, folder=folder)

    def source(
        self,
        name: str,
        tokenizer: Tokenizer,
        *,
        rules: MediaRules,
        part_length: int,
        split: Split = "train",
        seed: int = 0,
        augmentation: Augmentation | None = None,
        folder: Path | None = None,
    ) -> Source:
        """The source that a planner draws from: documents split over parts, dialogues as the model would have sampled
        them, other records augmented and rendered."""
        info = self[name]
        if info.is_dialogues:
            dialogues = info.open_dialogues(split, seed=seed, folder=folder)
            return DialogueSource(dialogues, tokenizer, rules=rules, part_length=part_length, domain=info.domain)
        collection = info.open(split, seed=seed, folder=folder)
        if info.documents:
            return DocumentSource(collection, tokenizer, part_length=part_length)
        return RecordSource(
            collection, tokenizer, rules=rules, part_length=part_length, seed=seed, augmentation=augmentation
        )


def _check(info: SourceInfo, known: dict[str, SourceInfo]) -> None:
    kinds = (*(VISUAL_KINDS if info.domain == "vision" else TEXT_KINDS), DIALOGUE)
    if info.name in known:
        raise DataError(f"two sources are named {info.name!r}; give one another name")
    if info.kind not in kinds:
        raise DataError(f"{info.name}: a {info.domain} source is of kind {', '.join(kinds)}; got {info.kind!r}")


REGISTRY = Registry(TINY_SOURCES + SMALL_SOURCES + SYNTHETIC_SOURCES)
"""All sources that manyeyes knows."""
