"""Long texts: every asked fact stands there exactly once, anywhere, and chains come out when worked again."""

import re

import numpy as np
import pytest

from manyeyes.data.synthesis.retrieval import KeyValues, Needles, Variables


def parts(record):
    text, question = str(record.turns[0].pieces[0]).rsplit("\n\n", 1)
    return text, [question, *(str(turn.pieces[0]) for turn in record.turns[2::2])]


@pytest.mark.parametrize("sentences", [0, 10, 300])
def test_each_needle_stands_in_the_text_once(sentences):
    generator = Needles(size=20, sentences=sentences)
    for i in range(20):
        record = generator.record(i)
        text, questions = parts(record)
        for ask, answer in zip(questions, record.turns[1::2], strict=True):
            found = re.fullmatch(r"What is the (\w+) of (\w+)\?", ask)
            assert found
            assert text.count(found[2]) == 1
            assert f"The {found[1]} of {found[2]} is {answer.pieces[0]}." in text
        assert text.count(".") == sentences + generator.needles


def test_needles_are_spread_evenly_over_the_text():
    generator = Needles(size=300, sentences=50, questions=1)
    depths = []
    for i in range(300):
        text, (ask,) = parts(generator.record(i))
        depths.append(text.index(ask.split()[-1].rstrip("?")) / len(text))
    counts = np.histogram(depths, bins=5, range=(0, 1))[0]
    assert counts.min() > 35 and counts.max() < 90


def test_keys_and_numbers_are_unique_and_answers_right():
    generator = KeyValues(size=40, sentences=30)
    backwards = 0
    for i in range(40):
        record = generator.record(i)
        text, questions = parts(record)
        pairs = [line.split(": ") for line in text.split("\n")]
        names, values = zip(*pairs, strict=True)
        assert len(set(names)) == len(set(values)) == 30
        for ask, answer in zip(questions, record.turns[1::2], strict=True):
            asked = re.search(r"(\w+)\?$", ask)
            assert asked
            if ask.startswith("Which"):
                backwards += 1
                assert [asked[1], answer.pieces[0]] == [values[names.index(answer.pieces[0])], answer.pieces[0]]
            else:
                assert dict(pairs)[asked[1]] == answer.pieces[0]
    assert backwards


@pytest.mark.parametrize("order", ["forward", "shuffled"])
def test_chains_come_out_when_worked_again(order):
    generator = Variables(size=60, sentences=30, order=order, hops=(2, 5))
    positions = []
    for i in range(60):
        record = generator.record(i)
        text, (ask,) = parts(record)
        known = {name: int(n) for name, n in re.findall(r"(\w+) has (\d+) coins\.", text)}
        rules = re.findall(r"(\w+) has (\d+) (more|fewer) than (\w+)\.", text)
        for _ in rules:
            for name, change, way, before in rules:
                if before in known:
                    known[name] = known[before] + int(change) * (1 if way == "more" else -1)
        asked = re.search(r"does (\w+) have", ask)
        assert asked
        assert str(known[asked[1]]) == record.truth
        assert all(value >= 0 for value in known.values())
        steps = str(record.turns[1].pieces[0])
        assert steps.endswith(f"Answer: {record.truth}") and steps.count("=") == len(rules)
        places = [text.index(f"{name} has") for name in known]
        positions.append(places == sorted(places))
    assert all(positions) if order == "forward" else not all(positions)


def test_length_follows_the_parameter():
    short, long = (len(str(Needles(size=1, sentences=n).record(0).turns[0].pieces[0])) for n in (20, 400))
    assert 15 < long / short < 25
