import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import pytest

from manyeyes.core.errors import DataError
from manyeyes.data.blend import Exhausted
from manyeyes.data.fake_source import FakeSource
from manyeyes.data.mixture import constant, one_pass
from manyeyes.data.plan import UNREADABLE, PlannedPack, Planner
from manyeyes.data.retry import Retry
from manyeyes.data.source import RecordError

T = 256


def sources(**changed: FakeSource) -> list[FakeSource]:
    made = {
        "ocr": FakeSource.realistic("ocr", 50, mean=40, longest=T, domain="vision"),
        "video": FakeSource.realistic("video", 20, mean=120, longest=T, domain="vision"),
        "web": FakeSource.realistic("web", 90, mean=70, longest=T),
        "code": FakeSource.realistic("code", 30, mean=90, longest=T),
    }
    return list({**made, **changed}.values())


def planner(**changed: Any) -> Planner:
    return Planner(sources(), constant(0.2), **{"row_length": T, "seed": 7, "window": 16, **changed})


def restored(state: Mapping[str, Any], **changed: Any) -> Planner:
    settings: dict[str, Any] = {"row_length": T, "seed": 7, "window": 16, **changed}
    mixture = settings.pop("mixture", constant(0.2))
    return Planner.from_state(state, settings.pop("sources", sources()), mixture, **settings)


def test_packs_are_numbered_and_never_exceed_a_row() -> None:
    packs = planner().take(200)
    assert [pack.index for pack in packs] == list(range(200))
    assert all(0 < pack.tokens <= T for pack in packs)


def test_the_order_of_the_sources_does_not_matter() -> None:
    one = planner().take(50)
    other = Planner(sources()[::-1], constant(0.2), row_length=T, seed=7, window=16).take(50)
    assert one == other


def test_seed_matters() -> None:
    assert planner().take(20) != planner(seed=8).take(20)


def test_an_epoch_holds_each_sample_once() -> None:
    made = Planner(sources(), one_pass(["ocr", "video", "web", "code"]), row_length=T, seed=0)
    entries = [entry for pack in made for entry in pack.entries]
    assert sorted((e.source, e.index) for e in entries) == sorted((s.name, i) for s in sources() for i in range(len(s)))
    assert made.take(1) == [] and made.progress.epochs == {"code": 1.0, "ocr": 1.0, "video": 1.0, "web": 1.0}


def test_epochs_follow_one_another_completely() -> None:
    made = Planner(sources(), constant(0.2), row_length=T, seed=0)
    drawn: dict[str, list[tuple[int, int]]] = {}
    for entry in sorted((e for pack in made.take(300) for e in pack.entries), key=lambda entry: entry.draw):
        drawn.setdefault(entry.source, []).append((entry.epoch, entry.index))
    for source in sources():
        places = drawn[source.name]
        counts = Counter(epoch for epoch, _ in places)
        assert len(set(places)) == len(places)
        assert all(counts[epoch] == len(source) for epoch in range(max(counts) - 1))
        assert max(counts) >= 2


def test_caps_leave_the_share_to_the_domain_and_then_say_what_to_raise() -> None:
    mixture = constant(0.2, epochs={"video": 0.5, "ocr": 2, "web": 50, "code": 50})
    made = Planner(sources(), mixture, row_length=T, seed=0)
    with pytest.raises(
        Exhausted, match=r"vision source is at its epoch cap: ocr \(2 epochs\), video \(0.5 epochs\). Raise"
    ):
        made.take(10_000)
    assert made.progress.epochs["video"] == 0.5 and made.progress.epochs["ocr"] == 2.0
    assert made.progress.vision == pytest.approx(0.2, abs=0.02)
    raised = constant(0.2, epochs={"video": 0.5, "ocr": 4, "web": 50, "code": 50})
    later = Planner.from_state(made.state(), sources(), raised, row_length=T, seed=0)
    assert later.take(3)[0].index == made.packs


def test_progress_counts_what_was_drawn() -> None:
    made = planner()
    packs = made.take(300)
    progress = made.progress
    assert progress.packs == 300 and progress.vision == pytest.approx(0.2, abs=0.005)
    assert progress.fill == pytest.approx(sum(pack.tokens for pack in packs) / (300 * T))
    assert progress.fill >= 0.95


def test_the_state_is_small() -> None:
    many = [
        FakeSource.realistic(f"a-source-with-a-name-{n:02d}", 10**5 + n, mean=300, domain=("text", "vision")[n % 2])
        for n in range(30)
    ]
    made = Planner(many, constant(0.1), row_length=4096, seed=2**40, tokenizer="0" * 64)
    made.take(150)
    assert len(json.dumps(made.state())) < 4096


def test_planning_costs_a_few_calls_a_sample() -> None:
    """Calls and not seconds, which tell more about the machine."""
    many = [FakeSource.realistic(f"s{n}", 10**4, mean=700, domain=("text", "vision")[n % 2]) for n in range(10)]
    made = Planner(many, constant(0.1), row_length=4096, seed=0)
    made.take(10)
    packs, calls = counted(lambda: made.take(500))
    assert calls["length"] <= sum(len(pack.entries) for pack in packs) + 64  # each once; the window holds some more
    assert calls.total() < 40 * sum(len(pack.entries) for pack in packs)


