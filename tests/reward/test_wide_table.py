"""The table score: every quirk of the official scorer in both modes, and both modes against a plain restatement."""

import asyncio
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.reward.judge import JudgeError
from manyeyes.reward.table_judge import ExactJudge
from manyeyes.reward.table_score import TableScore
from manyeyes.reward.table_task import ColumnRule, Table, TableTask
from manyeyes.reward.wide_table import score_table

KEY = ColumnRule(metrics=("exact_match",))


class Aliases(ExactJudge):
    """Aligns what it is told to and notes what it was asked."""

    def __init__(self, keys=(), columns=()):
        self.keys, self.columns, self.asked = dict(keys), dict(columns), []

    async def map_columns(self, columns, required):
        self.asked.append(("columns", list(columns), list(required)))
        return {column: self.columns[column] for column in columns if column in self.columns}

    async def align_keys(self, column, answers, golds):
        self.asked.append((column, list(answers), list(golds)))
        return {answer: self.keys[answer] for answer in answers if answer in self.keys}


def table(text):
    """Lines of cells separated by blanks; `_` is an empty cell."""
    return [["" if cell == "_" else cell for cell in line.split()] for line in text.strip().splitlines()]


def markdown(text):
    header, *rows = table(text)
    lines = [header, ["---"] * len(header), *rows]
    return "Found:\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n\nThat is all."


def a_task(gold, *, keys=("k",), **rules):
    header, *rows = table(gold)
    columns = {name: rules.get(name, ColumnRule(metrics=("exact_match",))) for name in header}
    return TableTask(Table(header, rows), tuple(header), keys, columns)


def score(task, answer, judge=None, *, parity=False, **kwargs) -> TableScore:
    return asyncio.run(score_table(task, answer, judge or ExactJudge(), parity=parity, **kwargs))


def numbers(one):
    return one.success, one.row.f1, one.item.f1


@pytest.mark.parametrize("parity", [False, True])
def test_the_true_table_is_a_success_in_both_modes(parity):
    gold = "k v n\na x 1\nb y 2.5"
    found = score(a_task(gold), markdown(gold), parity=parity)
    assert numbers(found) == (1, 1, 1) and found.flags == () and found.failure == "" and found.matched == 2


@pytest.mark.parametrize("parity", [False, True])
def test_a_row_that_does_not_exist_costs_precision(parity):
    found = score(a_task("k v\na x\nb y"), markdown("k v\na x\nb y\nc z"), parity=parity)
    assert found.item.precision == pytest.approx(2 / 3) and found.item.recall == 1
    assert found.item.f1 == pytest.approx(0.8) and found.success == 0


def test_two_names_of_one_row_count_once():
    task, answer = a_task("k v\na x\nb y"), markdown("k v\na x\nA x\nb y")
    judge = Aliases({"A": "a", "a": "a", "b": "b"})
    official = score(task, answer, judge, parity=True)
    assert official.row.recall == official.item.recall == 1.5 and official.row.f1 == pytest.approx(1.2)
    ours = score(task, answer, judge)
    assert ours.item.recall == 1 and ours.item.precision == pytest.approx(2 / 3)
    assert ours.flags == ("several_rows_for_one_key",)


def test_the_row_with_the_exact_name_goes_before_an_aligned_one():
    found = score(a_task("k v\na x"), markdown("k v\nA wrong\na x"), Aliases({"A": "a"}))
    assert found.item.recall == 1


def test_two_metrics_on_a_column_are_one_cell():
    gold = "k v\na x\nb y"
    task = a_task(gold, v=ColumnRule(metrics=("exact_match", "in_match")))
    official = score(task, markdown(gold), parity=True)
    assert official.item == (1.5, 1.5, 1.5) and official.row.f1 == 1 and official.success == 0
    ours = score(task, markdown(gold))
    assert numbers(ours) == (1, 1, 1) and ours.flags == ("several_metrics",)
    assert score(task, markdown("k v\na x\nb _")).item.recall == 0.75


