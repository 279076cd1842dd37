"""The curves of a page about reinforcement learning: what is learned, how long answers are, what groups teach, time.

Each group of charts is a function of the history; what a run does not log has no chart.
"""

from collections.abc import Callable, Sequence

from manyeyes.view.chart import Line, line_chart, plain
from manyeyes.view.history import Curve, curve
from manyeyes.view.markup import Markup
from manyeyes.view.rl_history import RlHistory

PALETTE = 8
MOST_LINES = 8
"""Of a chart; more are told apart by nobody."""
Named = tuple[str, Curve]


def measured_charts(history: RlHistory) -> list[Markup]:
    """Held-out figures over the run: reward of each set, its parts, tokens of an answer, use of tools."""
    sets = history.measured()
    scores = list(dict.fromkeys(score for of_set in sets.values() for score in of_set))
    known = {"reward": "Held-out reward", "tokens": "Tokens of a held-out answer", "calls": "Attempts that call a tool"}
    order = [*(score for score in known if score in scores), *sorted(s for s in scores if s.startswith("part_"))]
    charts = []
    for score in order:
        lines = [(name, of_set[score]) for name, of_set in sets.items() if score in of_set]
        title = known.get(score, f"Held out: {score.removeprefix('part_').replace('_', ' ')}")
        charts.append(_chart(title, lines, share=score in ("reward", "calls"), dots=True))
    return _shown(charts)


def reward_charts(history: RlHistory) -> list[Markup]:
    """Of what is learned from: all, by place, by part; and what Toggle or an annealed reward makes of it."""
    whole = [("as judged", _of(history, "reward")), ("as learned", _of(history, "reward_learned"))]
    places = _by_place(history, "reward/")
    parts = [(name.removeprefix("part/"), _of(history, name)) for name in history.names("part/")]
    return _shown([
        _chart("Reward of rollouts", _different(whole), note="mean over attempts"),
        _chart("Reward by place", places),
        _chart("Success", [("all", _of(history, "success")), *_by_place(history, "success/")], share=True),
        _chart("Parts of the reward", parts),
    ])  # fmt: skip


def length_charts(history: RlHistory) -> list[Markup]:
    """Tokens, turns and calls of an attempt."""
    lengths = [("right", _of(history, "length_right")), ("wrong", _of(history, "length_wrong"))]
    turns = [("answers", _of(history, "turns")), ("tool calls", _of(history, "calls"))]
    odd = [("cut off", _of(history, "cut")), ("no turn at all", _of(history, "malformed"))]
    return _shown([
        _chart("Tokens of an attempt", [("all", _of(history, "length")), *lengths], note="sampled"),
        _chart("Tokens by place", _by_place(history, "length/")),
        _chart("Turns of an attempt", turns),
        _chart("Attempts with an answer that is", odd, share=True),
    ])  # fmt: skip


def learning_charts(history: RlHistory) -> list[Markup]:
    """How the policy moves, and whether trainer and sampler agree."""
    kl = [(name, _of(history, f"mismatch/{name}")) for name in ("kl_k1", "kl_k3")]
    apart = [("mean |log-ratio|", _of(history, "mismatch/mean_absolute"))]
    stale = [("mean", _of(history, "staleness/mean")), ("oldest", _of(history, "staleness/most"))]
    return _shown([
        _chart("Entropy", [("entropy", _of(history, "entropy"))], note="nats a learned token"),
        _chart("KL from the sampler", kl, note="estimators k1 and k3"),
        _chart("Trainer and sampler", apart, note="of the same tokens"),
        _chart("Masked tokens", [("outside the band", _of(history, "masked"))], share=True, most=0.01),
        _chart("Staleness", stale if any(stale[1][1].values) else [], note="versions behind"),
        _chart("Gradient norm", [("norm", _of(history, "gradient_norm"))], note="before clipping"),
        _chart("Learning rate", [("rate", _of(history, "learning_rate"))]),
        _chart("Temperature of rollouts", [("temperature", _of(history, "temperature"))]),
        _chart("Expert load", [("busiest over mean", _of(history, "load"))], note="worst layer"),
        _chart("Largest attention logit", [("logit", _of(history, "max_logit"))]),
    ])  # fmt: skip


def group_charts(history: RlHistory) -> list[Markup]:
    """What became of groups and attempts."""
    groups = {
        "told": "some attempts are better", "equal": "no attempt is better", "stale": "too old",
        "incomplete": "incomplete", "quorum": "too few verdicts", "empty": "no verdict",
    }  # fmt: skip
    fates = {"masked": "masked", "unjudged": "without a verdict", "refused": "refused", "not_finite": "no number"}
    toggle = {"enforced": "groups with a budget", "gated": "attempts above it"}
    return _shown([
        _chart("Groups of a step", _counts(history, "groups/", groups)),
        _chart("Attempts left out", _counts(history, "attempts/", fates)),
        _chart("Toggle", _counts(history, "toggle/", toggle)),
    ])  # fmt: skip


def time_charts(history: RlHistory) -> list[Markup]:
    """Where time goes."""
    names = {
        "rollout": "waiting for rollouts",
        "judge": "waiting for a group judge",
        "train": "training",
        "publish": "publishing",
    }
    shares = [(words, curve(history.times, f"share/{name}")) for name, words in names.items()]
    speeds = [(name, curve(history.times, f"tokens_per_second/{name}")) for name in ("rollout", "train")]
    return _shown([
        _chart("Share of a step", shares, share=True),
        _chart("Tokens a second", [("sampled", speeds[0][1]), ("learned from, in training", speeds[1][1])]),
        _chart("Seconds of a step", [("seconds", curve(history.times, "seconds"))]),
    ])  # fmt: skip


def _of(history: RlHistory, key: str) -> Curve:
    return curve(history.steps, key)


def _by_place(history: RlHistory, prefix: str) -> list[Named]:
    """Of "prefix domain/place"; of domains where a run has many places; nothing where it has one."""
    names = history.names(prefix)
    places = [name for name in names if name.removeprefix(prefix).count("/") == 1]
    chosen = places if 1 <= len(places) <= MOST_LINES else [name for name in names if name not in places]
    lines = [(name.removeprefix(prefix), _of(history, name)) for name in chosen[:MOST_LINES]]
    return lines if len(places) > 1 else []


def _counts(history: RlHistory, prefix: str, names: dict[str, str]) -> list[Named]:
    counts = [(words, history.tally(prefix + name)) for name, words in names.items()]
    return [(words, found) for words, found in counts if any(found.values)]


def _different(lines: Sequence[Named]) -> list[Named]:
    """Without those that say the same as the first."""
    first = lines[0][1]
    return [lines[0], *(line for line in lines[1:] if line[1] != first)]


def _chart(
    title: str, lines: Sequence[Named], *, note: str = "", share: bool = False, dots: bool = False, most: float = 1.0
) -> Markup:
    """A share's axis goes from 0 to `most`, or as far as its values do."""
    drawn = [
        Line(name, *found, colour=at % PALETTE, smooth=not dots, dots=dots)
        for at, (name, found) in enumerate(lines[:MOST_LINES], start=1)
    ]
    top = max([most, *(value for _, found in lines for value in found.values if value <= 1.0)])
    form: Callable[[float], str] = _percent if share else plain
    return line_chart(
        title, drawn, note=note, form=form, unit="percent" if share else "",
        y_range=(0.0, top) if share else None,
    )  # fmt: skip


def _percent(value: float) -> str:
    return f"{100 * value:.6g}%"


def _shown(charts: list[Markup]) -> list[Markup]:
    return [chart for chart in charts if chart]
