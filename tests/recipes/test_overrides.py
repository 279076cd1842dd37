import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.recipes import recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.readiness import check_names

TINY = recipe("tiny")


def joint(run):
    return next(stage for stage in run.stages if stage.name == "joint")


def test_no_override_changes_nothing() -> None:
    assert apply_overrides(TINY, []) == TINY


def test_a_nested_field_alone_is_changed() -> None:
    changed = apply_overrides(TINY, ["stages.joint.schedule.peak=0.5"])
    assert joint(changed).schedule.peak == 0.5
    peak = joint(TINY).schedule.peak
    assert apply_overrides(changed, [f"stages.joint.schedule.peak={json.dumps(peak)}"]) == TINY
    assert joint(TINY).schedule.peak == peak, "the original is left as it was"


def test_items_go_by_name_or_number() -> None:
    number = [stage.name for stage in TINY.stages].index("joint")
    by_name, by_number = (apply_overrides(TINY, [f"stages.{item}.steps=7"]) for item in ("joint", number))
    assert by_name == by_number and joint(by_name).steps == 7


def test_later_overrides_win() -> None:
    assert apply_overrides(TINY, ["seed=1", "seed=2"]).seed == 2


def test_a_registered_source_may_be_added_to_a_mixture() -> None:
    changed = apply_overrides(TINY, ["stages.joint.mixture.segments.0.weights.stamps=2.5"])
    weights = joint(changed).mixture.segments[0].weights
    assert weights["stamps"] == 2.5 and len(weights) == len(joint(TINY).mixture.segments[0].weights) + 1
    check_names(changed)


@pytest.mark.parametrize("table", ["segments.0.weights", "epochs"])
def test_a_name_in_a_table_may_have_dots(table) -> None:
    changed = apply_overrides(TINY, [f"stages.joint.mixture.{table}.my.data/v1.2.jsonl=2.5"])
    mixture = joint(changed).mixture
    assert (mixture.epochs if table == "epochs" else mixture.segments[0].weights)["my.data/v1.2.jsonl"] == 2.5


@pytest.mark.parametrize("table", ["segments.0.weights", "epochs"])
def test_a_source_that_is_not_registered_is_refused_before_the_run(table) -> None:
    """Registering a source is the way to add one; any other name is taken for a slip."""
    changed = apply_overrides(TINY, [f"stages.joint.mixture.{table}.my_source=2.5"])
    with pytest.raises(ConfigError, match="stage joint: no source named 'my_source'"):
        check_names(changed)


@given(st.integers(-(2**40), 2**40))
def test_any_whole_number(value) -> None:
    assert apply_overrides(TINY, [f"seed={value}"]).seed == value


@given(st.floats(0, 1e300, exclude_min=True))
def test_any_float_and_a_whole_number_where_a_float_is_wanted(value) -> None:
    changed = apply_overrides(TINY, [f"loop.gradient_norm={value!r}"])
    assert changed.loop.gradient_norm == value and isinstance(changed.loop.gradient_norm, float)
    assert apply_overrides(TINY, ["loop.gradient_norm=2"]).loop.gradient_norm == 2.0


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_any_text_where_text_is_wanted(text) -> None:
    """As JSON always; as a bare word where it is no JSON of its own."""
    assert apply_overrides(TINY, [f"name={json.dumps(text)}"]).name == text


@pytest.mark.parametrize("word", ["a-word", "two words", "path/to.file", "x=y=z", "5 %"])
def test_bare_words_are_text(word) -> None:
    assert apply_overrides(TINY, [f"name={word}"]).name == word


@pytest.mark.parametrize(("word", "value"), [("true", True), ("false", False), ("True", True), ("False", False)])
def test_truth_values(word, value) -> None:
    assert joint(apply_overrides(TINY, [f"stages.joint.augment={word}"])).augment is value


def test_lists_become_tuples() -> None:
    changed = joint(apply_overrides(TINY, ['stages.joint.trainable=["mm_projector"]', "stages.joint.held_out=[]"]))
    assert changed.trainable == ("mm_projector",) and changed.held_out == ()


