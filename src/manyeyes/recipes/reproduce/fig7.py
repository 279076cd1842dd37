"""Figure 7 of the report at small scale: accuracy against critical steps, swarm and discard-all, on deep questions.

    command      manyeyes reproduce fig7
    hardware     any; about 2 minutes of one core (--quick: a few seconds)
    model        rules that really use the tools, with a context of 24,000 tokens, which holds what a quarter to a half
                 of a question's candidates take to read
    questions    5 of each of 7 kinds in each of 2 seeds, BrowseComp's format: one of 40 to 83 candidates meets the
                 conditions, and something about it is asked, for some over one more entity
    arms         none (an overflow is a failure) and discard-all, alone with up to 400 steps; swarm, 15 steps for the
                 orchestrator and 100 for each sub-agent, context "none"
    measured     share of the questions that are answered rightly within so many critical steps

One run of a question gives its whole curve: what an agent does does not depend on the steps it is allowed, until they
end. An agent alone looks at candidates in another order after every restart. Smaller contexts are tried beside it.
Report: §5.2, Figure 7; App. E.8 (15 and 100 steps).
"""

from pathlib import Path
from typing import Any

from manyeyes.recipes.reproduce.fig7_questions import QUICK, Scale, questions
from manyeyes.recipes.reproduce.fig7_results import results
from manyeyes.recipes.reproduce.fig_trials import Lane, Report, claim, run_lanes, silent
from manyeyes.swarm.world import world_web

__all__ = ["QUICK", "Scale", "results", "run"]


async def run(folder: Path, scale: Scale, *, report: Report = silent) -> dict[str, Any]:
    """Run what is not finished yet; returns the result."""
    claim(folder, "fig7", scale.identity)
    web = world_web()
    try:
        await run_lanes(folder, [Lane(web, [asked.planned for asked in questions(scale)])], report=report)
    finally:
        await web.close()
    return await results(folder, scale)
