"""`AttemptEnvironment`: an environment whose attempts each need something of their own, made for their task.

    here, task, variant = environment.drawn(task, seed=0, name="t/0/0")     `bound(task)`, then the prompt modules

A screen, a repository, a picture: what an attempt finds depends on its task, and what its judge looks at is what that
attempt has left. Both belong to the environment as `drawn` gives it, which serves one attempt and no other.

Report: App. D (environments); none for the class.
"""

from dataclasses import dataclass
from typing import Any, NoReturn, Self

from manyeyes.agent.environment import Environment
from manyeyes.agent.task import Task
from manyeyes.core.errors import ConfigError


def undrawn(*_: Any) -> NoReturn:
    """What an environment says that was not drawn for an attempt.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        "this environment is made for each attempt: use what environment.drawn(task, seed=0, name=...) gives"
    )


def redrawn() -> NoReturn:
    """What an environment says that was drawn already, and so belongs to an attempt.

    Raises:
        ConfigError: always.
    """
    raise ConfigError("this environment was drawn for an attempt already; draw the one that it was drawn from")


@dataclass
class AttemptEnvironment(Environment):
    """See the module; subclasses say in `bound` what an attempt gets."""

    make_toolset: Any = undrawn

    # --- override this ---

    def bound(self, task: Task) -> Self:
        """The environment for one attempt at this task; its judge judges that attempt."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Try what all attempts need, such as a sandbox: a run asks before its first attempt.

        Raises:
            ManyeyesError: it cannot be had here; the message says what to do.
        """

    # --- machinery ---

    def drawn(self, task: Task, *, seed: int, name: str) -> tuple[Self, Task, dict[str, Any]]:
        """See `Environment.drawn`."""
        return super(AttemptEnvironment, self.bound(task)).drawn(task, seed=seed, name=name)

    def varied(self, task: Task, variant: dict[str, Any]) -> tuple[Self, Task]:
        """See `Environment.varied`."""
        return super(AttemptEnvironment, self.bound(task)).varied(task, variant)

    async def close(self) -> None:
        """Let go of what all attempts share, such as a browser; whoever made the environment calls it at the end."""
