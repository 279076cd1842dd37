"""The rule-based model: it finds what is true with the tools, alone and as a swarm, and knows nothing without them."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from manyeyes.agent.budget import Limits
from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.context import ContextStrategy, DiscardAll, HideToolResults, ShowAll, Summarise
from manyeyes.agent.environment import Environment
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.tools.local_web import LocalWeb
from manyeyes.agent.tools.web import web_tools
from manyeyes.core.journal import Event, Journal, read
from manyeyes.core.messages import system, user
from manyeyes.swarm.critical_steps import StepCounter
from manyeyes.swarm.orchestrator import PRESETS, SwarmConfig
from manyeyes.swarm.rule_attempts import attempts_of
from manyeyes.swarm.rule_model import RulePolicy, rule_model
from manyeyes.swarm.rule_notes import Note, notes_of, partial_rows, table_in
from manyeyes.swarm.rule_plan import part_of_table, plan_of, role_subject
from manyeyes.swarm.world import DeepTask, WideTask, deep_tasks, wide_tasks, world_web

WEB = world_web()
WIDE = {task.id: task for task in wide_tasks()}
SHOW_ALL = ShowAll()
SMALL, LARGE = wide_tasks()[1], WIDE["world_006"]


def ran(
    folder: Path, prompt: str, mode: str, *, web: LocalWeb = WEB, steps: float = 400, limit: str = "widesearch",
    context: ContextStrategy = SHOW_ALL, **rules,
) -> tuple[Outcome, list[Event]]:  # fmt: skip
    """A run and its events."""
    config = SwarmConfig(lambda ctx: web_tools(web, web, ctx), preset=PRESETS[limit])
    alone = Environment(lambda ctx: web_tools(web, web, ctx), limits=Limits(steps=steps), context=context)

    async def go() -> Outcome:
        with Journal(folder) as journal:
            environment = config.orchestrator() if mode == "swarm" else alone
            return await AgentRun(journal, rule_model(**rules)).start(Task("t", prompt), environment)

    return asyncio.run(go()), read(folder).events


def steps(events: list[Event]) -> StepCounter:
    counter = StepCounter()
    for event in events:
        counter.take(event)
    return counter


def rows(outcome: Outcome) -> list[tuple[str, ...]]:
    return [tuple(row) for row in (table_in(outcome.text) or [])[1:]]


@pytest.mark.parametrize("task", [SMALL, LARGE, WIDE["world_003"], WIDE["world_004"]], ids=lambda task: task.id)
def test_alone_and_as_a_swarm_it_fills_the_table(tmp_path: Path, task: WideTask) -> None:
    alone, events = ran(tmp_path / "alone", task.query, "single")
    swarm, swarm_events = ran(tmp_path / "swarm", task.query, "swarm")
    assert alone.finished and swarm.finished
    assert sorted(rows(alone)) == sorted(task.gold) and rows(swarm) == rows(alone)
    assert "```markdown\n| " in swarm.text and (table_in(swarm.text) or [])[0] == list(task.columns)
    assert steps(swarm_events).critical < steps(events).critical
    used = Counter(event.data["name"] for event in swarm_events if event.kind == "tool.finished")
    assert used["create_subagent"] == 1 and used["search"] > len(task.gold) and used["open"] > len(task.gold)


def test_the_speed_up_grows_with_difficulty(tmp_path: Path) -> None:
    found = []
    for task in (SMALL, WIDE["world_005"], WIDE["world_008"]):
        _, alone = ran(tmp_path / f"alone-{task.id}", task.query, "single")
        _, swarm = ran(tmp_path / f"swarm-{task.id}", task.query, "swarm")
        found.append(steps(alone).critical / steps(swarm).critical)
    assert found == sorted(found) and found[-1] > 6


@pytest.mark.parametrize("number", [0, 2, 6, 8, 10])
def test_it_answers_questions(tmp_path: Path, number: int) -> None:
    task: DeepTask = deep_tasks()[number]
    for mode in ("single", "swarm"):
        outcome, events = ran(tmp_path / mode, task.problem, mode, limit="browsecomp")
        assert outcome.finished and f"Exact Answer: {task.answer}\n" in outcome.text
    assert outcome.steps <= PRESETS["browsecomp"].orchestrator


def test_it_knows_nothing_without_pages(tmp_path: Path) -> None:
    empty = LocalWeb.build([])
    for number, prompt in enumerate((SMALL.query, deep_tasks()[0].problem)):
        for mode in ("single", "swarm"):
            outcome, _ = ran(tmp_path / f"{mode}{number}", prompt, mode, web=empty)
            assert outcome.finished and rows(outcome) == [] and deep_tasks()[0].answer not in outcome.text


def test_other_pages_give_other_answers(tmp_path: Path) -> None:
    from dataclasses import replace

    from manyeyes.swarm.world_pages import world_pages

    pages = [replace(page, text=page.text.replace("| 328,170 |", "| 42 |")) for page in world_pages()]
    outcome, _ = ran(tmp_path, SMALL.query, "single", web=LocalWeb.build(pages))
    assert [row for row in rows(outcome) if row[0] == "Iceland"] == [("Iceland", "Reykjavik", "ISK", "42")]


def test_at_its_limit_it_tells_what_it_has(tmp_path: Path) -> None:
    outcome, _ = ran(tmp_path, LARGE.query, "single", steps=60)
    assert outcome.stop == "step_cap" and 10 < len(rows(outcome)) < len(LARGE.gold)
    assert set(rows(outcome)[:-1]) <= set(LARGE.gold)


@pytest.mark.parametrize("context", [HideToolResults(2_000), Summarise(8_000)], ids=lambda context: context.name)
def test_hidden_results_and_summaries_do_it_no_harm(tmp_path: Path, context: ContextStrategy) -> None:
    outcome, events = ran(tmp_path, SMALL.query, "single", context=context)
    assert outcome.finished and sorted(rows(outcome)) == sorted(SMALL.gold)
    assert any(event.kind.startswith("context.") for event in events)


def test_a_small_context_overflows_and_restarts_are_new_attempts(tmp_path: Path) -> None:
    task = deep_tasks()[1]
    outcome, _ = ran(tmp_path / "none", task.problem, "single", context_tokens=16_000)
    assert outcome.stop == "context_overflow"
    outcome, events = ran(
        tmp_path / "discard", task.problem, "single", context_tokens=16_000, context=DiscardAll(12_000), steps=600
    )
    assert outcome.finished and f"Exact Answer: {task.answer}\n" in outcome.text
    assert sum(event.kind == "context.applied" for event in events) >= 1
    swarm, _ = ran(tmp_path / "swarm", task.problem, "swarm", context_tokens=16_000, limit="browsecomp")
    assert swarm.finished and task.answer in swarm.text


def test_rows_that_a_dead_sub_agent_left_are_given_out_again(tmp_path: Path) -> None:
    policy = RulePolicy()
    died = []

    class Dying(type(rule_model())):
        async def complete(self, messages, tools=(), **kwargs):
            first = messages[1].text if len(messages) > 1 else ""
            if "- Iceland\n" in first and len(messages) > 5 and not died:
                died.append(first)
                raise ModelError("HTTP 400", kind="request", status=400)
            return await super().complete(messages, tools, **kwargs)

    config = SwarmConfig(lambda ctx: web_tools(WEB, WEB, ctx))

    async def go() -> Outcome:
        with Journal(tmp_path) as journal:
            return await AgentRun(journal, Dying(policy)).start(Task("t", SMALL.query), config.orchestrator())

    outcome = asyncio.run(go())
    assert died and outcome.finished and sorted(rows(outcome)) == sorted(SMALL.gold)
    assert sum(event.kind == "agent.created" for event in read(tmp_path).events) == 1 + 4 + 1


def test_other_tasks_get_the_best_page_and_not_a_loop(tmp_path: Path) -> None:
    outcome, events = ran(tmp_path, "What is the capital of Iceland?", "single")
    assert outcome.finished and "Iceland" in outcome.text and outcome.turns == 3


def test_tables_can_be_scored_while_they_grow(tmp_path: Path) -> None:
    _, events = ran(tmp_path, SMALL.query, "swarm")
    thoughts = [event.data["message"].get("reasoning") or "" for event in events if event.kind == "llm.finished"]
    sizes = [len(partial_rows(thoughts[:n], SMALL.columns)) for n in range(0, len(thoughts) + 1, 8)]
    whole = partial_rows(thoughts, SMALL.columns)
    assert sizes == sorted(sizes) and set(map(tuple, whole)) == set(SMALL.gold)


def test_plans_are_read_from_the_words_of_a_task() -> None:
    plan = plan_of(LARGE.query)
    assert plan.topic == "countries and territories of Europe" and plan.columns == LARGE.columns and not plan.deep
    part = plan_of(part_of_table(plan, ("Iceland", "Isle of Man")))
    assert part.rows == ("Iceland", "Isle of Man") and part.columns == plan.columns
    deep = plan_of(deep_tasks()[10].problem)
    assert (deep.asked, deep.beyond) == ("Country", "Capital") and len(deep.conditions) == 1
    again = plan_of(part_of_table(deep, ("X",)))
    assert again.conditions == deep.conditions and again.rows == ("X",)
    two = plan_of(deep_tasks()[0].problem)
    assert [wanted.label for wanted in two.conditions] == ["Population", "Area (km²)"]
    assert two.conditions[0].holds(two.conditions[0].low) and not two.conditions[0].holds("unknown")


def test_notes_survive_being_written_and_read() -> None:
    note = Note("fact", ("Iceland", "Population", "328,170", "2025-01-01", "https://x.example/"))
    assert notes_of(f"I read:\n{note}\n- not a note\n") == (note,)


def test_a_conversation_too_long_is_an_overflow() -> None:
    with pytest.raises(ModelError) as caught:
        RulePolicy(context_tokens=10)([system("x" * 100), user("y")])
    assert caught.value.kind == "overflow"


def discarding(folder: Path, task: DeepTask, *, past: list[Event], told: list[Event]) -> list[Event]:
    """A run of a question that begins anew several times, gone on with from `past`; `told` is what the model knows."""
    model = rule_model(context_tokens=16_000, past=told)
    environment = Environment(
        lambda ctx: web_tools(WEB, WEB, ctx), limits=Limits(steps=600), context=DiscardAll(12_000)
    )

    async def go() -> None:
        with Journal(folder) as journal:
            await AgentRun(journal, model, past=past).start(Task("t", task.problem), environment)

    asyncio.run(go())
    return read(folder).events


def said(events: list[Event]) -> list[dict]:
    return [event.data["message"] for event in events if event.kind == "llm.finished"]


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with several attempts."""
    folder = tmp_path_factory.mktemp("whole")
    discarding(folder, DISCARDED, past=[], told=[])
    return folder


