"""The tiktoken file format: one "base64 rank" a line, byte strings by merge priority.

A vocabulary that manyeyes can use has the ranks 0..n-1 without gaps, every byte string once and all 256 single bytes.
`name` is what messages call the file.
"""

import base64
import binascii
from collections.abc import Sequence

from manyeyes.core.errors import ManyeyesError


class TokenizerError(ManyeyesError):
    """A vocabulary file or ids that cannot be used."""


def read_vocabulary(data: bytes, name: str) -> list[bytes]:
    """The byte strings of a file in order of rank. Raises TokenizerError on the first line that is wrong."""
    by_rank: dict[int, bytes] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if line.strip():
            token, rank = _parse_line(line, f"{name}, line {number}")
            if rank in by_rank:
                raise TokenizerError(f"{name}, line {number}: rank {rank} stands there twice, expected each once")
            by_rank[rank] = token
    gap = next((rank for rank in range(len(by_rank)) if rank not in by_rank), None)
    if gap is not None:
        raise TokenizerError(f"{name}: rank {gap} is missing, expected 0 to {max(by_rank)} without gaps")
    return [by_rank[rank] for rank in range(len(by_rank))]


def write_vocabulary(tokens: Sequence[bytes]) -> bytes:
    """The file of byte strings in order of rank.

    Example:
        >>> write_vocabulary([b"a", b"b"])
        b'YQ== 0\\nYg== 1\\n'
    """
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))


def ranks_of(tokens: Sequence[bytes], name: str) -> dict[bytes, int]:
    """The rank of each byte string. Raises TokenizerError if one stands there twice or a single byte is missing."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    if len(ranks) != len(tokens):
        twice = next(token for rank, token in enumerate(tokens) if ranks[token] != rank)
        raise TokenizerError(f"{name}: the byte string {twice!r} stands there twice, expected each once")
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise TokenizerError(
            f"{name}: {len(missing)} of the 256 single bytes have no rank (first 0x{missing[0]:02x}), "
            "so not every text could be encoded; use a byte-level vocabulary"
        )
    return ranks


def _parse_line(line: bytes, where: str) -> tuple[bytes, int]:
    fields = line.split()
    if len(fields) != 2 or not fields[1].isdigit() or len(fields[1]) > 9:
        raise TokenizerError(f"{where}: expected 'base64 rank', got {_shown(line)}; is the file cut short?")
    try:
        token = base64.b64decode(fields[0], validate=True)
    except binascii.Error as error:
        raise TokenizerError(f"{where}: {_shown(fields[0])} is not base64; expected 'base64 rank'") from error
    return token, int(fields[1])


def _shown(line: bytes) -> str:
    return repr(line[:40].decode("ascii", errors="backslashreplace"))
