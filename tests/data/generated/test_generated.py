"""Generated problems against independent solutions."""

import ast
import math
import operator
import re
from fractions import Fraction

import numpy as np
import pytest

from manyeyes.core import seeds
from manyeyes.data.generated import chains as chain_kinds
from manyeyes.data.generated import problems
from manyeyes.data.generated.maths import chains, maths
from manyeyes.data.generated.small_talk import TASKS, SmallTalk

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(expression: str) -> Fraction:
    """Exact value of an expression of numbers and + - * /."""

    def of(node) -> Fraction:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](of(node.left), of(node.right))
        assert isinstance(node, ast.Constant)
        return Fraction(str(node.value))

    return of(ast.parse(expression, mode="eval").body)


def drawn(kind, count=200, **given):
    return [kind(seeds.stream(0, f"test/{kind.__name__}", i), **given) for i in range(count)]


EQUALITY = re.compile(r"(?<![\w.,])(\d[\d.]*(?: [-+*/] \d[\d.]*)+) = (\d[\d.]*)(?![\w/])")


@pytest.mark.parametrize("kind", problems.PROBLEMS)
def test_every_equality_in_a_solution_holds(kind):
    for problem in drawn(kind):
        for step in problem.steps:
            for left, right in EQUALITY.findall(step):
                assert value(left) == value(right.rstrip(".")), (problem, left, right)


@pytest.mark.parametrize(
    "kind", [problems.addition, problems.subtraction, problems.multiplication, problems.fraction_sum]
)
def test_answers_are_the_values_of_the_questions(kind):
    for problem in drawn(kind):
        assert value(problem.question.removesuffix(" = ?").replace("/", " / ")) == Fraction(problem.answer)


def numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def test_other_answers_agree_with_a_second_computation():
    for p in drawn(problems.division):
        a, b = numbers(p.question)
        quotient, rest = divmod(a, b)
        assert numbers(p.answer) == [quotient, rest][: 1 + (rest > 0)]
    for p in drawn(problems.equation):
        a, b, c = numbers(p.question)
        assert a * numbers(p.answer)[0] + b == c
    for p in drawn(problems.divisor):
        assert int(p.answer) == math.gcd(*numbers(p.question))
    for p in drawn(problems.percentage):
        percent, base = numbers(p.question)
        assert Fraction(percent * base, 100) == int(p.answer)
    for p in drawn(problems.comparison):
        assert p.answer == max(re.findall(r"\d+\.\d+", p.question), key=Fraction)
    for p in drawn(problems.trade):
        had, got, gave = numbers(p.question)
        assert int(p.answer) == had + got - gave >= 0
    for p in drawn(problems.sharing):
        boxes, inside, people = numbers(p.question)
        assert int(p.answer) * people == boxes * inside
    for p in drawn(problems.shopping):
        n, a, m, b, paid = numbers(p.question)
        assert int(p.answer) == paid - n * a - m * b > 0
    for p in drawn(problems.journey):
        t, v, u, w = numbers(p.question)
        assert numbers(p.answer) == [t * v + u * w]


def test_sequences_go_on_by_one_of_three_rules():
    for p in drawn(problems.sequence):
        terms = [*numbers(p.question), int(p.answer)]
        first = np.diff(terms)
        ratios = {Fraction(b, a) for a, b in zip(terms, terms[1:], strict=False)}
        assert len(set(first)) == 1 or len(ratios) == 1 or set(np.diff(first)) == {1}


@pytest.mark.parametrize("length", [2, 5, 40])
def test_chains_by_simulation(length):
    for p in drawn(chain_kinds.running_total, 40, length=length):
        start, *rest = re.findall(r"(Start with|Add|Take away) (\d+)", p.question)
        total = int(start[1]) + sum(int(n) * (1 if verb == "Add" else -1) for verb, n in rest)
        assert str(total) == p.answer and len(rest) == length
    for p in drawn(chain_kinds.lookup, 40, length=length):
        notes = dict(re.findall(r"note at (\d+) says (\d+)", p.question))
        begin = re.findall(r"Begin at (\d+)", p.question)[0]
        assert notes[notes[begin]] == p.answer
    for p in drawn(chain_kinds.selection_sort, 40, length=length):
        assert numbers(p.answer) == sorted(numbers(p.question))
    for p in drawn(chain_kinds.whereabouts, 40, length=length):
        place = dict(re.findall(r"(\w+) is in the (\w+)\.", p.question))
        owner = re.findall(r"(\w+) holds the", p.question)[0]
        for name, where, other in re.findall(r"(\w+) goes to the (\w+)(?: and hands (\w+) the \w+)?\.", p.question):
            place[name] = where
            owner = other or owner
        assert place[owner] == p.answer


def test_forms_tell_the_same_truth():
    talk, thought = maths("test", form="chat"), maths("test", form="thinking")
    for i in range(30):
        said, thinking = talk.record(i), thought.record(i)
        assert str(said.turns[1].pieces[0]).endswith(f"Answer: {said.truth}")
        assert thinking.turns[1].pieces == (thinking.truth,) and thinking.turns[1].reasoning
    assert maths("train").record(0).is_document
    assert chains("train", length=3).name == "chains_3"


def test_seeds_and_indices_make_the_difference():
    first, again, other = maths("train"), maths("train"), maths("train", seed=1)
    assert [first.record(i) for i in range(20)] == [again.record(i) for i in range(20)]
    assert [first.record(i).turns for i in range(20)] != [other.record(i).turns for i in range(20)]


def test_small_tasks_on_words():
    for i in range(300):
        record = SmallTalk("test").record(i)
        said, answer = record.turns[0].pieces[0], record.truth
        assert isinstance(said, str) and answer
        if said.startswith("Spell"):
            assert answer.replace("-", "") == said.split()[-1].rstrip(".")
        if said.startswith("How many letters"):
            assert int(answer) == len(said.split()[-1].rstrip("?"))
        if said.startswith("Put these words"):
            words = said.partition(": ")[2].split(", ")
            assert answer.split(", ") == sorted(words)
    assert len({task.__name__ for task in TASKS}) == len(TASKS)
