"""Plans the order of early, mid and late fusion (report §2.1, table 1) and shows what a planner promises.

    python examples/plan_a_mixture.py

Nothing is read or trained: a plan follows from lengths alone. The vision ratio holds at every moment of a segment, all
three plans draw the same number of vision tokens, and a plan saved halfway goes on exactly where it stood.
"""

import json

from manyeyes.data.fake_source import FakeSource
from manyeyes.data.mixture import Mixture, early, late, mid
from manyeyes.data.plan import Planner

TOKENS, ROW = 4_000_000, 4096
SOURCES = [
    FakeSource.realistic("web", 20_000, mean=700),
    FakeSource.realistic("code", 5_000, mean=1500),
    FakeSource.realistic("captions", 30_000, mean=150, domain="vision"),
    FakeSource.realistic("pages", 4_000, mean=900, domain="vision"),
]


def planner_of(mixture: Mixture) -> Planner:
    """A fresh planner over the four sources."""
    return Planner(SOURCES, mixture, row_length=ROW, seed=7)


def main() -> None:
    """Draw each plan to its end and print how the vision ratio developed."""
    for name, fusion in (("early", early), ("mid", mid), ("late", late)):
        planner, ratios = planner_of(fusion(TOKENS)), []
        for _ in range(10):
            planner.take(TOKENS // ROW // 10)
            ratios.append(planner.progress.vision)
        print(f"{name:<6}" + "".join(f"{100 * ratio:6.1f}" for ratio in ratios) + " % vision so far")
        print(f"      rows {100 * planner.progress.fill:.2f} % full, {planner.progress.packs} rows")

    whole = planner_of(mid(TOKENS))
    whole.take(300)
    saved = json.dumps(whole.state())
    resumed = Planner.from_state(json.loads(saved), SOURCES, mid(TOKENS), row_length=ROW, seed=7)
    print(f"state after 300 rows: {len(saved):,} bytes; resumed alike: {whole.take(300) == resumed.take(300)}")


if __name__ == "__main__":
    main()
