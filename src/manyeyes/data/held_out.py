"""Which records are never trained on: decided by a hash of what a record is about, the same on every machine.

A data set's own test split is used where it has one. Everywhere else an item belongs to the test split when
blake2b(key) mod 1000 falls below a share of 1000. The key names the content (a page, a writer, a fact), never a
position in a list, so items that are added or re-ordered later do not move others across the line.
"""

import hashlib

from manyeyes.data.collection import Split


def split_of(key: str, *, per_mille: int = 50) -> Split:
    """The split of whatever `key` names; `per_mille` of 1000 items are held out.

    Example:
        >>> sum(split_of(f"page/{i}", per_mille=100) == "test" for i in range(1000)) in range(70, 130)
        True
    """
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    return "test" if number % 1000 < per_mille else "train"
