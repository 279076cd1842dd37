"""Fills the table of the README from the JSON files that committed scripts wrote; nothing in it is typed by hand.

    python docs/fill_numbers.py             rewrites the block between the markers
    python docs/fill_numbers.py --check     changes nothing; fails when the block is not what the files say

    docs/experiments/tiny.json, small.json      docs/collect_run.py
    docs/experiments/table1.json                manyeyes reproduce table1 --write-docs docs/experiments
    docs/experiments/fig{6,7,8}.json            manyeyes reproduce figN --write-docs docs/experiments
    docs/experiments/fig{2,4,5}.json            manyeyes reproduce figN --start RUN --write-docs docs/experiments
    docs/experiments/fig5-tuned-each.json       manyeyes reproduce fig5 --tune-each --write-docs docs/experiments
    benchmarks/results/*.json                   benchmarks/{train_step,muon,swarm_overhead,engine,rollouts,gateway,
                                                rl_step}.py

A file that is not there gives "not run here". A goal that was missed stands in the table like one that was met.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"
ABSENT = "not run here"
OURS, THEIRS = "manyeyes", "transformers, "


class Line(NamedTuple):
    """A row of the table: what was measured, what came out, and what it should be compared with."""

    what: str
    found: str
    beside: str


def main() -> int:
    """Rewrite or check the README; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = filled(old, block(ROOT))
    if check:
        print("README is up to date" if old == new else "README is not what the files say: run docs/fill_numbers.py")
        return int(old != new)
    readme.write_text(new, encoding="utf-8")
    return 0


