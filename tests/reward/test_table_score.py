import pytest

from manyeyes.reward.table_score import Agreement, TableScore, over_trials, tally


def test_tally_counts_rows_by_their_worst_cell():
    one = tally([[1, 1, 1], [1, 0, 1]], predicted=4, true=2, width=3)
    assert one.row == Agreement(0.25, 0.5, pytest.approx(1 / 3)) and one.item.precision == pytest.approx(5 / 12)
    assert one.success == 0 and tally([[1, 1]], predicted=1, true=1, width=2).success == 1
    assert tally([], predicted=0, true=0, width=2) == TableScore()


def with_f1(value):
    return TableScore(success=float(value == 1), item=Agreement(value, value, value))


def test_trials_are_averaged_within_tasks_first():
    scores = {
        "a": [with_f1(0.25), with_f1(0.75), with_f1(1), with_f1(0)],
        "b": [with_f1(0.5)] * 4,
        "c": [with_f1(1)] * 3,
    }
    found = over_trials(scores, trials=4)
    assert found.figures["item_f1"] == (0.5, 0.75, 0.25) and found.figures["success"] == (0.125, 0.5, 0)
    assert found.tasks == 2 and found.incomplete == ("c",)
    assert set(found.figures) == set(TableScore().figures) and len(found.figures) == 7


def test_too_many_trials_and_none():
    with pytest.raises(ValueError, match="trials"):
        over_trials({"a": [TableScore()] * 2}, trials=1)
    assert over_trials({}, trials=4).figures == {}
