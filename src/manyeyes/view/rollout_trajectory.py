"""A trajectory as the viewer reads it: an outline in JSON, and its tokens as arrays.

Everything in it is foreign text: control characters are spelt out, and what is longer than a person reads is cut.

    outline   agents, nodes without their arrays, events, verdict, variant, findings of the checks, bytes of each id
    tokens    ids (int32) | log-probabilities (float32) | versions (int32) | each of `values` (float32)

Report: App. D.
"""

from typing import Any

import numpy as np

from manyeyes.core.data_rules import Rules
from manyeyes.core.errors import DataError
from manyeyes.core.token_values import read_token_values
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_checks import check_trajectory
from manyeyes.core.trajectory_store import TrajectoryStore, TrajectoryStoreError
from manyeyes.view.rollout_run import ShownRollouts
from manyeyes.view.wording import printable

LONGEST_TEXT = 20_000
"""Characters of a text in an event."""
MOST_ENTRIES, DEEPEST = 2000, 40
"""Of a list or object in an event."""
ROWS = 3
"""So deep lie an outline's own lists, down to the pictures of a node: they are never cut."""
_VALUE_TYPE = np.dtype("<f4")


def outline(run: ShownRollouts, store: TrajectoryStore, name: str) -> dict[str, Any]:
    """All but the tokens; plain JSON.

    Raises:
        TrajectoryStoreError: there is none of that name, or it was damaged; or its forest is broken.
    """
    whole = store.get(name, pictures=False)
    tokenizer = run.tokenizer
    findings = check_trajectory(whole, _rules(tokenizer))
    if broken := [finding for finding in findings if finding.check == "forest"]:
        raise TrajectoryStoreError(f"it cannot be drawn. {broken[0]}")
    place = run.group_of(name)
    values, problem = _values(run, whole)
    return shown({
        "name": whole.name,
        "task": whole.task,
        "environment": whole.environment,
        "stop": whole.stop,
        "masked": whole.masked,
        "reward": whole.reward,
        "rewards": whole.rewards,
        "variant": whole.variant,
        "group": place._asdict() if place else None,
        "agents": [
            [a.name, a.role, a.parent, a.node, a.policy, a.task, a.began, a.ended, a.stop, a.reason, a.text]
            for a in whole.agents
        ],
        "nodes": [
            [
                len(n.ids), n.given, n.parent, n.agent, n.at, n.seconds, n.stop, n.fork, n.malformed, n.masked,
                n.logprob_kind, whole.trainable(number), [[p.blob, *p.grid] for p in pictures],
            ]
            for number, (n, pictures) in enumerate(zip(whole.nodes, store.pictures(name), strict=True))
        ],
        "events": [event._asdict() for event in whole.events],
        "values": list(values),
        "findings": [*map(str, findings), *([problem] if problem else [])],
        "media_pad": tokenizer.media_pad if tokenizer else None,
    }) | {"texts": _texts(whole, tokenizer)}  # fmt: skip


def tokens(run: ShownRollouts, store: TrajectoryStore, name: str) -> bytes:
    """Its arrays, end to end.

    Raises:
        TrajectoryStoreError: there is none of that name, or it was damaged.
    """
    whole = store.get(name, pictures=False)
    parts = [
        np.concatenate([getattr(n, kind) for n in whole.nodes])
        for kind in ("ids", "logprobs", "versions")
        if whole.nodes
    ]
    parts += [array.astype(_VALUE_TYPE) for array in _values(run, whole)[0].values()]
    return b"".join(part.tobytes() for part in parts)


def blob(store: TrajectoryStore, name: str) -> bytes:
    """A picture by its hash.

    Raises:
        TrajectoryStoreError: there is none, or the blob is no picture.
    """
    content = store.blob(name)
    if not content.startswith(b"\x89PNG\r\n"):
        raise TrajectoryStoreError(f"{name} is no picture")
    return content


def shown(value: Any, *, depth: int = 0) -> Any:
    """A value as a page may show it: short enough, without control characters, and JSON whatever it was.

    Example:
        >>> shown({"said": "red\\x1b[2J", "n": 10**30})
        {'said': 'red\\\\x1b[2J', 'n': '1000000000000000000000000000000'}
    """
    if isinstance(value, str):
        most = 40 if value.startswith("data:") else LONGEST_TEXT  # pictures are shown where the model saw them
        return printable(value if len(value) <= most else f"{value[:most]} … ({len(value) - most:,} more characters)")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if depth > DEEPEST:
        return "…"
    if isinstance(value, dict):
        pairs = list(value.items())[:MOST_ENTRIES]
        return {shown(str(key), depth=depth + 1): shown(one, depth=depth + 1) for key, one in pairs}
    if isinstance(value, list | tuple):
        more = len(value) - MOST_ENTRIES if depth > ROWS else 0
        said = [shown(one, depth=depth + 1) for one in (value[:MOST_ENTRIES] if more > 0 else value)]
        return [*said, f"… ({more:,} more)"] if more > 0 else said
    return shown(str(value))


def _values(run: ShownRollouts, whole: Trajectory) -> tuple[dict[str, np.ndarray], str]:
    """What a trainer found, and what is wrong with it."""
    try:
        return read_token_values(run.folder, whole), ""
    except DataError as error:
        return {}, str(error)


def _rules(tokenizer: Tokenizer | None) -> Rules:
    return Rules(vocab_size=tokenizer.n_vocab) if tokenizer else Rules()


def _texts(whole: Trajectory, tokenizer: Tokenizer | None) -> dict[int, list[Any]] | None:
    """For each id that occurs its bytes, as Latin-1, and whether it is special; None without a vocabulary."""
    if tokenizer is None or not whole.nodes:
        return None
    ids = np.unique(np.concatenate([node.ids for node in whole.nodes])).tolist()
    known = [token for token in ids if 0 <= token < tokenizer.n_vocab]
    return {t: [tokenizer.token_bytes(t).decode("latin-1"), int(tokenizer.is_special(t))] for t in known}