def counted(work: Callable[[], list[PlannedPack]]) -> tuple[list[PlannedPack], Counter[str]]:
    """The result, and how often each Python function was called for it."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        return work(), calls
    finally:
        sys.setprofile(before)


def test_a_sample_longer_than_a_row_is_named() -> None:
    made = Planner([FakeSource("web", (10, 300))], constant(0.0), row_length=T, seed=0)
    with pytest.raises(
        DataError, match=r"source 'web', sample 1 \(epoch 0\) has 300 tokens and a row holds 1 to 256: let"
    ):
        made.take(5)


def test_a_record_that_cannot_be_measured_keeps_its_place() -> None:
    class Unmeasurable(FakeSource):
        def length(self, index: int, epoch: int) -> int:
            if index == 2:
                raise RecordError("no header")
            return super().length(index, epoch)

    made = Planner([Unmeasurable("web", [9] * 5)], one_pass(["web"]), row_length=T, seed=0)
    lengths = {entry.index: entry.length for pack in made for entry in pack.entries}
    assert lengths == {0: 9, 1: 9, 2: UNREADABLE, 3: 9, 4: 9}


def test_a_failing_length_leaves_the_plan_as_it_was() -> None:
    class Flaky(FakeSource):
        calls = 0

        def length(self, index: int, epoch: int) -> int:
            self.calls += 1
            if self.calls % 7 == 0:
                raise OSError("later")
            return super().length(index, epoch)

    flaky = Flaky.realistic("web", 90, mean=70, longest=T)
    made = Planner([*sources()[:2], flaky, sources()[3]], constant(0.2), row_length=T, seed=7, window=16)
    packs = []
    while len(packs) < 60:
        try:
            packs.append(next(made))
        except OSError:
            continue
    assert packs == planner().take(60)


class Hiccups(FakeSource):
    """The next `failures` measurements fail."""

    failures = 0

    def length(self, index: int, epoch: int) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError("storage is away")
        return super().length(index, epoch)


def test_a_resume_waits_for_storage_as_the_loader_does() -> None:
    made = planner()
    made.take(20)
    state, expected = made.state(), made.take(20)
    plain = sources()[2]
    web = Hiccups("web", [plain.length(index, 0) for index in range(len(plain))])
    web.failures = 2
    again = restored(state, sources=sources(web=web), retry=Retry(attempts=3, wait=0.0))
    assert web.failures == 0 and again.take(20) == expected
    web.failures = 3
    with pytest.raises(DataError, match="measuring a sample of web failed 3 times: storage is away. .* and resume"):
        restored(state, sources=sources(web=web), retry=Retry(attempts=3, wait=0.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed was 7 and is now 8"),
        ({"row_length": 512}, "row_length was 256 and is now 512"),
        ({"window": 17}, "window was 16 and is now 17"),
        ({"tokenizer": "b"}, "tokenizer was '' and is now 'b'"),
        ({"sources": sources()[1:]}, "source 'ocr' is gone"),
        (
            {"sources": sources(web=FakeSource("web", [4] * 91))},
            "'web' was text with 90 samples and is now text with 91",
        ),
        ({"sources": sources(web=FakeSource("web", [4] * 90))}, "web/.* had .* tokens and now has 4"),
        ({"sources": [*sources(), FakeSource("maths", [4])]}, "source 'maths' is new"),
        ({"allow": ["seed"]}, "allow names seed"),
    ],
)
def test_a_resume_names_what_changed_and_what_may(change: dict[str, Any], message: str) -> None:
    made = planner()
    made.take(9)
    with pytest.raises(DataError, match=message):
        restored(made.state(), **change)


def test_all_changes_are_named_at_once() -> None:
    with pytest.raises(
        DataError, match="seed was.*row_length was.*is gone.*Ratios, weights, segments and epoch caps may"
    ):
        restored(planner().state(), seed=1, row_length=512, sources=sources()[1:])


def test_another_format_is_refused() -> None:
    with pytest.raises(DataError, match="format 0"):
        restored({**planner().state(), "format": 0})


@pytest.mark.parametrize(
    "change",
    [
        {"row_length": 512, "allow": ["row_length"]},
        {"window": 5, "allow": ["window"]},
        {"tokenizer": "b", "allow": ["tokenizer"]},
        {"sources": [*sources(), FakeSource("maths", [4] * 40)], "allow": ["sources"]},
    ],
)
def test_allowed_changes_repeat_nothing_and_skip_nothing(change: dict[str, Any]) -> None:
    made = planner()
    before = made.take(23)
    later = restored(made.state(), **change)
    draws: dict[str, list[int]] = {}
    for pack in [*before, *later.take(40)]:
        for entry in pack.entries:
            draws.setdefault(entry.source, []).append(entry.draw)
    for entry in later._window.waiting:
        draws.setdefault(entry.source, []).append(entry.draw)
    assert all(sorted(drawn) == list(range(len(drawn))) for drawn in draws.values())


def test_the_same_tokenizer_fingerprint_with_other_lengths_may_be_allowed_too() -> None:
    made = planner()
    made.take(9)
    shorter = sources(web=FakeSource("web", [4] * 90))
    assert restored(made.state(), sources=shorter, tokenizer="b", allow=["tokenizer"]).take(1)[0].index == 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: [], "needs sources"),
        (lambda: [FakeSource("a", [1]), FakeSource("a", [2])], "different names"),
        (lambda: [FakeSource("a", [])], "at least one sample"),
        (lambda: [FakeSource("a", [1], domain="audio")], "domain 'audio'"),
    ],
)
def test_sources_that_cannot_be_planned_are_refused(make: Callable[[], list[FakeSource]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Planner(make(), constant(0.0), row_length=T, seed=0)