DISCARDED = deep_tasks(each=5)[8]


@pytest.mark.parametrize("kind", ["agent.began", "llm.started", "llm.finished", "round.finished"])
def test_a_resumed_run_goes_on_with_the_attempt_it_was_at(tmp_path: Path, restarted: Path, kind: str) -> None:
    whole = read(restarted).events
    begun = [event.seq for event in whole if event.kind == "agent.began"]
    cut = next(event.seq for event in whole[begun[2] :] if event.kind == kind) + 1
    lines = (restarted / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(lines[:cut]))
    assert said(discarding(tmp_path, DISCARDED, past=whole[:cut], told=whole[:cut])) == said(whole)


def test_without_its_past_a_resumed_run_goes_on_differently(tmp_path: Path, restarted: Path) -> None:
    whole = read(restarted).events
    cut = [event.seq for event in whole if event.kind == "agent.began"][2] + 1
    lines = (restarted / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(lines[:cut]))
    assert said(discarding(tmp_path, DISCARDED, past=whole[:cut], told=[])) != said(whole)


def test_attempts_are_counted_by_task() -> None:
    first = [("agent.created", {"prompt": "Which?"}), ("agent.began", {}), ("llm.finished", {}), ("llm.finished", {})]
    again = [("agent.began", {}), ("llm.started", {})]
    events = [Event(n, kind, 0.0, "main", (), data) for n, (kind, data) in enumerate([*first, *again])]
    assert attempts_of(events) == {"Which?": 1}
    events += [Event(len(events), "llm.finished", 0.0, "main")]
    assert attempts_of(events) == {"Which?": 2} and attempts_of([]) == {}