def filled(text: str, table: str) -> str:
    """The text with the table between its markers. Raises ValueError without exactly one pair of markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"expected {BEGIN} and {END} once each")
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL)


def block(root: Path) -> str:
    """The table, from the files under `root`."""
    lines = [
        *demo_lines(root), *small_lines(root), *fusion_lines(root), *learned_lines(root), *swarm_lines(root),
        *speed_lines(root),
    ]  # fmt: skip
    rows = [f"| {line.what} | {line.found} | {line.beside} |" for line in lines]
    return "\n".join(["| | measured | beside it |", "|---|---|---|", *rows])


def demo_lines(root: Path) -> Iterator[Line]:
    """The demo run: how long it took, and what it can do at its end."""
    run = _read(root / "docs/experiments/tiny.json")
    sets = {} if run is None else run["held_out"]
    yield Line("`make demo`: training, evaluations included", _cost(run), "goal: 20 minutes with set-up")
    vqa = sets.get("vqa")
    yield Line(
        f"easy-VQA, held-out questions{_count(vqa)}", _share(vqa, "exact"),
        f"best answer without looking: {_share(vqa, 'blind')}; goal: 10 points above it",
    )  # fmt: skip
    yield Line("… colour / shape / yes or no", _shares(vqa), "1 of 8 colours, 1 of 3 shapes, 1 of 2")
    ocr = sets.get("ocr")
    yield Line(f"three printed digits, read exactly{_count(ocr)}", _share(ocr, "exact"), "goal: 50 %; chance 0.1 %")
    counting, grounding = sets.get("counting"), sets.get("grounding")
    yield Line(f"counting shapes{_count(counting)}", _share(counting, "exact"), _commonest(counting))
    yield Line(f"grounding, mean IoU{_count(grounding)}", _share(grounding, "iou"), _silence(grounding))
    for length in (256, 1024, 4096):
        needles = sets.get(f"needles_{length}")
        yield Line(
            f"a fact in {length:,} tokens of text{_count(needles)}", _share(needles, "exact"), _commonest(needles)
        )


def small_lines(root: Path) -> Iterator[Line]:
    """The larger recipe, which is only begun on two cores."""
    run = _read(root / "docs/experiments/small.json")
    found = ABSENT
    if run is not None:
        stage = next(one for one in reversed(run["stages"].values()) if one["steps"])
        name = next(name for name, one in run["stages"].items() if one is stage)
        first, last = stage["first"].get("loss", 0.0), stage["last"].get("loss", 0.0)
        found = f"{_cost(run)}; stage {name}: loss {first:.2f} to {last:.2f}"
    yield Line("`manyeyes run small`, begun on a CPU", found, "the whole needs a GPU")


def fusion_lines(root: Path) -> Iterator[Line]:
    """Early, mid and late fusion: mean over vision and over text categories."""
    result = _read(root / "docs/experiments/table1.json")
    for group in ("vision", "text"):
        found = beside = ABSENT
        if result is not None:
            found = " / ".join(f"{_mean(result['arms'][arm][group]):.1f}" for arm in ("early", "mid", "late"))
            chosen = [name for name in result["report"]["early"] if (name in VISION) == (group == "vision")]
            rows = ([result["report"][arm][name] for name in chosen] for arm in ("early", "mid", "late"))
            beside = f"report, on its own benchmarks: {' / '.join(f'{_mean(row):.1f}' for row in rows)}"
            outcome = result["orderings"][group].get("outcome")
            beside += f"; its order here: {outcome}" if outcome else ""
        what = f"vision early / mid / late, {group} questions, % (chance: 25)"
        yield Line(what, found, beside if result is not None else "report: table 1")


def learned_lines(root: Path) -> Iterator[Line]:
    """Post-training: means over seeds, before and after."""
    yield from sight_lines(_read(root / "docs/experiments/fig2.json"))
    pages = (_read(root / f"docs/experiments/{name}.json") for name in ("fig5", "fig5-tuned-each"))
    yield from brevity_lines(*pages)
    yield from parallel_lines(_read(root / "docs/experiments/fig4.json"))
    yield benched_line(_read(root / "docs/experiments/table6.json"))


def sight_lines(result: dict[str, Any] | None) -> Iterator[Line]:
    """Visual RL from fine-tuning without pictures."""
    called, rises, beside = ABSENT, ABSENT, "goal: 15 points in three domains, in every seed"
    if result is not None:
        figures = result["figures"]
        if "mean" in figures["called"]:
            called = f"{100 * _mean(figures['called']['mean']):.0f} %"
        each = [
            f"{name} {100 * _mean(one['before']):.0f} to {100 * _mean(one['after']):.0f} %"
            for name, one in figures["domains"].items()
            if name != "mean"
        ]
        rises, beside = ", ".join(each), f"{beside}; {result['seeds']} seeds"
    yield Line("image tools called on real pictures, after text alone", called, "goal: 50 %")
    yield Line("visual RL, held-out mean reward by domain", rises, beside)


def brevity_lines(result: dict[str, Any] | None, each: dict[str, Any] | None = None) -> Iterator[Line]:
    """Toggle against the same run without budgets.

    Args:
        each: the same from a fine-tuning of each seed's own.
    """
    told, beside = [], "goals: a quarter fewer, at most a point lost; report: 25 to 30 % fewer"
    if result is not None:
        one = result["figures"]["compared"]["all"]
        tokens = one["tokens"]
        told.append(
            f"{100 * _mean(one['saved']):.0f} % fewer ({_mean(tokens['with Toggle']):.0f} for "
            f"{_mean(tokens['without']):.0f}), accuracy {100 * one['items']['mean']:+.1f} points"
        )
        beside += f"; {one['pairs']:,} pairs, {result['seeds']} seeds"
    if each is not None:
        one = each["figures"]["compared"]["all"]
        told.append(
            f"from {each['seeds']} fine-tunings {100 * _mean(one['saved']):.0f} % fewer, accuracy "
            f"{100 * one['items']['mean']:+.1f} points"
        )
    yield Line("Toggle: tokens of an answer", "; ".join(told) or ABSENT, beside)


def parallel_lines(result: dict[str, Any] | None) -> Iterator[Line]:
    """PARL: before and after, and beside one agent."""
    learned, beside, steps = ABSENT, "goals: both rise, in every seed", ABSENT
    against = "goal: a third of the steps, equal or better; report: 3x to 4.5x"
    if result is not None:
        full, trained, lone = (result["figures"][arm] for arm in ("PARL", "trained", "alone"))
        ends = {name: [_mean([seed[at] for seed in full[name]]) for at in (0, -1)] for name in (FILLED, AT_ONCE)}
        f1, at_once = ends[FILLED], ends[AT_ONCE]
        learned = f"{100 * f1[0]:.0f} to {100 * f1[1]:.0f} %, {at_once[0]:.1f} to {at_once[1]:.1f} at once"
        beside += f"; {result['seeds']} seeds"
        both = result["figures"]["both_ended"]
        if both["one"]:
            steps = (
                f"{_mean(both['one']):.1f} against {_mean(both['other']):.1f} critical steps, "
                f"item F1 {100 * _mean(trained[FILLED]):.1f} % against {100 * _mean(lone[FILLED]):.1f} %"
            )
        against += f"; steps on {sum(both['tasks'])} tables that both ended, the swarm as well"
    yield Line("PARL: item F1 and agents at once, tables of 4 to 12 rows, before and after", learned, beside)
    yield Line("… the trained swarm against one agent", steps, against)


def benched_line(result: dict[str, Any] | None) -> Line:
    """Table 6: the trained swarm and one agent on what stands for the report's benchmarks."""
    found, beside = ABSENT, "report, on its own benchmarks: 78 / 79 / 58 against 61 / 73 / 42 %"
    if result is not None:
        whole, scores = result["figures"]["wholly_right"], result["figures"]["scores"]
        swarm, lone = (
            " / ".join(
                f"{100 * _mean(of[arm][name]):.0f}"
                for of, name in ((whole, "deep"), (scores, "wide"), (scores, "bench"))
            )
            for arm in ("swarm", "one agent")
        )
        found, beside = f"{swarm} % against {lone} %", f"{beside}; {result['seeds']} seeds"
    return Line(
        "… chains wholly right / item F1 of wide tables / of a small Swarm Bench: swarm and one agent", found, beside
    )


