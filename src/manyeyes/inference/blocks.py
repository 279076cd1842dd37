"""The block pool: which parts of the latent cache are free, held by requests, or kept for a prompt that may come again.

A block holds the latents of a fixed number of tokens in all layers. Requests that share a prefix share its blocks, so
a block counts its holders. When the last one lets go, a block that carries a key is kept until room is needed, the
least recently used first; one without a key is free at once. Blocks are numbers here: no tensor is touched.

Report: App. D (inference engine); PagedAttention: Kwon et al., 2023.
"""

from collections import OrderedDict

from manyeyes.core.errors import ConfigError


class BlockPool:
    """Numbers 0..count-1 and who holds them.

    Example:
        >>> pool = BlockPool(2)
        >>> block = pool.take()
        >>> pool.name(block, b"prefix")
        >>> pool.release(block)
        >>> pool.available, pool.find(b"prefix") == block, pool.available
        (2, True, 1)
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigError(f"a block pool needs at least one block, got {count}")
        self.count = count
        self._free = list(range(count - 1, -1, -1))
        self._holders = [0] * count
        self._key_of: dict[int, bytes] = {}
        self._by_key: dict[bytes, int] = {}
        self._kept: OrderedDict[int, None] = OrderedDict()

    @property
    def available(self) -> int:
        """Blocks that `take` can give: free ones, and kept ones that nobody holds."""
        return len(self._free) + len(self._kept)

    @property
    def held(self) -> int:
        """Blocks that some request holds."""
        return self.count - self.available

    @property
    def kept(self) -> int:
        """Blocks that nobody holds, kept for their keys."""
        return len(self._kept)

    def shared(self, block: int) -> bool:
        """Whether more than one request holds it, so that none may write to it."""
        return self._holders[block] > 1

    def take(self) -> int:
        """A block for one holder; the oldest kept one makes room where none is free.

        Raises:
            IndexError: none is available (ask `available` first).
        """
        block = self._free.pop() if self._free else self._evict()
        self._holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """One holder more of a block that is held."""
        self._holders[block] += 1

    def release(self, block: int) -> None:
        """One holder less."""
        self._holders[block] -= 1
        if self._holders[block] > 0:
            return
        if block in self._key_of:
            self._kept[block] = None
        else:
            self._free.append(block)

    def name(self, block: int, key: bytes) -> None:
        """Lets a full block be found by its key; the first block of a key stays the one that is found."""
        if key not in self._by_key and block not in self._key_of:
            self._by_key[key] = block
            self._key_of[block] = key

    def find(self, key: bytes) -> int | None:
        """The block of this key, with one holder more; None where it is gone."""
        block = self._by_key.get(key)
        if block is not None:
            self._kept.pop(block, None)
            self._holders[block] += 1
        return block

    def forget(self) -> None:
        """No key is valid any more: the weights have changed."""
        self._free.extend(self._kept)
        self._kept.clear()
        self._key_of.clear()
        self._by_key.clear()

    def _evict(self) -> int:
        block, _ = self._kept.popitem(last=False)
        del self._by_key[self._key_of.pop(block)]
        return block
