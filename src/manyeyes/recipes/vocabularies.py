"""A run's vocabulary: the one that ships with the package, a file, or one learned from the run's own text.

A run that starts from a whole model has that model's. "tiny" has 2,048 entries and is package data; "learn" makes as
many entries as the model has, once, from the text of the run's sources; a path names any tiktoken-format file or
folder, such as a K2.5 checkpoint's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.core.tokenizer import SPECIAL_SLOTS, Tokenizer, TokenizerError
from manyeyes.core.tokenizer_training import train
from manyeyes.data.dialogue import Dialogue
from manyeyes.data.record import Record
from manyeyes.data.rendered import text_of
from manyeyes.recipes.run import Run
from manyeyes.recipes.sources import SOURCES
from manyeyes.recipes.starting_model import start_folder

RECORDS = 4_000
"""Records of each source that a vocabulary is learned from, about (fewer where it has fewer)."""


def vocabulary_of(
    run: Run, folder: RunFolder, *, data_folder: Path | None, announce: Callable[[str], None] = lambda line: None
) -> Tokenizer:
    """The run's tokenizer, saved in its folder.

    Args:
        announce: called with a line for each source that a vocabulary is learned from, since that takes minutes.

    Raises:
        ConfigError: it does not match the model.
        TokenizerError: the folder's vocabulary is cut short.
        RunFolderError: the disk is full.
    """
    if folder.tokenizer_path.exists():
        return _saved(run, folder.tokenizer_path)
    tokenizer = _made(run, data_folder, announce)
    if tokenizer.n_vocab != run.model.text.vocab_size:
        raise ConfigError(
            f"vocabulary {run.vocabulary!r} has {tokenizer.n_vocab} entries, the model {run.model.text.vocab_size}; "
            f"set model.text.vocab_size={tokenizer.n_vocab}, or vocabulary=learn"
        )
    tokenizer.save(folder.tokenizer_path)
    return tokenizer


def _saved(run: Run, path: Path) -> Tokenizer:
    """The folder's vocabulary, unless it was damaged since."""
    advice = "it was cut short or replaced; delete it, and the run makes it anew"
    try:
        tokenizer = Tokenizer.load(path)
    except TokenizerError as error:
        raise TokenizerError(f"{error}: {advice}") from error
    if tokenizer.n_vocab != run.model.text.vocab_size:
        found, expected = tokenizer.n_vocab, run.model.text.vocab_size
        raise TokenizerError(f"{path} has {found} entries, the model {expected}: {advice}")
    return tokenizer


def _made(run: Run, data_folder: Path | None, announce: Callable[[str], None]) -> Tokenizer:
    if run.start_model:
        return Tokenizer.load(start_folder(run.start_model))
    if run.vocabulary == "tiny":
        return Tokenizer.tiny()
    if run.vocabulary == "learn":
        return train(_texts(run, data_folder, announce), run.model.text.vocab_size - SPECIAL_SLOTS)
    return Tokenizer.load(run.vocabulary)


def _texts(run: Run, data_folder: Path | None, announce: Callable[[str], None]) -> Iterator[str]:
    names = sorted({name for stage in run.stages for name in stage.sources})
    for number, name in enumerate(names, 1):
        announce(f"learning the vocabulary, source {number} of {len(names)}: {name}")
        if SOURCES[name].is_dialogues:
            dialogues = SOURCES.open_dialogues(name, "train", seed=run.seed, folder=data_folder)
            yield from (_said(dialogues.dialogue(index)) for index in _some(len(dialogues)))
        else:
            collection = SOURCES.open(name, "train", seed=run.seed, folder=data_folder)
            yield from (_text(collection.record(index)) for index in _some(len(collection)))


def _some(count: int) -> range:
    return range(0, count, max(1, count // RECORDS))


def _said(dialogue: Dialogue) -> str:
    """What everybody says, thinks and calls."""
    texts = (
        (message.reasoning or "", message.text, *(call.arguments for call in message.tool_calls))
        for message in dialogue.messages
    )
    return "\n".join(text for said in texts for text in said if text)


def _text(record: Record) -> str:
    return "\n".join("".join(text_of(piece, record) for piece in turn.pieces) for turn in record.turns)