FILLED, AT_ONCE = "accuracy", "parallelism"


def swarm_lines(root: Path) -> Iterator[Line]:
    """Figures 7 and 8 on the synthetic web, and what a swarm costs beside its model calls."""
    rules = "a set of rules as model, 0.3 s an answer"
    wide = _read(root / "docs/experiments/fig8.json")
    found, beside = ABSENT, f"{rules}; report: 3x to 4.5x, with Kimi K2.5"
    if wide is not None:
        large = [task for task in wide["tasks"] if task["rows"] >= 40]
        faster = sorted(task["faster"]["end"] for task in large)
        f1 = [100 * _mean([task[mode]["f1"] for task in large]) for mode in ("swarm", "single")]
        found = f"{faster[0]:.1f}x to {faster[-1]:.1f}x faster, item F1 {f1[0]:.0f} % against {f1[1]:.0f} %"
    yield Line("swarm against one agent, tables of 40 rows and more", found, beside)
    deep, found = _read(root / "docs/experiments/fig7.json"), ABSENT
    if deep is not None:
        arms = deep["arms"]
        shares = [f"{100 * arms[arm]['within']['50']:.0f} %" for arm in ("swarm", "discard-all", "none")]
        found = " / ".join(shares)
    what = "questions with one answer, right within 50 critical steps: swarm / discard-all / neither"
    yield Line(what, found, f"{rules}; report, in the end: 78.4 / 74.9 / 60.6 %")
    cost, found, beside = _read(root / "benchmarks/results/swarm_overhead.json"), ABSENT, ""
    if cost is not None:
        systems = next(load["systems"] for load in cost["loads"] if load["agents"] == 100)
        peers = [name for name in systems if name != OURS and "as it comes" not in name]
        ours = systems[OURS]["cpu_ms_per_call"]
        others = ", ".join(f"{name} {systems[name]['cpu_ms_per_call']:.1f}" for name in peers)
        found, beside = f"{ours:.2f} ms", f"{others}; goal: 0.5"
    yield Line("CPU of a model call, 100 sub-agents, streamed and journalled", found, beside)
    if cost is not None:
        many = next(load["systems"][OURS] for load in cost["loads"] if load["agents"] == 1000)
        found = f"{many['wall_over_bound']:.2f}x the critical path, {many['kib_per_agent']:.0f} KiB an agent"
        yield Line("1,000 sub-agents at once", found, "goals: 2.6x, 60 KiB")


