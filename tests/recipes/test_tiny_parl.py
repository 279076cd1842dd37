"""`tiny.parl`: all constructions of the report take part, are measured, and exceed one agent."""

from manyeyes.agent.registry import Registry
from manyeyes.core.chat import render
from manyeyes.core.messages import ToolCall, assistant
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.model.config import tiny
from manyeyes.recipes.rl_places import Places
from manyeyes.recipes.tiny_parl import LEARNED, ROWS, tiny_parl
from manyeyes.swarm.orchestrator import ASSIGN, CREATE
from manyeyes.swarm.parl_environment import BUDGET, plan_of
from manyeyes.swarm.parl_plan import STEP_TOKENS, Limit, exceeds, plan_at, question

RUN = tiny_parl()


def test_every_construction_is_learned_from_and_measured_and_its_tasks_exceed_one_agent() -> None:
    names = ["wide", "deep", "document", "download"]
    assert [place.name for place in RUN.places] == [one.name for one in RUN.measured] == names
    assert {one.name: one.place.tasks["rows"] for one in RUN.measured} == ROWS
    places = Places(RUN, Registry())
    for spec in RUN.places:
        tasks = [places.source(spec, "train").next() for _ in range(5)]
        plans = [plan_of(task) for task in tasks if task is not None]
        assert {plan.family for plan in plans} == {spec.name}
        assert all(exceeds(plan, Limit(BUDGET, BUDGET)) for plan in plans)


def test_the_smallest_document_is_more_than_a_context() -> None:
    tokenizer = Tokenizer.tiny()
    least = min(LEARNED["document"][0], ROWS["document"][0])
    for split in ("train", "test"):
        plan = plan_at(0, split=split, rows=(least, least), families={"document": 1.0})
        pages = sum(len(tokenizer.encode(page.text)) for page in plan.pages)
        assert pages + plan.calls_alone * STEP_TOKENS > RUN.context
        assert 0.9 < plan.tokens_alone / (pages + plan.calls_alone * STEP_TOKENS) < 1.1  # the estimate


def test_an_answer_that_assigns_the_widest_table_fits() -> None:
    tokenizer, keys = Tokenizer.tiny(), "CDEFGHIJKLMNOPQRSTUVW"[: LEARNED["wide"][1]]
    calls = [ToolCall.of(CREATE, {"name": "a", "system_prompt": "Look it up."}, index=0)]
    for at, key in enumerate(keys, 1):
        calls.append(ToolCall.of(ASSIGN, {"agent": "a", "prompt": question(["weight"], key)}, index=at))
    told = render([assistant(calls=tuple(calls))], tokenizer, rules=tiny().rules, thinking=False)
    assert told.length <= RUN.measured[0].place.answer_tokens