@pytest.mark.parametrize(
    ("answer", "gold", "official", "ours", "flag"),
    [
        ("absent", "unknown", 1, 0, "no_url"),
        ("none", "N/A", 1, 1, ""),
        ("unknown", "Unknown", 1, 1, ""),
        ("https://a.org/1", "https://a.org/2", 1, 0, "other_page"),
        ("https://www.a.org/1", "https://a.org/1/", 0, 1, "same_host"),
        ("https://www.a.org/about", "https://a.org/", 0, 1, "same_host"),
        ("[site](https://a.org/1)", "http://a.org/1", 1, 1, ""),
        ("https://a.org,https://b.org", "https://b.org,https://a.org", 0, 1, ""),
        ("https://b.org", "https://a.org", 0, 0, ""),
        ("https://[a", "https://a.org", 0, 0, ""),
    ],
)
def test_urls(answer, gold, official, ours, flag):
    task = a_task(f"k u\na {gold}", u=ColumnRule(metrics=("url_match",)))
    assert score(task, markdown(f"k u\na {answer}"), parity=True).row.f1 == official
    found = score(task, markdown(f"k u\na {answer}"))
    assert found.row.f1 == ours and found.flags == ((flag,) if flag else ())


@pytest.mark.parametrize(
    ("answer", "gold", "official", "ours", "flags"),
    [
        ("soon", "later", 1, 0, ("no_date",)),
        ("soon", "Soon", 1, 1, ()),
        ("2021-03-05", "2021/4/5", 1, 1, ()),
        ("2021-03-05", "2021/4/6", 0, 0, ()),
        ("soon", "2021-03-05", 0, 0, ()),
    ],
)
def test_dates(answer, gold, official, ours, flags):
    task = a_task(f"k d\na {gold}", d=ColumnRule(metrics=("date_near",)))
    assert score(task, markdown(f"k d\na {answer}"), parity=True).row.f1 == official
    found = score(task, markdown(f"k d\na {answer}"))
    assert found.row.f1 == ours and found.flags == flags


def test_a_whole_number_with_a_point_is_the_number():
    task, answer = a_task("k n\na 1\nb 2"), markdown("k n\na 1.0\nb 2.0")
    assert score(task, answer, parity=True).item.f1 == 0.5
    ours = score(task, answer)
    assert numbers(ours) == (1, 1, 1) and ours.flags == ("number_form",)


@pytest.mark.parametrize("parity", [False, True])
def test_the_same_holes_in_a_column_of_integers_agree(parity):
    gold = "k n\na 1\nb _\nc 3"
    assert score(a_task(gold), markdown(gold), parity=parity).success == 1


def test_number_near_without_a_criterion():
    gold = "k n\na 1\nb 2"
    task = a_task(gold, n=ColumnRule(metrics=("number_near",)))
    official = score(task, markdown(gold), parity=True)
    assert numbers(official) == (0, 0, 0) and "criterion" in official.failure
    ours = score(task, markdown("k n\na 1\nb 2.1"))
    assert ours.item.f1 == 0.75 and ours.flags == ("no_criterion",)


def test_no_number_on_either_side():
    task = a_task("k n\na many", n=ColumnRule(("extract_number",), ("number_near",), 0.1))
    assert score(task, markdown("k n\na few"), parity=True).row.f1 == 1
    ours = score(task, markdown("k n\na few"))
    assert ours.row.f1 == 0 and ours.flags == ("no_number",)


def test_number_near_is_exact_at_the_border():
    task = a_task("k n\na 1.0\nb 200", n=ColumnRule(metrics=("number_near",), criterion=0.1))
    answer = markdown("k n\na 1.1\nb 180")
    assert score(task, answer).success == 1
    assert score(task, answer, parity=True).item.f1 == 0.75  # 1.1 - 1.0 > 0.1 in binary


def test_percent_is_a_hundredth():
    task = a_task("k n\na 45%", n=ColumnRule(("extract_number",), ("number_near",), 0.01))
    assert all(score(task, markdown("k n\na 0.45"), parity=parity).success for parity in (True, False))


