"""`tiny.parl`: an orchestrator learns to divide its work; sub-agents are frozen checkpoints of before.

    command      manyeyes run tiny.parl       (goes on from the newest finished run of `tiny.toggle`)
    hardware     2 CPU cores
    data         invented worlds with exact answers; each task exceeds what one agent can do within the budget
    numbers      docs/experiments

All four constructions of the report take part: wide tables, chains, long documents, batches of files; each is measured
by itself. Sub-agents are the newest `tiny.sft`, which was taught their tasks, from the first step to the last: "small
first, then larger" saves time where there are sizes, and `tiny` has one.

One agent fills a third of a table within the budget, and a beginner's sub-agents half as much, so r_parallel begins at
0.8: with 0.4 the policy learns to work alone. r_finish stays below what working alone earns. r_parallel pays as many
agents as rows are asked for: paid up to six, the policy starts six for every table. A table of 12 rows is an answer of
500 tokens, in which something goes wrong at temperature 1, so rollouts cool down. Fine-tuning's orchestrators beside it
keep the skill of going through rows to the last. More than half of them work alone, which holds the policy there a
little, so their weight is small, and extra rewards last until near the end.

Report: §3 (PARL reward, critical steps as the budget, prompt construction), Fig. 4, Fig. 8.
"""

from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.rl_parts import Measured, PlaceSpec, PtxSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.temperature import TemperatureSchedule
from manyeyes.swarm.parl import Fade, ParlRule
from manyeyes.swarm.parl_plan import Family

WEIGHTS: dict[Family, float] = {"wide": 0.55, "deep": 0.15, "document": 0.15, "download": 0.15}
"""Of the constructions; tables are what the others are measured against (Fig. 8)."""
ROWS: dict[Family, list[int]] = {"wide": [4, 12], "deep": [4, 8], "document": [4, 8], "download": [4, 8]}
"""Rows of their answers, held out."""
LEARNED: dict[Family, list[int]] = {**ROWS, "wide": [4, 14]}
"""The same in training. A policy that has seen tables of 8 rows and fewer starts no more agents for one of 12, and one
that has seen 12 and fewer leaves out the last row of many of them."""

CALM = 0.3
"""Temperature of sub-agents, and of whatever is measured: who copies names and rows loses some at 1."""


def construction(family: Family, rows: list[int]) -> PlaceSpec:
    """Tasks of one kind; an answer that assigns a table of 12 rows takes 492 tokens."""
    return PlaceSpec(
        family, "agentic", "parl", world={"enough": 0, "sub_temperature": CALM},
        tasks={"families": {family: 1.0}, "rows": rows}, weight=WEIGHTS[family], answer_tokens=640,
    )  # fmt: skip


def held_out(family: Family) -> Measured:
    """Its held-out tasks; twice as many tables."""
    count, quick = (48, 24) if family == "wide" else (24, 8)
    return Measured(construction(family, ROWS[family]), count=count, quick=quick)


def tiny_parl() -> RlRun:
    """The recipe."""
    return RlRun(
        name="tiny.parl",
        about="parallel agents: an orchestrator is trained, its sub-agents are frozen",
        hardware="2 CPU cores, about an hour",
        after="tiny.toggle",
        frozen_model="tiny.sft",
        places=tuple(construction(family, rows) for family, rows in LEARNED.items()),
        measured=tuple(map(held_out, WEIGHTS)),
        steps=120,
        groups=8,
        attempts=8,
        row_length=4096,
        micro_rows=1,
        context=1536,
        schedule=Schedule(4e-4, warmup=2, decay=0.3),
        temperature=TemperatureSchedule(1.0, 0.5, steps=60),
        ptx=PtxSpec({"sft/parl": 1.0}, weight=0.05, rows=1),
        parl=ParlRule(Fade(0.8, hold=20, until=110), Fade(0.3, hold=20, until=110)),
        evaluate_every=20,
        evaluate_temperature=CALM,
    )