def test_rows_of_a_dead_checker_are_given_out_in_halves(tmp_path: Path) -> None:
    task = deep_tasks(each=5)[26]  # 83 candidates, so that 14 rows do not fit
    outcome, events = ran(tmp_path, task.problem, "swarm", context_tokens=20_000, limit="browsecomp")
    created = [event.data["prompt"] for event in events if event.kind == "agent.created"][1:]
    sizes = [len(plan_of(prompt).rows) for prompt in created]
    stops = Counter(e.data["outcome"]["stop"] for e in events if e.kind == "agent.finished" and "/" in e.agent)
    assert stops["context_overflow"] and len(sizes) == 8 and sizes[6] + sizes[7] == max(sizes[:6])
    assert outcome.finished and outcome.steps <= PRESETS["browsecomp"].orchestrator


def test_sub_agents_are_called_after_what_the_task_is_about(tmp_path: Path) -> None:
    roles = set()
    for number, prompt in enumerate((SMALL.query, deep_tasks()[8].problem)):
        _, events = ran(tmp_path / str(number), prompt, "swarm")
        roles |= {event.data["role"] for event in events if event.kind == "agent.created"}
    assert roles == {"", "Northern Europe Country Researcher", "Europe Airport Checker"}
    assert role_subject("countries and territories of Latin America and the Caribbean") == (
        "Latin America and the Caribbean Country"
    )