def test_an_empty_answer_does_not_stand_in_every_text():
    task = a_task("k v\na xyz", v=ColumnRule(("norm_str",), ("in_match",)))
    assert score(task, markdown("k v\na *"), parity=True).row.f1 == 1
    ours = score(task, markdown("k v\na *"))
    assert ours.row.f1 == 0 and ours.flags == ("empty_in_gold",)
    assert score(task, markdown("k v\na y")).row.f1 == 1


def test_no_key_matches():
    task = a_task("k v\na x")
    assert numbers(score(task, markdown("k v\nb x"), parity=True)) == (0, 0, 0)
    ours = score(task, markdown("k v\nb x"))
    assert numbers(ours) == (0, 0, 0) and ours.flags == ("no_key_matched",)


def test_a_pipe_inside_a_cell():
    task = a_task("k v\na x|y\nb z")
    answer = "|k|v|\n|---|---|\n|a|x\\|y|\n|b|z|"
    assert numbers(score(task, answer, parity=True)) == (0, 0, 0)
    ours = score(task, answer)
    assert numbers(ours) == (1, 1, 1) and ours.flags == ("escaped_pipe",)
    late = "|k|v|\n|---|---|\n|b|z|\n|a|x\\|y|"
    assert "more cells" in score(task, late, parity=True).failure and score(task, late).success == 1


def test_an_extra_column():
    task, answer = a_task("k v\na x"), markdown("k v note\na x fine")
    official = score(task, answer, parity=True)
    assert numbers(official) == (0, 0, 0) and "columns" in official.failure
    ours = score(task, answer)
    assert numbers(ours) == (1, 1, 1) and ours.flags == ("extra_columns",)


def test_a_missing_column_is_a_column_of_wrong_cells():
    task, answer = a_task("k v w\na x y"), markdown("k v\na x")
    assert numbers(score(task, answer, parity=True)) == (0, 0, 0)
    ours = score(task, answer)
    assert ours.flags == ("missing_columns",) and ours.row.f1 == 0 and ours.item.f1 == pytest.approx(2 / 3)
    assert "key columns" in score(task, markdown("v w\nx y")).failure


def test_the_judge_names_columns_only_where_names_differ():
    task, answer = a_task("k v\na x"), markdown("k value\na x")
    for parity, asked in ((True, ["k", "value"]), (False, ["value"])):
        judge = Aliases(columns={"value": "v"})
        assert score(task, answer, judge, parity=parity).row.f1 == 1
        assert judge.asked[0][:2] == ("columns", asked)
    judge = Aliases()
    score(task, markdown("k v\na x"), judge)
    assert judge.asked == []
    score(task, markdown("k v\na x"), judge, parity=True)
    assert judge.asked == [("k", ["a"], ["a"])]


def test_of_rows_with_one_key_the_first_counts():
    task, answer = a_task("k v\na x\nb y"), markdown("k v\na no\na x\nb y")
    official = score(task, answer, parity=True)
    assert official.row == (0.5, 0.5, 0.5)
    ours = score(task, answer)
    assert ours.row.recall == 0.5 and ours.row.precision == pytest.approx(1 / 3)
    assert ours.flags == ("duplicate_keys", "several_rows_for_one_key")
    assert score(task, markdown("k v\na x\na x\nb y")).success == 1


def test_a_gold_table_with_one_key_twice():
    task = a_task("k v\na x\na z")
    assert score(task, markdown("k v\na x"), parity=True).success == 1
    assert score(task, markdown("k v\na x")).flags == ("duplicate_gold_keys",)


def test_equal_tables_succeed_officially_whatever_the_metrics_say():
    class Never(ExactJudge):
        async def judge_column(self, column, answers, golds, *, criterion):
            return [0.0] * len(answers)

    judged, near = ColumnRule(metrics=("llm_judge",)), ColumnRule(metrics=("number_near",))
    gold = "k v\na x"
    assert score(a_task(gold, v=judged, k=near), markdown(gold), Never(), parity=True).success == 1
    assert score(a_task(gold, v=judged), markdown(gold), Never(), parity=True).success == 0
    assert score(a_task(gold, v=judged, k=near), markdown("v k\nx a"), Never(), parity=True).success == 0
    assert score(a_task(gold, v=judged, k=near), markdown(gold), Never()).success == 0


