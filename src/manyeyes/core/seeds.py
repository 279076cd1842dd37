"""Named random streams: every draw in manyeyes can be replayed from (seed, name, indices).

A stream is a counter-based Philox generator whose key is blake2b(seed, name, indices). Nothing is remembered between
draws, so there is no generator state to save: a resumed run, another worker count or another rank count asks for the
same stream and gets the same numbers. No code in the training path uses a global generator.

Report: App. C.1 (deterministic training); Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

import hashlib

import numpy as np


def key(seed: int, name: str, *indices: int) -> int:
    """A 128-bit key for one stream.

    Args:
        seed: the run's seed.
        name: a path such as "data/augment".
        indices: what the draw belongs to (epoch, sample, step, layer, ...).

    Example:
        >>> key(0, "data/augment", 1, 2) == key(0, "data/augment", 1, 2)
        True
        >>> key(0, "data/augment", 12) == key(0, "data/augment", 1, 2)
        False
    """
    text = "\x1f".join([str(int(seed)), name, *(str(int(i)) for i in indices)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def stream(seed: int, name: str, *indices: int) -> np.random.Generator:
    """A numpy generator for one named stream; the same arguments always give the same numbers.

    Example:
        >>> float(stream(0, "demo", 3).random()) == float(stream(0, "demo", 3).random())
        True
    """
    return np.random.Generator(np.random.Philox(key=key(seed, name, *indices)))


def torch_seed(seed: int, name: str, *indices: int) -> int:
    """A 63-bit seed for a `torch.Generator`, drawn from the same naming scheme (core itself imports no torch)."""
    return key(seed, name, *indices) & 0x7FFF_FFFF_FFFF_FFFF