VISION = ("vision_knowledge", "vision_reasoning", "ocr")


def speed_lines(root: Path) -> Iterator[Line]:
    """The two benchmarks beside their peers."""
    step = _read(root / "benchmarks/results/train_step.json")
    found = ABSENT
    if step is not None:
        ours = step["results"][OURS]["cpu_tokens_per_s"]
        best = max(row["cpu_tokens_per_s"] for name, row in step["results"].items() if name.startswith(THEIRS))
        found = f"{ours / best:.2f}x the tokens a second of transformers' best"
    yield Line("forward and backward, 22M text model, 1 thread", found, "goal: 1.30x")
    yield from engine_lines(root)
    yield from rollout_lines(root)
    yield from reinforced_lines(root)
    muon = _read(root / "benchmarks/results/muon.json")
    for row in [] if muon is None else muon["results"]:
        found = f"{row['of_best']:.2f}x the fastest loop over single matrices"
        yield Line(f"Muon step, {_threads(row['threads'])}", found, f"goal: {row['target']:.2f}x")
    if muon is None:
        yield Line("Muon step", ABSENT, "goal: 1.25x on one thread, 2.00x on two")
    yield Line("on a GPU; with the released weights; on a cluster", ABSENT, "")


def engine_lines(root: Path) -> Iterator[Line]:
    """The engine beside transformers' `generate`, and beside what the machine could do."""
    engine = _read(root / "benchmarks/results/engine.json")
    found = share = beside = ABSENT
    if engine is not None:
        one = engine["threads"]["1"]
        ratios = [min(row["ratio"] for name, row in one[count].items() if name != OURS) for count in ENGINE_COUNTS]
        found = " / ".join(f"{ratio:.1f}x" for ratio in ratios)
        share, plain = f"{100 * one['bound']['share']:.0f} %", one["bound"]["share_of_torch_matmul_bound"]
        beside = f"goal: 35 %; of what torch.matmul's rate would allow: {100 * plain:.0f} %"
    what = f"engine, 22M model, 1 thread, {' / '.join(ENGINE_COUNTS)} requests at once"
    yield Line(what, found, "transformers' best batch = 1; goals: 1.5x, -, 4x, 4x")
    yield Line("… of what the machine's products and memory would allow, 64 requests", share, beside)


def rollout_lines(root: Path) -> Iterator[Line]:
    """Rollouts beside verifiers, the gateway beside other gateways."""
    rollouts = _read(root / "benchmarks/results/rollouts.json")
    many, wire = ABSENT, ABSENT
    apart = between = ""
    if rollouts is not None:
        of = {goal["what"]: goal["found"] for goal in rollouts["goals"]}
        row = rollouts["systems"][0]
        many = f"{row['cpu_us_per_turn']:.0f} µs CPU a turn, {row['kib_per_task']:.1f} KiB each, none lost"
        wire = f"{of['10,000 tasks over HTTP: CPU us per turn']:.0f} µs CPU a turn"
        apart = f"beside the tokens; goals: 120 µs, 12.6 KiB; verifiers 0.1.14 over HTTP: {of[IN_PROCESS]:.0f}x the CPU"
        between = f"goal: 600 µs; verifiers 0.1.14, the same endpoint: {of[OVER_HTTP]:.0f}x the CPU"
    yield Line("100,000 rollouts of 4 turns at once, one process, tokens by a mock", many, apart)
    yield Line("10,000 rollouts over HTTP", wire, between)
    gateway = _read(root / "benchmarks/results/gateway.json")
    found = beside = ABSENT
    if gateway is not None:
        cost = {name: row.get("cpu_ms_per_call") for name, row in gateway["systems"].items()}
        found = f"{cost[OURS]:.2f} ms, 99th percentile +{gateway['systems'][OURS]['p99_added_ms']:.0f} ms at 64 clients"
        beside = ", ".join(f"{name} {cost[name]:.1f}" for name in PEER_GATEWAYS) + "; goal: 0.8"
    yield Line("gateway: CPU of a captured call", found, beside)