def test_a_column_without_rules_or_metrics():
    gold = Table(["k", "v"], [["a", "x"]])
    bare = TableTask(gold, ("k", "v"), ("k",), {"k": KEY})
    assert score(bare, markdown("k v\na x"), parity=True).failure
    none = TableTask(gold, ("k", "v"), ("k",), {"k": KEY, "v": ColumnRule()})
    assert score(none, markdown("k v\na x"), parity=True).item.f1 == 0.5
    for task in (bare, none):
        found = score(task, markdown("k v\na x"))
        assert found.success == 1 and found.flags == ("no_metric",)


def test_a_judge_that_fails_is_an_error_and_officially_zeros():
    class Failing(ExactJudge):
        async def judge_column(self, column, answers, golds, *, criterion):
            raise JudgeError("nothing")

        align_keys = map_columns = judge_column  # type: ignore

    class Short(ExactJudge):
        async def judge_column(self, column, answers, golds, *, criterion):
            return []

    task = a_task("k v\na x", k=ColumnRule(metrics=("number_near",)), v=ColumnRule(metrics=("llm_judge",)))
    for judge in (Failing(), Short()):
        assert score(task, markdown("k v\na y"), judge, parity=True).item.f1 == 0.5
        with pytest.raises(JudgeError):
            score(task, markdown("k v\na y"), judge)


def test_scores_of_a_judge_stay_between_0_and_1():
    class Generous(ExactJudge):
        async def judge_column(self, column, answers, golds, *, criterion):
            assert criterion == "same place"
            return [3, -2]

    task = a_task("k v\na x\nb y", v=ColumnRule(metrics=("llm_judge",), criterion="same place"))
    assert score(task, markdown("k v\na x\nb y"), Generous()).item.f1 == 0.75


def test_keys_join_by_value_and_in_any_combination():
    task = a_task("k j v\na 1 x\na 2 y", keys=("k", "j"))
    assert score(task, markdown("k j v\na 2.0 y\na 1.0 x")).flags == ("number_form",)
    assert score(task, markdown("k j v\na 2.0 y\na 1.0 x")).success == 1


def test_the_given_reader_of_dates_is_used():
    def read(text):
        return {"yesterday": datetime(2021, 3, 5, 23, tzinfo=UTC), "today": datetime(2021, 3, 6)}.get(text)

    task = a_task("k d\na today", d=ColumnRule(metrics=("date_near",)))
    assert score(task, markdown("k d\na yesterday"), dates=read).success == 1
    assert "time zone" in score(task, markdown("k d\na yesterday"), parity=True, dates=read).failure


# Both modes against the rules said again in plain loops

names = st.sampled_from(["Ada", "ada", "ADA", "Bob", "bob", "Cy", "Zed"])
texts = st.sampled_from(["x", "X", "y", "xy"])
integers = st.integers(8, 12).map(str)
answers = st.lists(st.tuples(names, texts, integers), max_size=6)
golds = st.lists(
    st.tuples(st.sampled_from(["Ada", "Bob", "Cy"]), texts, integers),
    min_size=1,
    max_size=3,
    unique_by=lambda row: row[0],
)
RULES = {
    "k": KEY,
    "v": ColumnRule(metrics=("exact_match", "in_match")),
    "n": ColumnRule(metrics=("number_near",), criterion=0.1),
}


def text_of(rows):
    return "\n".join(["|k|v|n|", "|-|-|-|", *("|" + "|".join(row) + "|" for row in rows)])


def metrics(answer, gold):
    """exact_match and in_match of v, number_near of n."""
    near = abs(Fraction(answer[2]) - Fraction(gold[2])) <= Fraction(gold[2]) / 10
    return [float(answer[1].lower() == gold[1].lower()), float(answer[1] in gold[1]), float(near)]


