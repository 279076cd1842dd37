"""`Seed`: a problem that teachers are asked to solve, turn by turn, with the right answers where they are known.

    {"prompt": "What is 17 + 25?", "truth": "42"}                                   a line of a file of seeds
    {"turns": ["Start with 7.", "Double it."], "truths": [null, "14"], "thinking": true}

Report: §4.4.1 (prompts of each domain).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from manyeyes.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Seed:
    """See the module.

    Attributes:
        id: unique in a domain, and stable: what teachers said is remembered by it.
        turns: what the user says, in order.
        truths: the right answer to each turn, None where nobody knows; teachers never see them.
        system: a system message that the dialogue keeps; "" for none.
        thinking: whether the dialogue is to show reasoning.
        data: what the domain's tools need, such as which picture.

    Raises:
        DataError: no turn, or another number of truths.

    Example:
        >>> Seed("sum/1", ("1 + 1?",), ("2",)).truths
        ('2',)
    """

    id: str
    turns: tuple[str, ...]
    truths: tuple[str | None, ...] = ()
    system: str = ""
    thinking: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.turns or not all(turn.strip() for turn in self.turns):
            raise DataError(f"seed {self.id!r}: expected turns with something said in each, got {list(self.turns)}")
        if len(self.truths) not in (0, len(self.turns)):
            raise DataError(f"seed {self.id!r}: {len(self.turns)} turns need as many truths, got {len(self.truths)}")

    @property
    def has_truth(self) -> bool:
        """Whether any answer can be compared."""
        return any(truth is not None for truth in self.truths)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A seed as it stands in a file."""

    prompt: str = ""
    turns: list[str] = []
    truth: str | None = None
    truths: list[str | None] = []
    id: str = ""
    system: str = ""
    thinking: bool = False


def seed_file(path: str | Path) -> list[Seed]:
    """The seeds of a file with one JSON object a line; a seed without an id is named by its line.

    Raises:
        DataError: the file cannot be read, holds none, or has a line that is none; it names the line.
    """
    file = Path(path)
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file with a seed a line") from error
    seeds = [_seed(line, file, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not seeds:
        raise DataError(f'{path} holds no seed; a line is {{"prompt": "What is 17 + 25?", "truth": "42"}}')
    _require_different(seeds, file)
    return seeds


def _seed(line: bytes, file: Path, number: int) -> Seed:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file}:{number}: {error}") from None
    if bool(found.prompt) == bool(found.turns) or (found.truths and found.truth is not None):
        raise DataError(f"{file}:{number}: expected either prompt and truth, or turns and truths")
    turns = tuple(found.turns) or (found.prompt,)
    truths = tuple(found.truths) or ((None,) * (len(turns) - 1) + (found.truth,) if found.truth is not None else ())
    try:
        return Seed(found.id or f"{file.stem}/{number}", turns, truths, found.system, found.thinking)
    except DataError as error:
        raise DataError(f"{file}:{number}: {error}") from None


def _require_different(seeds: Sequence[Seed], file: Path) -> None:
    ids = [seed.id for seed in seeds]
    if len(set(ids)) < len(ids):
        twice = next(one for at, one in enumerate(ids) if one in ids[:at])
        raise DataError(f"{file}: ids must differ, {twice!r} is there twice")
