"""`Registry`: environments and the parts they are made of, by name: the package's own and those of installed plug-ins.

    [project.entry-points."manyeyes.environments"]          in any package's pyproject.toml
    maze = "my_package.maze:environment"                    a function that returns an `Environment`

    environment("maze")       task_source("maze", seed=0)       composed(toolsets=["clock"], judge="exact")

Nothing is loaded before somebody asks for it by name, so a broken plug-in fails when it is asked for, and nowhere else.
Two plug-ins of one name are an error for whoever asks for that name; nobody is preferred in silence.

Report: App. D (plug-ins composed around the agent's core loop).
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, distributions
from typing import Any, Literal, NamedTuple

from manyeyes.agent.environment import Ctx, Environment
from manyeyes.agent.judge import Judge
from manyeyes.agent.late_toolset import LateToolset
from manyeyes.agent.prompting.module import PromptModule
from manyeyes.agent.task_source import TaskSource
from manyeyes.agent.toolset import Together, Toolset
from manyeyes.core.errors import ConfigError

Kind = Literal["environments", "task_sources", "toolsets", "judges", "prompt_modules"]
KINDS: tuple[Kind, ...] = ("environments", "task_sources", "toolsets", "judges", "prompt_modules")
ONE: dict[Kind, str] = {
    "environments": "environment", "task_sources": "task source", "toolsets": "toolset", "judges": "judge",
    "prompt_modules": "prompt module",
}  # fmt: skip


class Listing(NamedTuple):
    """One name that can be asked for.

    Attributes:
        name: what one asks for.
        source: package that brings it; "" for one that was registered by hand.
        place: "module:function" that makes it.
    """

    name: str
    source: str
    place: str


class Found(NamedTuple):
    """What is installed: entry points with the package that brings each, and packages that cannot be read."""

    entries: tuple[tuple[str, EntryPoint], ...]
    broken: tuple[str, ...] = ()


class Registry:
    """Makes things by name.

    Args:
        own: functions by kind and name, beside what is installed.
        installed: what plug-ins bring; the environment that Python runs in where nothing is said.

    Example:
        >>> Registry({"toolsets": {"nothing": lambda ctx: Together()}}, installed=Found(())).names("toolsets")
        ['nothing']
    """

    def __init__(
        self, own: Mapping[Kind, Mapping[str, Callable[..., Any]]] | None = None, *, installed: Found | None = None
    ) -> None:
        self._own = {} if own is None else own
        self.installed = installed_plugins() if installed is None else installed

    def listed(self, kind: Kind) -> list[Listing]:
        """All that there is of a kind, by name; nothing is loaded."""
        own = [Listing(name, "", _place_of(make)) for name, make in self._own.get(kind, {}).items()]
        return sorted([*own, *(Listing(one.name, source, one.value) for source, one in self._entries(kind))])

    def names(self, kind: Kind) -> list[str]:
        """Names of a kind, each once."""
        return list(dict.fromkeys(one.name for one in self.listed(kind)))

    def maker(self, kind: Kind, name: str) -> Callable[..., Any]:
        """The function that makes it.

        Raises:
            ConfigError: nobody or more than one brings it, or it cannot be loaded.
        """
        own = [self._own[kind][name]] if name in self._own.get(kind, {}) else []
        foreign = [(source, one) for source, one in self._entries(kind) if one.name == name]
        if not own and not foreign:
            raise ConfigError(self._unknown(kind, name))
        if len(own) + len(foreign) > 1:
            places = [f"{one.place} ({one.source or 'by hand'})" for one in self.listed(kind) if one.name == name]
            raise ConfigError(f"more than one {ONE[kind]} is called {name!r}: {', '.join(places)}; remove all but one")
        return own[0] if own else _loaded(kind, *foreign[0])

    def made(self, kind: Kind, name: str, *given: Any, **options: Any) -> Any:
        """Call its maker.

        Raises:
            ConfigError: as `maker`, or the maker does not take these options.
        """
        make = self.maker(kind, name)
        try:
            return make(*given, **options)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # the call itself, not its body
                raise ConfigError(f"the {ONE[kind]} {name!r} cannot be made with {options}: {error}") from None
            raise

    def environment(self, name: str, **options: Any) -> Environment:
        """The environment of a name, which it carries from now on.

        Raises:
            ConfigError: there is none, it cannot be made, or it is something else.
        """
        made = self.made("environments", name, **options)
        if not isinstance(made, Environment):
            raise ConfigError(
                f"expected the environment {name!r} to be an Environment, its plug-in made a {type(made).__name__}"
            )
        return made if made.name else replace(made, name=name)

    def task_source(self, name: str, seed: int = 0, **options: Any) -> TaskSource:
        """The tasks of a name, in the order of a seed.

        Raises:
            ConfigError: there is none or it cannot be made.
        """
        return self.made("task_sources", name, seed=seed, **options)

    def toolset(self, name: str, ctx: Ctx) -> Toolset:
        """A toolset for one agent.

        Raises:
            ConfigError: there is none.
        """
        return self.made("toolsets", name, ctx)

    def judge(self, name: str, **options: Any) -> Judge:
        """A judge.

        Raises:
            ConfigError: there is none or it cannot be made.
        """
        return self.made("judges", name, **options)

    def prompt_module(self, name: str, **options: Any) -> PromptModule:
        """A prompt module.

        Raises:
            ConfigError: there is none or it cannot be made.
        """
        return self.made("prompt_modules", name, **options)

    def composed(
        self,
        *,
        toolsets: Sequence[str] = (),
        judge: str | None = None,
        modules: Sequence[str] = (),
        **fields: Any,
    ) -> Environment:
        """An environment of parts by name.

        Args:
            fields: of `Environment`, such as `system` and `limits`.

        Raises:
            ConfigError: a part is unknown; known before any agent starts.
        """
        makers = [self.maker("toolsets", name) for name in toolsets]
        return Environment(
            lambda ctx: LateToolset(*(make(ctx) for make in makers), build=Together),
            judge=None if judge is None else self.judge(judge),
            modules=tuple(self.prompt_module(name) for name in modules),
            **fields,
        )

    def _entries(self, kind: Kind) -> Iterator[tuple[str, EntryPoint]]:
        return ((source, one) for source, one in self.installed.entries if one.group == f"manyeyes.{kind}")

    def _unknown(self, kind: Kind, name: str) -> str:
        names = self.names(kind)
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        meant = f"; did you mean {nearest[0]!r}?" if nearest else ""
        broken = f"; packages that cannot be read: {', '.join(self.installed.broken)}" if self.installed.broken else ""
        return f"there is no {ONE[kind]} called {name!r}{meant} (there are: {', '.join(names) or 'none'}){broken}"


def environment(name: str, **options: Any) -> Environment:
    """See `Registry.environment`."""
    return Registry().environment(name, **options)


def task_source(name: str, seed: int = 0, **options: Any) -> TaskSource:
    """See `Registry.task_source`."""
    return Registry().task_source(name, seed, **options)


def composed(**parts: Any) -> Environment:
    """See `Registry.composed`."""
    return Registry().composed(**parts)


def installed_plugins(packages: Iterable[Any] | None = None) -> Found:
    """Entry points of manyeyes in all packages; of two packages with one name, the first is the one that runs."""
    entries: list[tuple[str, EntryPoint]] = []
    broken: list[str] = []
    seen: set[str] = set()
    for package in distributions() if packages is None else packages:
        try:
            name = package.name
            if name in seen:
                continue
            seen.add(name)
            entries += [(name, one) for one in package.entry_points if one.group.startswith("manyeyes.")]
        except Exception as error:  # the boundary: somebody else's broken package must not hide the others
            broken.append(f"{getattr(package, '_path', package)} ({type(error).__name__}: {error})")
    return Found(tuple(entries), tuple(broken))


def _loaded(kind: Kind, source: str, entry: EntryPoint) -> Callable[..., Any]:
    try:
        made = entry.load()
    except Exception as error:  # the boundary: a plug-in's import may do anything
        raise ConfigError(
            f"the {ONE[kind]} {entry.name!r} of package {source} ({entry.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not callable(made):
        raise ConfigError(
            f"expected {entry.value} of package {source} to be a function that makes a {ONE[kind]}, got {made!r}"
        )
    return made


def _place_of(make: Callable[..., Any]) -> str:
    return f"{getattr(make, '__module__', '?')}:{getattr(make, '__qualname__', repr(make))}"