def figures(rows, items, predicted, true):
    result = []
    for hits, times in ((rows, 1), (items, 3)):
        p = hits / (predicted * times) if predicted else 0
        r = hits / (true * times)
        result += [p, r, 2 * p * r / (p + r) if p + r else 0]
    return pytest.approx([float(all(one == 1 for one in result)), *result])


def official_again(rows, gold):
    first = {}
    for row in rows:
        first.setdefault(row[0], row)
    spelt = {row[0].lower(): row[0] for row in gold}
    kept = [(spelt.get(row[0].lower(), row[0]), *row[1:]) for row in first.values()]
    joined = [[1.0, *metrics(row, true)] for true in gold for row in kept if row[0] == true[0]]
    return figures(sum(map(min, joined)), sum(map(sum, joined)), len(kept), len(gold))


def corrected_again(rows, gold):
    rows = list(dict.fromkeys(rows))
    hits_row = hits_item = 0.0
    for true in gold:
        exact = [row for row in rows if row[0] == true[0]]
        alike = [row for row in rows if row[0].lower() == true[0].lower()]
        for row in (exact or alike)[:1]:
            exactly, inside, near = metrics(row, true)
            cells = [1.0, min(exactly, inside), near]
            hits_row, hits_item = hits_row + min(cells), hits_item + sum(cells)
    return figures(hits_row, hits_item, len(rows), len(gold))


@given(answers, golds)
def test_both_modes_are_the_rules(rows, gold):
    task = TableTask(Table(["k", "v", "n"], [list(row) for row in gold]), ("k", "v", "n"), ("k",), RULES)
    official = score(task, text_of(rows), parity=True)
    if official.failure:
        assert not rows
    else:
        assert list(official.figures.values()) == official_again(rows, gold)
    ours = score(task, text_of(rows))
    assert list(ours.figures.values()) == corrected_again(rows, gold)
    assert all(0 <= value <= 1 for value in ours.figures.values())


@given(answers, golds, st.randoms(use_true_random=False))
def test_order_of_columns_and_of_different_rows_does_not_matter(rows, gold, random):
    rows = list({row[0].lower(): row for row in rows}.values())
    task = TableTask(Table(["k", "v", "n"], [list(row) for row in gold]), ("k", "v", "n"), ("k",), RULES)
    shuffled = random.sample(rows, len(rows))
    turned = "\n".join(["|n|k|v|", "|-|-|-|", *(f"|{n}|{k}|{v}|" for k, v, n in shuffled)])
    assert score(task, turned).figures == score(task, text_of(rows)).figures


pieces = st.sampled_from(
    [
        "|",
        "\\|",
        "\n",
        "k",
        "v",
        "a",
        "x",
        '"',
        "---",
        "```markdown",
        "```",
        " ",
        "1",
        "9" * 30,
        "1e999",
        "nan",
        "https://[",
    ]
    + ["Infinity", "%", "*", "\r", "\0", "\u2028", "{", "0" * 5000, "2021-13-45", "５", "|k|v|\n|-|-|\n"]
)


@given(st.lists(pieces, max_size=30).map("".join) | st.text(), st.sampled_from(["text", "number", "url", "date"]))
def test_no_answer_raises(answer, kind):
    rules = {
        "text": ColumnRule(("norm_str",), ("exact_match", "in_match", "llm_judge")),
        "number": ColumnRule(("extract_number",), ("number_near",), 0.1),
        "url": ColumnRule((), ("url_match",)),
        "date": ColumnRule(("norm_date",), ("date_near", "exact_match")),
    }
    task = a_task("k v\na x\nx 1", v=rules[kind], k=rules[kind] if kind == "number" else KEY)
    for parity in (False, True):
        found = score(task, answer, parity=parity)
        assert isinstance(found, TableScore)
        if not parity:
            assert all(0 <= value <= 1 for value in found.figures.values())
