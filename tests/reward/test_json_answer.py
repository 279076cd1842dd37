import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.reward.json_answer import NO_JSON, json_f1, json_reward, read_json, same_json

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text("ab", max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)),
    max_leaves=8,
)


@given(values, values)
def test_a_value_is_itself_and_no_other(one, other):
    for text in (json.dumps(one), f"Here it is:\n```json\n{json.dumps(one, indent=2)}\n```\nDone."):
        assert json_reward(text, one) == 1 and json_f1(text, one) == 1
        assert json_reward(text, other) == float(same_json(one, other))
        assert 0 <= json_f1(text, other) <= 1
    assert same_json(one, other) == same_json(other, one)


@pytest.mark.parametrize(
    "text",
    ["", "no", "{'a': 1}", '{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 2}', '{"a": 1} and more', "[" * 100_000,
     "1" * 6000, '{"a": 1', "```json\n{\n```"],
)  # fmt: skip
def test_what_is_no_json_earns_nothing(text):
    assert read_json(text) is NO_JSON
    assert json_reward(text, {"a": 1}) == json_f1(text, {"a": 1}) == json_reward(text, None) == 0


def test_json_types_are_kept_apart():
    assert json_reward("true", 1) == json_reward("1", True) == json_reward('"1"', 1) == json_reward("{}", []) == 0
    assert json_reward("1.0", 1) == json_reward("1", 1.0) == json_reward("null", None) == 1
    assert json_f1('{"a": [1, 2], "b": 3}', {"a": [1, 9], "b": 3}) == pytest.approx(2 / 3)
