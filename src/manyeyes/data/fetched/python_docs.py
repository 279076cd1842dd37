"""The documentation of Python 3.11: 497 pages of reStructuredText, filtered and freed from near-copies.

Source: Debian `python3.11-doc` (PSF licence). Report: App. B.2 (code-related documents).
"""

from pathlib import Path

from manyeyes.data.archives import Archive
from manyeyes.data.collection import Split
from manyeyes.data.filters import PROSE, filtered
from manyeyes.data.held_out import split_of
from manyeyes.data.packaged.package_text import Texts

PYTHON_DOCS = Archive(
    "python3.11-doc", "3.11.2-6+deb12u9", "debian", "5b3594189d6ef9a6963ce0347fd307a1cc67620ad697e144db366070e2e146be"
)


def python_docs(split: Split, folder: Path) -> Texts:
    """One document a page; a twentieth is held out."""
    root = PYTHON_DOCS.unpacked(folder, wanted="usr/share/doc/python3.11/html/_sources/*.txt")
    root = root / "usr/share/doc/python3.11/html/_sources"
    paths = sorted(root.rglob("*.rst.txt"))
    named = [(path.relative_to(root).as_posix().removesuffix(".rst.txt"), path.read_text("utf-8")) for path in paths]
    texts, report = filtered(named, rules=PROSE)
    kept = [(name, text) for name, text in texts if split_of(f"python_docs/{name}") == split]
    return Texts("python_docs", "web", kept, report)