@pytest.mark.parametrize("word", ["None", "null"])
def test_nothing_where_it_is_allowed(word) -> None:
    changed = apply_overrides(TINY, ["stages.joint.yarn_original=64", f"stages.joint.yarn_original={word}"])
    assert joint(changed).yarn_original is None


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed", "expected PATH=VALUE"),
        ("=3", "expected PATH=VALUE"),
        ("sed=3", "did you mean seed"),
        ("stages.joint.step=3", "steps"),
        ("stages.joit.steps=3", "joint"),
        ("stages.99.steps=3", "align_lm"),
        ("seed.deep=3", "nothing below it"),
        ("seed=high", "int"),
        ("seed=1.5", "int"),
        ("seed=true", "int"),
        ("stages.joint.steps=null", "int"),
        ("stages.joint.trainable=mm_projector", "array"),
        ('stages.joint.trainable=["mm_projectr"]', "mm_projectr"),
        ("stages.joint.objective=languages", "languages"),
        ("stages.joint.schedule.kind=step", "step"),
        ("stages.joint=3", "object"),
        ("stages..steps=3", "no ''"),
        (".=3", "no ''"),
        ("stages.\N{SUPERSCRIPT TWO}.steps=3", "align_lm"),
        (f"seed={'1' * 5000}", "int"),
        (f"stages={'[' * 100_000}", "array"),
    ],
)
def test_wrong_overrides_are_one_line_that_names_them(override, says) -> None:
    with pytest.raises(ConfigError) as error:
        apply_overrides(TINY, [override])
    assert override in str(error.value) and says in str(error.value) and "\n" not in str(error.value)


def test_any_stage_may_run_on_a_cosine() -> None:
    schedule = joint(apply_overrides(TINY, ["stages.joint.schedule.kind=cosine"])).schedule
    assert schedule == dataclasses.replace(joint(TINY).schedule, kind="cosine")
    assert schedule.at(1000, 1000) == pytest.approx(schedule.end * schedule.peak)
    halfway = (1 + schedule.end) / 2 * schedule.peak
    assert schedule.at((1000 + schedule.warmup) / 2, 1000) == pytest.approx(halfway)


def test_a_value_that_contradicts_the_rest_is_refused_by_the_config() -> None:
    with pytest.raises(ConfigError, match="micro_rows"):
        apply_overrides(TINY, ["stages.joint.micro_rows=5"])


@given(st.text(max_size=30))
def test_no_text_ends_otherwise_than_in_a_config_or_a_config_error(text) -> None:
    try:
        assert dataclasses.is_dataclass(apply_overrides(TINY, [text]))
    except ConfigError as error:
        assert str(error)


SMALLEST = {
    "stages.joint.steps": 1, "stages.joint.rows": 1, "stages.joint.micro_rows": 1, "stages.joint.row_length": 2,
    "stages.joint.evaluate_every": 0, "stages.joint.context": 0, "loop.checkpoint_every": 1, "examples": 0,
    "held_out.vqa.records": 0, "held_out.vqa.quick": 0, "held_out.vqa.new_tokens": 1, "held_out.vqa.length": 2,
    "held_out.text.records": 1,
}  # fmt: skip
REAL = (
    "yarn_factor",
    "bias_rate",
    "siglip_weight",
    "caption_weight",
    "schedule.peak",
    "schedule.decay",
    "schedule.kind",
)
PATHS = (
    "seed", "loop.optimizer.betas", "stages", "held_out.vqa", "align", "loop.gradient_norm",
    "stages.joint.mixture.segments.0.vision", "stages.joint.mixture.segments.0.weights.easy_vqa", "start_align",
    "stages.joint.mixture.epochs.easy_vqa", *SMALLEST, *(f"stages.joint.{name}" for name in REAL),
)  # fmt: skip
NUMBERS = st.integers(-3, 3) | st.integers() | st.floats()


@given(st.sampled_from(list(SMALLEST)), st.integers(-5, 5) | st.integers())
def test_a_whole_number_out_of_range_is_refused_by_name(path, value) -> None:
    if value < SMALLEST[path]:
        with pytest.raises(ConfigError, match=f"{path.rpartition('.')[2]} must be at least {SMALLEST[path]}, got"):
            apply_overrides(TINY, [f"{path}={value}"])


@given(st.sampled_from(PATHS), st.text() | NUMBERS.map(json.dumps))
def test_no_value_ends_otherwise_than_in_a_config_or_a_config_error(path, text) -> None:
    try:
        assert dataclasses.is_dataclass(apply_overrides(TINY, [f"{path}={text}"]))
    except ConfigError as error:
        assert str(error)
