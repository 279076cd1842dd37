"""`Pending`: draws that are wanted and were not learned from yet: what is asked of the rollout manager.

    draw → request → (rollouts) → taken

A group's id is the number of its draw, so a resumed run finds in the store what had ended; its temperature is that of
the time when it was drawn. What weights that a resumed run has not reached have said is not taken for what these say:
such a draw is asked for under another id. A run that does not repeat itself (the asynchronous one) reaches the numbers
of such weights and never them: their groups stay lost, in later lives, too (`lose`).

Report: App. C.1 (exact resume).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.core.seeds import key
from manyeyes.core.trajectory_store import TrajectoryStore
from manyeyes.rl.domains import Domains, Drawn
from manyeyes.rl.drawn_from import require_learnable
from manyeyes.rl.rl_config import RlConfig


class Wanted(NamedTuple):
    """A draw, and the temperature that its attempts are sampled at."""

    drawn: Drawn
    temperature: float


class Pending:
    """By id of the group, in order.

    Args:
        store: of trajectories, that of the manager.
    """

    def __init__(self, domains: Domains, config: RlConfig, store: TrajectoryStore | None) -> None:
        self._domains, self._config, self._store = domains, config, store
        self._wanted: dict[str, Wanted] = {}
        self._lost: set[str] = set()

    def __len__(self) -> int:
        return len(self._wanted)

    def __getitem__(self, group: str) -> Drawn:
        return self._wanted[group].drawn

    def request(self, wanted: Wanted, *, step: int) -> GroupRequest:
        """What the manager is asked for.

        Args:
            step: finished ones, which is the version of the weights.

        Raises:
            ConfigError: its environment samples in a way that cannot be learned from.
        """
        drawn = wanted.drawn
        episode = self._domains.episode(drawn, temperature=wanted.temperature)
        require_learnable(episode, place=drawn.key)
        request = GroupRequest(
            self._id_of(drawn, step),
            drawn.task,
            episode,
            self._config.attempts,
            priority=drawn.number,
            seed=key(self._config.seed, "rl/group", drawn.number) >> 66,
            quorum=self._config.quorum,
        )
        self._wanted[request.id] = wanted
        return request

    def again(self, *, step: int) -> Iterator[GroupRequest]:
        """All of them anew, for a manager that knows of none."""
        before, self._wanted = list(self._wanted.values()), {}
        return (self.request(wanted, step=step) for wanted in before)

    def take(self, group: str) -> Drawn:
        """A group is learned from, or left out for good."""
        return self._wanted.pop(group).drawn

    def lose(self, *, beyond: int) -> None:
        """A life of the run begins: what the store has of weights beyond such a step was said in one that is over."""
        if self._store is not None:
            names = [one.name for one in self._store.find() if one.last_version > beyond]
            self._lost.update(name.rpartition("/")[0] for name in names if self._is_ahead(name, beyond))

    def plain(self) -> list[dict[str, Any]]:
        """For a checkpoint."""
        return [one.drawn.plain() | {"temperature": one.temperature} for one in self._wanted.values()]

    @property
    def lost(self) -> list[str]:
        """For a checkpoint: groups of earlier lives that are not to be taken up, as "<task>/<id>"."""
        return sorted(self._lost)

    def load(self, plain: Sequence[Mapping[str, Any]], lost: Sequence[str] = ()) -> None:
        """What `plain` and `lost` gave.

        Raises:
            CheckpointError: a source does not bring its task any more.
        """
        found = [Wanted(self._domains.again(one), float(one["temperature"])) for one in plain]
        self._wanted = {str(wanted.drawn.number): wanted for wanted in found}
        self._lost = set(lost)

    def _id_of(self, drawn: Drawn, step: int) -> str:
        name, life = str(drawn.number), 0
        while self._is_lost(f"{drawn.task.id}/{name}", step):
            life += 1
            name = f"{drawn.number}.{life}"
        return name

    def _is_lost(self, group: str, step: int) -> bool:
        ahead = (self._is_ahead(f"{group}/{n}", step) for n in range(self._config.attempts))
        return group in self._lost or any(ahead)

    def _is_ahead(self, attempt: str, step: int) -> bool:
        """Whether the store has it of weights that this run has not reached."""
        store = self._store
        if store is None or attempt not in store or store.summary(attempt).last_version <= step:
            return False
        one = store.get(attempt, pictures=False)  # frozen agents have versions of their own
        spans = (node.versions for number, node in enumerate(one.nodes) if one.trainable(number))
        return any(len(versions) and int(versions.max()) > step for versions in spans)
