"""A checkpoint of the attempts that are under way: what they had done, and what was sampled of an open turn.

    await manager.suspend()
    await manager.checkpoint(folder)        …the process may end…
    manager.restore(folder)                 in a new one, before the same groups are submitted

Report: App. D (partial rollouts).
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from manyeyes.agent.rollouts.attempt import Attempt
from manyeyes.agent.rollouts.captured_sampler import CapturedSampler
from manyeyes.agent.rollouts.host import Host
from manyeyes.agent.rollouts.parcel import packed
from manyeyes.agent.rollouts.past import Part, Suspended, part_of
from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.errors import ConfigError, ManyeyesError
from manyeyes.core.trajectory import Policy

SUSPENDED = "suspended.msgpack"
QUIET_SECONDS, LOOK_SECONDS = 60.0, 0.02
"""Within which samplers must have handed back what they were asked to, and how often that is looked at."""


class CheckpointedRollouts(msgspec.Struct, array_like=True):
    """A checkpoint.

    Attributes:
        version: of the policy.
        attempts: by name.
    """

    version: int
    attempts: dict[str, Suspended]


class RolloutCheckpointError(ManyeyesError):
    """A checkpoint of rollouts that cannot be written or read."""


def suspended(attempt: Attempt) -> Suspended:
    """An attempt as it is now."""
    trajectory, main = attempt.trajectory, attempt.main
    assert trajectory is not None, "an attempt that runs has a trajectory"
    parts: dict[str, Part] = {}
    started: dict[str, list[str]] = {}
    for name, past in attempt.past.items():  # of a replay that has not come so far yet
        if past.part is not None and past.part.ids:
            parts[name] = part_of(past.part)
        if past.started:
            started[name] = sorted(past.started)
    for agent in main.family:
        if agent.part is not None and agent.part.ids:
            parts[agent.agent] = part_of(agent.part)
        if agent.calls:
            started[agent.agent] = sorted(agent.calls | set(started.get(agent.agent, ())))
    return Suspended(packed(trajectory), main.seconds, parts, started, dict(attempt.tries or {}))


def write(folder: str | Path, version: int, attempts: Iterable[Attempt], waiting: Mapping[str, Suspended]) -> int:
    """Write a checkpoint, whole or not at all; returns how many attempts it holds.

    Args:
        waiting: attempts of an earlier checkpoint that have not gone on yet.

    Raises:
        RolloutCheckpointError: the disk is full or gone.
    """
    held = {**waiting, **{one.name: suspended(one) for one in attempts}}
    path = Path(folder) / SUSPENDED
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.msgpack.encode(CheckpointedRollouts(version, held)))
        part.replace(path)
    except OSError as error:
        raise RolloutCheckpointError(f"{path}: {error.strerror}; free some space and try again") from error
    return len(held)


def read(folder: str | Path) -> CheckpointedRollouts:
    """Read a checkpoint.

    Raises:
        RolloutCheckpointError: there is none, or it was damaged.
    """
    path = Path(folder) / SUSPENDED
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=CheckpointedRollouts)
    except OSError as error:
        raise RolloutCheckpointError(f"{path}: {error.strerror}; name the folder of a checkpoint") from error
    except msgspec.DecodeError as error:
        raise RolloutCheckpointError(f"{path}: no checkpoint of rollouts ({error})") from error


def check_captured(models: Mapping[Policy, Any]) -> None:
    """A chat whose sampler nobody listens to would sample everything again, behind what was sampled.

    Raises:
        ConfigError: there is one.
    """
    for policy, model in models.items():
        if isinstance(model, TokenChat) and not isinstance(model.sampler, CapturedSampler):
            raise ConfigError(
                f"a checkpoint needs to know what the {policy!r} model samples: "
                "make it as TokenChat(CapturedSampler(sampler), …)"
            )


async def handed_back(host: Host) -> None:
    """Wait until no request is with a sampler any more.

    Raises:
        RolloutCheckpointError: a sampler does not hand back.
    """
    for _ in range(int(QUIET_SECONDS / LOOK_SECONDS)):
        if not host.sampling:
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise RolloutCheckpointError(
        f"{host.sampling} requests were not handed back within {QUIET_SECONDS:g} s, so they cannot be written down"
    )
