"""A trajectory over HTTP: the bytes of `core.trajectory_wire`, with the blobs that it names beside them.

Report: App. D.
"""

from typing import Any

import msgspec

from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_wire import WireError, read, written

CONTENT_TYPE = "application/vnd.manyeyes.trajectory+msgpack"


class Parcel(msgspec.Struct):
    """What is sent.

    Attributes:
        blobs: media and large texts, by the hash of their content.
    """

    arrays: bytes
    head: bytes
    blobs: dict[str, bytes]


def to_bytes(trajectory: Trajectory) -> bytes:
    """A trajectory as the gateway sends it. Raises WireError."""
    blobs: dict[str, bytes] = {}

    def keep(name: str, content: Any) -> None:
        if name not in blobs:
            blobs[name] = content()

    arrays, head = written(trajectory, keep)
    return msgspec.msgpack.encode(Parcel(arrays, head, blobs))


def from_bytes(content: bytes) -> Trajectory:
    """A trajectory that a gateway sent. Raises WireError."""
    try:
        parcel = msgspec.msgpack.decode(content, type=Parcel)
    except msgspec.DecodeError as error:
        raise WireError(f"the bytes are no trajectory of a gateway ({error})") from error

    def fetch(name: str) -> bytes:
        if name not in parcel.blobs:
            raise WireError(f"the blob {name} is missing")
        return parcel.blobs[name]

    return read(memoryview(parcel.arrays), parcel.head, fetch)
