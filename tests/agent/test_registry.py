"""Plug-ins by name: found without being loaded, and told apart."""

import sys
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Rewards
from manyeyes.agent.prompting.system_style import SystemStyle
from manyeyes.agent.registry import Found, Registry, installed_plugins
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Functions
from manyeyes.core.errors import ConfigError


async def tick() -> str:
    """Tick."""
    return "tock"


def maze(size: int = 3) -> Environment:
    return Environment(lambda ctx: Functions([tick]), system=f"A maze of {size}.")


def entry(name: str, value: str, kind: str = "environments") -> tuple[str, EntryPoint]:
    return "some-package", EntryPoint(name, value, f"manyeyes.{kind}")


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("a_plugin")
    module.maze, module.number, module.nothing = maze, 7, lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "a_plugin", module)
    return module


def test_an_environment_by_name_carries_it(plugin: ModuleType) -> None:
    made = Registry(installed=Found((entry("maze", "a_plugin:maze"),))).environment("maze", size=5)
    assert made.name == "maze" and made.system == "A maze of 5."


def test_an_unknown_name_suggests_the_nearest() -> None:
    registry = Registry({"environments": {"maze": maze}}, installed=Found((), ("broken (ValueError: x)",)))
    with pytest.raises(
        ConfigError, match=r"no environment called 'mase'; did you mean 'maze'\?.*cannot be read: broken"
    ):
        registry.environment("mase")
    with pytest.raises(ConfigError, match="there are: none"):
        registry.judge("strict")


def test_a_broken_plugin_hides_nobody_and_fails_when_asked_for(plugin: ModuleType) -> None:
    entries = (entry("broken", "no_such_module_here:x"), entry("gone", "a_plugin:gone"), entry("maze", "a_plugin:maze"))
    registry = Registry(installed=Found(entries))
    assert registry.names("environments") == ["broken", "gone", "maze"]
    assert registry.environment("maze").name == "maze"
    with pytest.raises(ConfigError, match="'broken' of package some-package.*ModuleNotFoundError"):
        registry.environment("broken")
    with pytest.raises(ConfigError, match="AttributeError"):
        registry.environment("gone")


def test_two_of_one_name_are_an_error_for_that_name_alone(plugin: ModuleType) -> None:
    entries = (entry("maze", "a_plugin:maze"), entry("maze", "b_plugin:maze"), entry("other", "a_plugin:maze"))
    registry = Registry({"environments": {"other": maze}}, installed=Found(entries[:2]))
    with pytest.raises(ConfigError, match=r"called 'maze': a_plugin:maze .*, b_plugin:maze"):
        registry.environment("maze")
    assert registry.environment("other").name == "other"
    with pytest.raises(ConfigError, match="by hand"):
        Registry({"environments": {"other": maze}}, installed=Found(entries)).environment("other")


@pytest.mark.parametrize(("value", "why"), [("a_plugin:number", "to be a function"), ("a_plugin:nothing", "NoneType")])
def test_what_makes_no_environment_is_refused(value: str, why: str, plugin: ModuleType) -> None:
    with pytest.raises(ConfigError, match=why):
        Registry(installed=Found((entry("odd", value),))).environment("odd")


def test_wrong_options_are_told_from_bugs(plugin: ModuleType) -> None:
    def buggy() -> Environment:
        raise TypeError("a bug")

    registry = Registry({"environments": {"maze": maze, "buggy": buggy}}, installed=Found(()))
    with pytest.raises(ConfigError, match="cannot be made with {'colour': 1}"):
        registry.environment("maze", colour=1)
    with pytest.raises(TypeError, match="a bug"):
        registry.environment("buggy")


def test_an_environment_is_composed_of_parts_by_name() -> None:
    parts: dict[Any, Any] = {
        "toolsets": {"clock": lambda ctx: Functions([tick])},
        "judges": {"kind": lambda: Rewards(all=lambda case: 1.0)},
        "prompt_modules": {"style": SystemStyle},
        "task_sources": {"n": lambda seed: Tasks(lambda n: Task(str(n), ""), size=3, seed=seed)},
    }
    registry = Registry(parts, installed=Found(()))
    made = registry.composed(toolsets=["clock"], judge="kind", modules=["style"], system="Tell the time.")
    assert isinstance(made.judge, Rewards) and made.modules[0].name == "system_style"
    assert [tool.name for tool in made.make_toolset(None).tools] == ["tick"]  # pyright: ignore[reportArgumentType]
    assert registry.task_source("n", 4).state()["of"]["seed"] == 4
    with pytest.raises(ConfigError, match="did you mean 'clock'"):
        registry.composed(toolsets=["clocks"])


class Package(Distribution):
    """An installed package by its entry points."""

    def __init__(self, name: str, text: str | None) -> None:
        self.text, self.said = text, name

    @property
    def name(self) -> str:
        return self.said

    @property
    def entry_points(self) -> Any:
        if self.text is None:
            raise ValueError("this package is broken")
        return [EntryPoint(*line.split()) for line in self.text.splitlines()]

    def read_text(self, filename: str) -> str | None:
        return None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


def test_installed_packages_are_read_one_by_one() -> None:
    packages = [
        Package("one", "a x:a manyeyes.judges\nb x:b other.group"), Package("bad", None),
        Package("two", "c x:c manyeyes.environments"), Package("one", "d x:d manyeyes.judges"),
    ]  # fmt: skip
    found = installed_plugins(packages)
    assert [(source, one.name) for source, one in found.entries] == [("one", "a"), ("two", "c")]
    assert len(found.broken) == 1 and "this package is broken" in found.broken[0]
    assert Registry(installed=found).listed("judges")[0] == ("a", "one", "x:a")
