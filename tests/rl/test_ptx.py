"""PTX adds `weight` times the gradient of plain language modelling, however its rows are split."""

import math

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.model.multimodal import K25
from manyeyes.rl.ptx import learn_ptx
from manyeyes.train.objectives import Learned, learn_language

from ..train.small_system import CPU, alike, batch, system
from .rollout_samples import gradients
from .rollout_samples import one_thread as one_thread


def learned(model: K25, weight: float, *, micro_rows: int = 1, **more) -> Learned:
    return learn_ptx(
        model, batch(), weight=weight, micro_rows=micro_rows, clip_threshold=math.inf, device=CPU, **more
    )  # fmt: skip


@pytest.mark.parametrize("micro_rows", [1, 4])
def test_it_is_the_language_loss_times_its_weight(micro_rows: int) -> None:
    model = system(aux_loss_alpha=0.0).main
    found = learn_language(model, batch(), micro_rows=2, clip_threshold=math.inf, device=CPU)
    expected = gradients(model)
    mine = learned(model, 0.25, micro_rows=micro_rows)
    assert mine.parts["ptx"] == pytest.approx(found.parts["loss"], rel=1e-5)
    assert mine.expert_counts_LE is not None and mine.expert_counts_LE.equal(found.expert_counts_LE)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 0.25 * expected[name], atol=1e-6, rtol=1e-4, msg=name)


def test_shared_beginnings_are_whole_samples_but_for_rounding() -> None:
    model = system(aux_loss_alpha=0.0).main
    rules = {"weight": 0.5, "micro_rows": 2, "clip_threshold": math.inf, "device": CPU}
    expected, wanted = learn_ptx(model, alike(whole=True), **rules).parts["ptx"], gradients(model)
    assert learn_ptx(model, alike(whole=False), **rules).parts["ptx"] == pytest.approx(expected, rel=1e-5)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-6, rtol=1e-4, msg=name)


def test_it_adds_to_what_is_there() -> None:
    model = system(aux_loss_alpha=0.0).main
    learned(model, 0.5)
    once = gradients(model)
    for _ in range(2):
        learned(model, 0.25)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, once[name], atol=1e-6, rtol=1e-4, msg=name)


def test_micro_batches_side_by_side_are_one_after_the_other_bit_for_bit() -> None:
    model, found = system().main, []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append((learned(model, 0.5).parts, gradients(model)))
    finally:
        torch.set_num_threads(1)
    (parts, expected), (again, ours) = found
    assert parts == again and expected.keys() == ours.keys()
    assert all(torch.equal(ours[name], gradient) for name, gradient in expected.items())


def test_ranks_divide_by_the_weights_of_all() -> None:
    model = system(aux_loss_alpha=0.0).main
    whole = float(batch().weights_BT.sum())
    first, again = learned(model, 1.0).parts["ptx"], learned(model, 1.0, whole=4 * whole).parts["ptx"]
    assert again == pytest.approx(first / 4, rel=1e-5)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ConfigError, match="PTX"):
        learned(system().main, -0.1)
