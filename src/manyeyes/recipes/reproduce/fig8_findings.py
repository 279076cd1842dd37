"""What figure 8 of a trained swarm shows, in plain sentences: who the one agent is, steps to targets and to the end.

Every sentence with a verdict asks every seed: a trained run that does not get to a target is none that is sooner there.

Report: §5.2, Figure 8.
"""

from collections.abc import Mapping, Sequence
from statistics import mean

from manyeyes.recipes.reproduce.fig8 import GROWS, rank_correlation
from manyeyes.recipes.reproduce.fig8_pairs import (
    SINGLE,
    SWARM,
    TARGETS,
    ByTask,
    Means,
    Pair,
    by_seed,
    faster_by_seed,
    growth,
    to_end,
)
from manyeyes.recipes.reproduce.post_findings import spread, threshold
from manyeyes.recipes.reproduce.verdict import interval

WORKER, BEGAN = "worker", "began"
ONE_AGENT = {WORKER: "the frozen checkpoint of the sub-agents", BEGAN: "the model that PARL began from"}
"""Who may be the one agent."""
NEARLY = 1.5
"""Growth of the swarm's steps between the lowest and the highest target that counts as nearly constant."""


def better(told: Mapping[str, ByTask]) -> str:
    """Who of those that may be the one agent fills the tables better; with equals the sub-agents' checkpoint."""
    return max((arm for arm in ONE_AGENT if arm in told), key=lambda arm: item_f1(told[arm]))


def item_f1(told: ByTask) -> float:
    """Of all tables that came to a verdict."""
    return mean(one.f1 for one in told.values()) if told else 0.0


def who(one_agent: str, told: Mapping[str, ByTask]) -> str:
    """The one agent, and who else might have been it."""
    others = [arm for arm in ONE_AGENT if arm in told and arm != one_agent]
    if not others:
        return f"{ONE_AGENT[WORKER]}, which is {ONE_AGENT[BEGAN]} as well"
    found = {arm: f"{100 * item_f1(told[arm]):.1f} %" for arm in (one_agent, *others)}
    less = ", ".join(f"{ONE_AGENT[arm]} alone {found[arm]}" for arm in others)
    return f"{ONE_AGENT[one_agent]}, which fills tables better (item-F1 {found[one_agent]}; {less})"


def sentences(
    pairs: Sequence[Pair], by_target: Mapping[float, Means], by_rows: Mapping[int, Means], *, seeds: int
) -> list[str]:
    """What showed."""
    reached = [target for target, one in by_target.items() if one["tables"]]
    if not reached:
        return [end_sentence(pairs, seeds), "No target item-F1 was reached by both on any table."]
    return [
        end_sentence(pairs, seeds), target_sentence(pairs, by_target, reached, seeds), growth_sentence(pairs, seeds),
        rows_sentence(by_rows),
    ]  # fmt: skip


def end_sentence(pairs: Sequence[Pair], seeds: int) -> str:
    """Steps to the end: of all tables, and of those where they can be compared."""
    ends, fair = to_end(pairs), [one for one in pairs if one.comparable]
    said = (
        f"To the end the swarm takes {ends[SWARM]:.1f} critical steps, one agent {ends[SINGLE]:.1f}; item-F1 "
        f"{100 * ends[f'{SWARM}_f1']:.1f} and {100 * ends[f'{SINGLE}_f1']:.1f} %. "
    )
    if not fair:
        return said + "On no table that both ended is the swarm as good, so steps to the end are not compared."
    each = [to_end(own) for own in by_seed(fair, seeds) if own]
    share = spread(interval([one[SWARM] / one[SINGLE] for one in each]))
    return (
        said + f"On the {len(fair)} tables that both ended and the swarm fills as well it takes {share} of the steps."
    )


def target_sentence(
    pairs: Sequence[Pair], by_target: Mapping[float, Means], reached: Sequence[float], seeds: int
) -> str:
    """Whether the swarm is sooner at every target, in every seed; a seed that does not get there is none that is."""
    faster = [by_target[target]["faster"] for target in reached]
    each = {target: faster_by_seed(pairs, target, seeds) for target in reached}
    in_all = all(len(own) == seeds and min(own) > 1 for own in each.values())
    last = reached[-1]
    tables = ", ".join(f"{100 * target:.0f} % on {by_target[target]['tables']:.0f}" for target in reached)
    return (
        f"The swarm reaches target item-F1s {min(faster):.1f}x to {max(faster):.1f}x sooner (the report: 3x to 4.5x); "
        f"sooner at each target and in each seed: {threshold(in_all, seeds=seeds)}; at {100 * last:.0f} % "
        f"{spread(interval(each[last]), unit='times', scale=1.0, digits=1)}; on the tables that both bring so far: "
        f"{tables}."
    )


def growth_sentence(pairs: Sequence[Pair], seeds: int) -> str:
    """Whether the swarm's time stays nearly constant, in every seed."""
    low, high, growing = TARGETS[0], TARGETS[-1], growth(pairs)
    if not growing["tables"]:
        return f"No table was brought to {100 * low:.0f} and to {100 * high:.0f} % by both, so growth is not measured."
    each = [growth(own) for own in by_seed(pairs, seeds)]
    flat = all(one["tables"] and one[SWARM] < min(one[SINGLE], NEARLY) for one in each)
    spans = spread(interval([one[SWARM] for one in each if one["tables"]]), unit="times", scale=1.0, digits=1)
    return (
        f"From a target of {100 * low:.0f} to {100 * high:.0f} % one agent's steps grow {growing[SINGLE]:.1f}x, the "
        f"swarm's {growing[SWARM]:.1f}x, on the {growing['tables']:.0f} tables that both bring to either: nearly "
        f"constant time for the swarm (less than {NEARLY:g}x, and less than one agent's, in each seed): "
        f"{threshold(flat, seeds=seeds)}; {spans}."
    )


def rows_sentence(by_rows: Mapping[int, Means]) -> str:
    """Whether wider tables win more, of those that the swarm fills as well."""
    told = [rows for rows, one in by_rows.items() if one["tables"]]
    if len(told) < 2:
        return "Tables of fewer than two sizes are filled as well by the swarm, so whether width helps is not measured."
    first, last = (by_rows[rows] for rows in (told[0], told[-1]))
    rank = rank_correlation(told, [by_rows[rows]["faster"] for rows in told])
    grows = rank >= GROWS and last["faster"] > first["faster"]
    return (
        f"The speed-up {'grows' if grows else 'does not grow'} with the table, where the swarm fills it as well: rank "
        f"correlation {rank:+.2f}, {first['faster']:.1f}x at {told[0]} rows ({first['tables']:.0f} tables), "
        f"{last['faster']:.1f}x at {told[-1]} ({last['tables']:.0f})."
    )
