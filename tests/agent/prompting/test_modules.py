"""Diversification: same seed, same variant; the record alone presents the same again; the task stays the task."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, Rewards
from manyeyes.agent.prompting.answer_language import AnswerLanguage
from manyeyes.agent.prompting.distractors import POOL, Distractors
from manyeyes.agent.prompting.instructions import Instructions
from manyeyes.agent.prompting.languages import LANGUAGES, written_in
from manyeyes.agent.prompting.message_layout import LAYOUTS, MessageLayout, arranged
from manyeyes.agent.prompting.module import PromptModule
from manyeyes.agent.prompting.system_style import FRAMES, SystemStyle
from manyeyes.agent.prompting.tool_naming import DESCRIPTIONS, STYLES, ToolNaming
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.toolset import Functions, tool
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Picture
from manyeyes.core.messages import ToolCall, system, user

EVERY: tuple[PromptModule, ...] = (
    SystemStyle(), AnswerLanguage(), Instructions(), Distractors(), ToolNaming(mentioned=("search_web",)),
    MessageLayout(),
)  # fmt: skip
TASK = Task("t", "How heavy is an axolotl? Look it up with `search_web`.", truth="80 g")


@tool(repeatable=True)
async def search_web(query: str, top: int = 3) -> str:
    """Search the web. Unlike `read_page`, it gives `top` results.

    Args:
        query: what is looked for.
        top: how many results.
    """
    return f"{top} results for query {query}"


async def read_page(url: str) -> str:
    """Read a page.

    Args:
        url: of the page.
    """
    raise RuntimeError("no page")


def environment(*modules: PromptModule) -> Environment:
    judge = Rewards(right=lambda case: 1.0)
    return Environment(
        lambda ctx: Functions([search_web, read_page]), "Use `search_web` well.", judge=judge, modules=modules
    )


def seen(environment: Environment, task: Task) -> Any:
    session = environment.open(None)  # pyright: ignore[reportArgumentType]
    return environment.prompt(task), session.tools


@given(seed=st.integers(0, 2**40), name=st.text(max_size=8))
def test_the_same_seed_draws_the_same_and_the_record_alone_presents_it_again(seed: int, name: str) -> None:
    whole = environment(*EVERY)
    first, first_task, variant = whole.drawn(TASK, seed=seed, name=name)
    again, again_task, variant_again = whole.drawn(TASK, seed=seed, name=name)
    recorded = json.loads(json.dumps(variant))
    replayed, replayed_task = whole.varied(TASK, recorded)
    assert variant == variant_again == recorded and list(variant) == [module.name for module in EVERY]
    assert seen(first, first_task) == seen(again, again_task) == seen(replayed, replayed_task)
    assert first_task.truth == TASK.truth and first_task.id == TASK.id


def test_attempts_seeds_and_modules_draw_each_their_own() -> None:
    whole = environment(*EVERY)
    variants = [json.dumps(whole.drawn(TASK, seed=seed, name=name)[2]) for seed in (0, 1) for name in ("a/0", "a/1")]
    assert len(set(variants)) == 4
    alone = environment(EVERY[-1]).drawn(TASK, seed=0, name="a/0")[2]
    assert alone["message_layout"] == json.loads(variants[0])["message_layout"]


def test_without_modules_nothing_changes() -> None:
    plain = environment()
    assert plain.drawn(TASK, seed=0, name="x") == (plain, TASK, {})


def test_a_variant_of_other_modules_and_modules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected a variant of modules"):
        environment(SystemStyle()).varied(TASK, {"layout": {}})
    with pytest.raises(ConfigError, match="two prompt modules"):
        environment(SystemStyle(), SystemStyle()).drawn(TASK, seed=0, name="x")


def test_a_drawn_environment_judges_what_was_asked_on_top() -> None:
    asks = environment(AnswerLanguage(codes=("de",), weight=0.5))
    here, task, variant = asks.drawn(TASK, seed=0, name="x")
    assert here.judge is not None and any(one in task.prompt + here.system for one in LANGUAGES["de"].ask)
    answers = {"Das ist die Antwort.": (1.5, 1.0), "This is the answer.": (1.0, 0.0)}
    for text, (reward, spoken) in answers.items():
        verdict = asyncio.run(here.judge(Case(task, Outcome("done", text), variant=variant)))
        assert verdict.reward == reward and verdict.parts == {"right": 1.0, "language": spoken}


def test_what_is_asked_after_constraints_might_contradict_them() -> None:
    with pytest.raises(ConfigError, match="in front"):
        environment(Instructions(), AnswerLanguage(codes=("fr",))).drawn(TASK, seed=0, name="x")


# --- tool naming ---


def renamed(style: str, *, synonyms: int = 0, descriptions: str = "plain") -> tuple[Environment, Functions]:
    module = ToolNaming(mentioned=("search_web",))
    choice = {"style": style, "synonyms": synonyms, "descriptions": descriptions}
    here, _ = environment(module).varied(TASK, {module.name: choice})
    return here, here.open(None).toolset  # pyright: ignore[reportArgumentType, reportReturnType]


def call(toolset: Functions, name: str, **arguments: Any) -> Any:
    return asyncio.run(toolset.call(ToolCall("c", name, json.dumps(arguments))))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("synonyms", [0, 1, 2, 3])
@pytest.mark.parametrize("descriptions", DESCRIPTIONS)
def test_renamed_tools_give_the_same_results(style: str, synonyms: int, descriptions: str) -> None:
    plain = Functions([search_web, read_page])
    _, shown = renamed(style, synonyms=synonyms, descriptions=descriptions)
    search = shown.tools[0]
    parameters = {_meaning(one): name for name, one in search.parameters["properties"].items()}
    query, top = parameters["what is looked for."], parameters["how many results."]
    given = {query: "axolotl, query", top: 5}
    assert call(shown, search.name, **given) == call(plain, "search_web", query="axolotl, query", top=5)
    assert call(shown, search.name, **{query: "é"}) == call(plain, "search_web", query="é")
    assert search.parameters["required"] == [query] and shown.repeatable == {search.name}


def _meaning(schema: dict[str, Any]) -> str:
    return schema["description"]


@pytest.mark.parametrize("style", [style for style in STYLES if style not in ("plain", "snake")])
def test_names_that_are_not_shown_are_names_of_nothing(style: str) -> None:
    _, shown = renamed(style)
    search = shown.tools[0]
    assert call(shown, "search_web", query="x").failure == "unknown_tool"
    if "query" not in search.parameters["properties"]:
        result = call(shown, search.name, query="x")
        assert result.failure == "bad_arguments" and "expected some of" in result.text


def test_what_a_model_reads_knows_the_shown_names_only() -> None:
    here, shown = renamed("verbose")
    search, page = shown.tools
    assert search.name == "use_search_web_tool" and list(search.parameters["properties"]) == ["the_query", "the_top"]
    assert search.description == "Search the web. Unlike `use_read_page_tool`, it gives `the_top` results."
    assert here.system == "Use `use_search_web_tool` well."
    missing = call(shown, search.name)
    assert (
        missing.failure == "bad_arguments" and "`the_query`" in missing.text and "search_web" not in missing.text[8:36]
    )
    wrong = call(shown, search.name, the_query="x", the_top="many")
    assert "$.the_top" in wrong.text and "use_search_web_tool" in wrong.text
    assert "use_read_page_tool failed: RuntimeError: no page" in call(shown, page.name, the_url="x").text
    for broken in ("{", "[1]", '{"the_query": ' + "[" * 100_000):
        result = asyncio.run(shown.call(ToolCall("c", search.name, broken)))
        assert result.failure == "bad_arguments"


def test_parameters_that_would_become_one_keep_their_names() -> None:
    async def move(path: str, location: str, file: str) -> str:
        """Move.

        Args:
            path: a.
            location: b.
            file: c.
        """
        return f"{path}{location}{file}"

    module = ToolNaming()
    for seed in range(1, 20):
        here = Environment(lambda ctx: Functions([move]), modules=(module,))
        shown, _ = here.varied(TASK, {module.name: {"style": "plain", "synonyms": seed, "descriptions": "plain"}})
        toolset = shown.open(None).toolset  # pyright: ignore[reportArgumentType]
        names = {one["description"]: name for name, one in toolset.tools[0].parameters["properties"].items()}
        result = call(toolset, "move", **{names["a."]: "1", names["b."]: "2", names["c."]: "3"})  # pyright: ignore
        assert len(names) == 3 and result.text == "123"


def test_unknown_styles_are_refused() -> None:
    with pytest.raises(ConfigError, match="style"):
        ToolNaming(styles=("shouting",))


# --- distractors, styles, layouts, languages ---


def test_distractors_work_and_leave_the_others_alone() -> None:
    module = Distractors()
    here, _ = environment(module).varied(TASK, {module.name: {"tools": ["weekday", "word_count"], "first": True}})
    shown: Any = here.open(None).toolset  # pyright: ignore[reportArgumentType]
    assert [one.name for one in shown.tools] == ["weekday", "word_count", "search_web", "read_page"]
    assert call(shown, "weekday", year=2026, month=11, day=26).text == "Thursday"
    assert call(shown, "search_web", query="x").text == "3 results for query x"


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [("days_between", {"first": "2026-01-01", "second": "2026-03-01"}, "59"),
     ("celsius_to_fahrenheit", {"celsius": 100}, "212"), ("kilometres_to_miles", {"kilometres": 1.609344}, "1"),
     ("checksum", {"text": ""}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
     ("roman_numeral", {"number": 1994}, "MCMXCIV"), ("roman_numeral", {"number": 0}, "only numbers from 1 to 3999"),
     ("reverse_text", {"text": "abc"}, "cba"), ("word_count", {"text": "a b  c"}, "3")],
)  # fmt: skip
def test_each_distractor_does_what_it_says(name: str, arguments: Any, result: str) -> None:
    assert call(Functions([POOL[name]]), name, **arguments).text.startswith(result)


def test_a_distractor_may_not_hide_a_tool() -> None:
    module = Distractors(most=1, pool={"search_web": search_web})
    here, _ = environment(module).varied(TASK, {module.name: {"tools": ["search_web"], "first": False}})
    with pytest.raises(ConfigError, match="leave these out"):
        here.open(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="another pool"):
        environment(module).varied(TASK, {module.name: {"tools": ["weekday"], "first": False}})


@pytest.mark.parametrize("frame", FRAMES)
def test_every_word_of_a_system_prompt_stays(frame: str) -> None:
    module = SystemStyle()
    here, _ = environment(module).varied(TASK, {module.name: {"voice": "Be kind.", "frame": frame}})
    assert "Use `search_web` well." in here.system and here.system.startswith("Be kind.")
    empty, _ = replace(environment(module), system="").varied(TASK, {module.name: {"voice": "", "frame": frame}})
    assert empty.prompt(TASK) == [user(TASK.prompt)]


@pytest.mark.parametrize("layout", [*LAYOUTS, "developer"])
def test_a_layout_moves_and_loses_nothing(layout: str) -> None:
    messages = [system("Be brief."), user("Look:", Picture.of(np.zeros((1, 1, 3), np.uint8)), "what is it?")]
    shown = arranged(messages, layout)
    text = "".join(message.text for message in shown)
    assert "Be brief." in text and "Look:what is it?" in text
    assert [item for message in shown for item in message.media] == [item for one in messages for item in one.media]
    assert "only" in "".join(message.text for message in arranged([user("only")], layout))


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_is_told_from_all_others(code: str) -> None:
    texts = [LANGUAGES[code].sentence, LANGUAGES[code].sentence.upper(), f"{LANGUAGES[code].sentence} x = 42"]
    for text in texts:
        assert [other for other in LANGUAGES if written_in(text, other)] == [code]
    assert sum(written_in(ask, code) for ask in LANGUAGES[code].ask) >= 2


def test_what_is_no_language_is_none() -> None:
    for text in ("", "42", "x = 1", "!!!", "🙂🙂🙂🙂🙂"):
        assert not any(written_in(text, code) for code in LANGUAGES)
