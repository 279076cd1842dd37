"""Text of the pinned packages as collections: documentation prose (web) and source code as whole repositories (code).

Held out: a tenth of the sub-packages, with their prose and their code, by hash of their name. Near-copies are removed
before the split, so that no copy of a held-out text is learned from.

Sources: scikit-learn 1.9.1, scikit-image 0.26.0 (BSD-3). Report: App. B.2 (web, code).
"""

import functools
from collections.abc import Sequence

from manyeyes.data.collection import Domain, Split
from manyeyes.data.filters import CODE, PROSE, Filtered, Report, filtered
from manyeyes.data.held_out import split_of
from manyeyes.data.packaged.python_source import Parsed, SourceFile, parsed, repository, source_files
from manyeyes.data.packages import SCIKIT_IMAGE, SCIKIT_LEARN
from manyeyes.data.record import Record, Turn

PACKAGES = (SCIKIT_LEARN, SCIKIT_IMAGE)


class Texts:
    """Named texts as one document each.

    Attributes:
        report: what the quality filter and the removal of near-copies dropped, in all splits.
    """

    domain: Domain = "text"

    def __init__(self, name: str, kind: str, texts: Sequence[tuple[str, str]], report: Report) -> None:
        self.name, self.kind, self.report = name, kind, report
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def record(self, index: int) -> Record:
        """The text as a document."""
        name, text = self._texts[index]
        return Record(f"{self.name}/{name}", (Turn("document", (text,)),))


def package_prose(split: Split) -> Texts:
    """Docstrings and data set descriptions, one document each."""
    return _texts("package_prose", "web", split, _prose())


def package_repositories(split: Split) -> Texts:
    """One document for each sub-package with all its files."""
    return _texts("package_repositories", "code", split, _repositories())


def package_files(split: Split) -> Texts:
    """One document for each file: code without its neighbours."""
    return _texts("package_files", "code", split, _files())


def _texts(name: str, kind: str, split: Split, found: Filtered) -> Texts:
    return Texts(name, kind, [(path, text) for path, text in found.texts if _split(path) == split], found.report)


def _split(name: str) -> Split:
    """By sub-package: names are "sklearn/tree:…", so prose and code of one are held out together."""
    return split_of(f"package/{name.partition(':')[0]}", per_mille=100)


@functools.cache
def _prose() -> Filtered:
    documented = [
        (f"{group}:{name}", f"{name}\n\n{text}\n")
        for group, files in _groups().items()
        for _, read in files
        for name, text in read.prose
    ]
    folder = SCIKIT_LEARN.folder() / "datasets" / "descr"
    described = [(f"sklearn/datasets:{path.name}", path.read_text("utf-8")) for path in sorted(folder.glob("*.rst"))]
    return filtered([*described, *documented], rules=PROSE)


@functools.cache
def _repositories() -> Filtered:
    return filtered(((group, repository(group, files)) for group, files in _groups().items()), rules=CODE)


@functools.cache
def _files() -> Filtered:
    named = [
        (f"{group}:{file.path}", f"# File: {file.path}\n{read.code}")
        for group, files in _groups().items()
        for file, read in files
    ]
    return filtered(named, rules=CODE)


@functools.cache
def _groups() -> dict[str, list[tuple[SourceFile, Parsed]]]:
    """Files by sub-package ("skimage/filters"); those at the top of a package form a group of their own."""
    groups: dict[str, list[tuple[SourceFile, Parsed]]] = {}
    for package in PACKAGES:
        for file in source_files(package.folder()):
            top, _, rest = file.path.partition("/")
            group = f"{top}/{rest.partition('/')[0]}" if "/" in rest else top
            groups.setdefault(group, []).append((file, parsed(file)))
    return groups
