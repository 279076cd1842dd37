"""A trajectory as bytes and back: typed arrays end to end, and a small head that says how they lie.

    body    = ids of all nodes (int32) | log-probabilities (float32) | versions (int32) | routing (uint16) | head
    head    = msgpack: agents, nodes without their arrays, events, verdict, variant

Large texts and media are not in it: they are kept as blobs under the hash of their content, once however often they
occur, and the head holds the hash. Pixels are kept as a PNG of the patches put together again: lossless, and a browser
shows it. Nothing of it is pickled.

Report: App. D (trajectories are recorded token for token).
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from manyeyes.core.media import Grid, Media
from manyeyes.core.media_png import media_name, media_of, media_png
from manyeyes.core.sampler import Draw
from manyeyes.core.trajectory import AgentSpan, Event, Node, Trajectory
from manyeyes.core.trajectory_summary import WireError

LARGE = 8192
"""Characters from which a text is kept as a blob."""
_TEXT, _NUMBER, _ODD_TEXT, _PAIRS = 1, 2, 3, 4
"""Codes of msgpack's extensions: a text by its hash, a whole number beyond 64 bits, a text with lone surrogates, an
object whose keys are such."""
_INT, _FLOAT, _SHORT = np.dtype("<i4"), np.dtype("<f4"), np.dtype("<u2")


Keep = Callable[[str, Callable[[], bytes]], None]
"""Keeps a blob under its name, unless it has it: the content is asked for only then."""
Fetch = Callable[[str], bytes]
"""The content of a blob."""


class Written(NamedTuple):
    """A trajectory as bytes: its arrays, end to end, and its head."""

    arrays: bytes
    head: bytes


class PictureName(NamedTuple):
    """A blob that holds the pixels of an item of media, and how they lie."""

    blob: str
    grid: Grid


def written(trajectory: Trajectory, keep: Keep) -> Written:
    """A trajectory as bytes.

    Args:
        keep: is handed what is kept beside them.

    Raises:
        WireError: data of an event, or the variant, that is no plain JSON.
    """
    nodes = trajectory.nodes
    lists = ([n.ids for n in nodes], [n.logprobs for n in nodes], [n.versions for n in nodes])
    parts = [_joined(arrays, kind) for arrays, kind in zip(lists, (_INT, _FLOAT, _INT), strict=True)]
    parts += [np.ascontiguousarray(n.routing, _SHORT).tobytes() for n in nodes if n.routing is not None]
    return Written(b"".join(parts), _head(trajectory, keep))


def read(arrays: memoryview, head: bytes | memoryview, fetch: Fetch, *, pictures: bool = True) -> Trajectory:
    """A trajectory from its bytes; its arrays are views of them.

    Args:
        arrays: as written.
        head: as written.
        fetch: gives the blobs.
        pictures: without them nodes have no media, and nothing is decoded; `pictures_of` names them.

    Raises:
        WireError: they are none.
        ManyeyesError: of `fetch`, where a blob is gone.
    """
    try:
        fields = _decoded(head, fetch)
        name, task, environment, agents, nodes, events, rewards, reward, variant, masked, stop = fields[:11]
        whole = Trajectory(name, task, environment, [AgentSpan(*agent) for agent in agents])
        whole.nodes = _nodes(nodes, arrays, fetch if pictures else None)
        whole.events = [Event(*event) for event in events]
        whole.rewards, whole.reward, whole.variant, whole.masked, whole.stop = rewards, reward, variant, masked, stop
    except (msgspec.DecodeError, ValueError, TypeError, IndexError, OSError) as error:
        raise WireError(f"the bytes are no trajectory ({error}); the file was edited or damaged") from error
    return whole


def pictures_of(head: bytes | memoryview) -> list[tuple[PictureName, ...]]:
    """For each node the names of its pictures.

    Raises:
        WireError: the bytes are none of a trajectory.
    """
    try:
        rows = msgspec.msgpack.decode(head)[4]
        return [tuple(PictureName(name, Grid(*grid)) for name, *grid in row[4]) for row in rows]
    except (msgspec.DecodeError, ValueError, TypeError, IndexError) as error:
        raise WireError(f"the bytes are no trajectory ({error}); the file was edited or damaged") from error


def _head(trajectory: Trajectory, keep: Keep) -> bytes:
    fields = [
        trajectory.name, trajectory.task, trajectory.environment, [_agent(agent) for agent in trajectory.agents],
        [_node(node, keep) for node in trajectory.nodes], trajectory.events, trajectory.rewards, trajectory.reward,
        trajectory.variant, trajectory.masked, trajectory.stop,
    ]  # fmt: skip
    try:
        head = _ENCODER.encode(fields)
        return head if len(head) <= LARGE else _ENCODER.encode(_slimmed(fields, keep))
    except (OverflowError, UnicodeEncodeError):  # what a model wrote as JSON may hold both
        return _ENCODER.encode(_slimmed(fields, keep))
    except (TypeError, RecursionError) as error:
        raise WireError(f"{trajectory.name}: its events and variant must be plain JSON: {error}") from error


def _agent(a: AgentSpan) -> tuple[Any, ...]:
    return (
        a.name, a.role, a.parent, a.node, a.call, a.policy, a.task, a.began, a.ended, a.stop, a.reason, a.text
    )  # fmt: skip


def _node(n: Node, keep: Keep) -> tuple[Any, ...]:
    routing = None if n.routing is None else n.routing.shape[1:]
    media = [_kept_media(item, keep) for item in n.media] if n.media else ()
    return (
        len(n.ids), n.given, n.parent, n.agent, media, n.logprob_kind, n.stop, n.fork, n.malformed, n.masked, n.at,
        n.seconds, routing, n.draw,
    )  # fmt: skip


def _kept_media(media: Media, keep: Keep) -> tuple[str | int, ...]:
    name = media_name(media)
    keep(name, lambda: media_png(media))
    return (name, *media.grid)


def _nodes(rows: Sequence[Any], arrays: memoryview, fetch: Fetch | None) -> list[Node]:
    total, sampled = sum(row[0] for row in rows), sum(row[0] - row[1] for row in rows)
    ids = np.frombuffer(arrays, _INT, total)
    logprobs = np.frombuffer(arrays, _FLOAT, sampled, total * 4)
    versions = np.frombuffer(arrays, _INT, sampled, (total + sampled) * 4)
    at, drawn, behind = 0, 0, (total + 2 * sampled) * 4
    pictures: dict[str, Media] = {}
    nodes = []
    for length, given, parent, agent, media, kind, stop, fork, malformed, masked, asked, took, routing, *draw in rows:
        chosen = slice(drawn, drawn + length - given)
        experts = None
        if routing is not None:
            experts = np.frombuffer(arrays, _SHORT, length * math.prod(routing), behind).reshape(length, *routing)
            behind += experts.nbytes
        items = tuple(_picture(item, pictures, fetch) for item in media) if fetch else ()
        nodes.append(Node(
            ids[at : at + length], given, logprobs[chosen], versions[chosen], parent, agent, items, kind, stop, fork,
            malformed, masked, asked, took, experts, Draw(*draw[0]) if any(draw) else None,
        ))  # fmt: skip
        at, drawn = at + length, drawn + length - given
    return nodes


def _picture(item: Sequence[Any], known: dict[str, Media], fetch: Fetch) -> Media:
    """An item of media; what several nodes hold is read once."""
    name, *grid = item
    if name not in known:
        known[name] = media_of(fetch(name), Grid(*grid))
    return known[name]


def _joined(arrays: Sequence[NDArray[Any]], kind: np.dtype[Any]) -> bytes:
    return np.concatenate(arrays, dtype=kind, casting="same_kind").tobytes() if arrays else b""


def _slimmed(value: Any, keep: Keep) -> Any:
    """The same without its large texts, and without what msgpack cannot say."""
    if isinstance(value, str):
        return _slim_text(value, keep)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else msgspec.msgpack.Ext(_NUMBER, hex(value).encode())
    if isinstance(value, dict):
        pairs = [(_slimmed(key, keep), _slimmed(one, keep)) for key, one in value.items()]
        odd = any(isinstance(key, msgspec.msgpack.Ext) for key, _ in pairs)
        return msgspec.msgpack.Ext(_PAIRS, _ENCODER.encode(pairs)) if odd else dict(pairs)
    if isinstance(value, list | tuple):
        return [_slimmed(one, keep) for one in value]
    return value


def _slim_text(text: str, keep: Keep) -> Any:
    try:
        content = text.encode() if len(text) > LARGE or not text.isascii() else b""
    except UnicodeEncodeError:
        return msgspec.msgpack.Ext(_ODD_TEXT, text.encode("utf-8", "surrogatepass"))
    if len(text) <= LARGE:
        return text
    digest = hashlib.sha256(content)
    keep(digest.hexdigest(), lambda: content)
    return msgspec.msgpack.Ext(_TEXT, digest.digest())


def _decoded(data: bytes | memoryview, fetch: Fetch) -> Any:
    return msgspec.msgpack.decode(data, ext_hook=lambda code, inner: _extension(code, bytes(inner), fetch))


def _extension(code: int, data: bytes, fetch: Fetch) -> Any:
    match code:
        case 1:
            return fetch(data.hex()).decode()
        case 2:
            return int(data, 16)
        case 3:
            return data.decode("utf-8", "surrogatepass")
        case 4:
            return dict(_decoded(data, fetch))
        case _:
            raise ValueError(f"no extension {code}")


def _plain(value: Any) -> Any:
    """Numbers of numpy are numbers."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is none of text, number, list and object")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
