"""A trajectory as one piece of bytes, its pictures included: for a checkpoint, and from one process to another.

Report: App. D.
"""

from collections.abc import Callable

import msgspec

from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_wire import WireError, read, written


class Parcel(msgspec.Struct, array_like=True):
    """As `core.trajectory_wire` writes it, and the blobs that it names."""

    arrays: bytes
    head: bytes
    blobs: dict[str, bytes] = {}


def packed(trajectory: Trajectory) -> bytes:
    """The bytes.

    Raises:
        WireError: its events hold something that is no JSON.
    """
    blobs: dict[str, bytes] = {}

    def keep(name: str, content: Callable[[], bytes]) -> None:
        if name not in blobs:
            blobs[name] = content()

    whole = written(trajectory, keep)
    return msgspec.msgpack.encode(Parcel(whole.arrays, whole.head, blobs))


def unpacked(data: bytes) -> Trajectory:
    """The trajectory.

    Raises:
        WireError: the bytes are none.
    """
    try:
        parcel = msgspec.msgpack.decode(data, type=Parcel)
        return read(memoryview(parcel.arrays), parcel.head, parcel.blobs.__getitem__)
    except (msgspec.DecodeError, KeyError) as error:
        raise WireError(f"the bytes are no parcel of a trajectory ({type(error).__name__}: {error})") from error
