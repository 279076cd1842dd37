"""What was wanted of the figures, and the tables."""

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from rl_peers.contestants import ASYNC, SYNC, TRL

LAST = 4
"""Steps at the end whose mean reward is the final one."""


class Goal(NamedTuple):
    """What was wanted, and what came out."""

    what: str
    goal: float
    found: float

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.found >= self.goal


def goals(results: Mapping[str, Any]) -> list[Goal]:
    """Those of the figures that were measured."""
    found: list[Goal] = []
    if (part := results.get("grpo")) and TRL.name in part["rows"]:
        rows = part["rows"]
        for one in (SYNC, ASYNC):
            found.append(Goal(f"samples a second, {one.name} : TRL at its best", 3.0, rows[one.name]["ratio"]))
        for name, row in rows.items():
            found.append(Goal(f"reward rises: {name}", 0.05, round(row["reward_last"] - row["reward_first"], 4)))
    if part := results.get("overlap"):
        finals = [statistics.fmean(part["rows"][one.name]["final_rewards"]) for one in (ASYNC, SYNC)]
        found.append(Goal("a slow tool: seconds, synchronous : asynchronous", 1.3, statistics.median(part["gains"])))
        found.append(Goal("the same: final reward, asynchronous - synchronous", -0.02, round(finals[0] - finals[1], 4)))
    return found


def report(results: Mapping[str, Any]) -> None:
    """Print the tables."""
    if part := results.get("grpo"):
        print("\nrollout and training                 samples/s      ratio   s/step  CPU s/step   reward")
        for name, row in part["rows"].items():
            ratio = "" if row["ratio"] is None else f"x{row['ratio']:.2f}"
            print(
                f"{name:34s} {row['samples_per_s']:10.2f} {ratio:>10s} {row['seconds_per_step']:8.2f}"
                f" {row['cpu_seconds_per_step']:10.2f}   {row['reward_first']:.3f} → {row['reward_last']:.3f}"
            )
    if part := results.get("overlap"):
        print("\na slow tool between turns              seconds   samples/s   final reward")
        for name, row in part["rows"].items():
            finals = statistics.fmean(row["final_rewards"])
            print(f"{name:34s} {row['seconds']:12.1f} {row['samples_per_s']:11.1f} {finals:14.3f}")
    print("\ngoals")
    for goal in goals(results):
        print(f"  {goal.what:72s} {goal.found:8g}  at least {goal.goal:g}  {'met' if goal.met else 'MISSED'}")