def reinforced_lines(root: Path) -> Iterator[Line]:
    """A step of reinforcement learning beside TRL's, and what overlap gains."""
    found, ahead = ABSENT, ABSENT
    if (step := _read(root / "benchmarks/results/rl_step.json")) is not None:
        of = {goal["what"]: goal["found"] for goal in step["goals"]}
        found = f"{of[SYNC_TO_TRL]:.1f}x synchronous, {of[ASYNC_TO_TRL]:.1f}x asynchronous"
        ahead = f"{of[OVERLAP]:.2f}x"
    yield Line("samples a second, rollout and training, beside TRL's GRPOTrainer", found, "goal: 3x")
    yield Line("asynchronous against synchronous loop, a tool of 0.3 s (median)", ahead, "goal: 1.3x")


SYNC_TO_TRL = "samples a second, manyeyes, synchronous loop : TRL at its best"
ASYNC_TO_TRL = "samples a second, manyeyes, asynchronous loop : TRL at its best"
OVERLAP = "a slow tool: seconds, synchronous : asynchronous"
IN_PROCESS = "CPU of a turn, verifiers 0.1.14 over HTTP : manyeyes, tokens made in process, 100,000"
OVER_HTTP = "CPU of a turn, verifiers 0.1.14 over HTTP : manyeyes, tokens over HTTP"
PEER_GATEWAYS = ("rLLM gateway", "agent-lightning", "LiteLLM proxy")
ENGINE_COUNTS = ("1", "16", "64", "256")


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _cost(run: dict[str, Any] | None) -> str:
    if run is None:
        return ABSENT
    unfinished = "" if run["finished"] else ", not finished"
    machine = run["machine"]
    where = f"{machine.get('device', '?')}, {_threads(machine.get('threads', 0))}"
    return f"{run['seconds']['wall'] / 60:.1f} minutes ({where}), {run['tokens'] / 1e6:.2f}M tokens{unfinished}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _share(of_set: dict[str, Any] | None, score: str) -> str:
    if of_set is None or score not in of_set["newest"]:
        return ABSENT
    return f"{100 * of_set['newest'][score]['value']:.1f} %"


def _shares(vqa: dict[str, Any] | None) -> str:
    found = [_share(vqa, f"exact {kind}") for kind in ("colour", "shape", "yes/no")]
    return ABSENT if ABSENT in found else " / ".join(found)


def _count(of_set: dict[str, Any] | None) -> str:
    return f" ({of_set['questions']:,})" if of_set is not None and of_set["questions"] else ""


def _commonest(of_set: dict[str, Any] | None) -> str:
    return _without_a_model(of_set, "commonest", "always the commonest answer")


def _silence(of_set: dict[str, Any] | None) -> str:
    return _without_a_model(of_set, "empty", "saying nothing")


def _without_a_model(of_set: dict[str, Any] | None, key: str, what: str) -> str:
    if of_set is None or key not in of_set:
        return "no goal set"
    return f"{what}: {100 * of_set[key]:.1f} %"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    sys.exit(main())
