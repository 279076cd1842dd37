"""The loop: what a step does, what a stage keeps, resets and freezes, how a run stops and goes on."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from manyeyes.core.errors import CheckpointError, DataError, ManyeyesError
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.mixture import Mixture, Segment, constant
from manyeyes.data.source import RecordError
from manyeyes.model.moe import MoE
from manyeyes.optim.muonclip import clip_targets_of
from manyeyes.optim.qk_clip import clip_
from manyeyes.optim.schedule import Schedule
from manyeyes.train.loop import ANNOUNCED, digest, plain
from manyeyes.train.meter import StepReport
from manyeyes.train.objectives import Learned
from manyeyes.train.stages import Stage
from manyeyes.train.system import System

from .small_system import (
    SOURCES,
    TOKENIZER,
    RandomSource,
    copies,
    never,
    no_figures,
    open_loader,
    stage,
    system,
    trainer,
)


def after(count: int) -> Callable[[], bool]:
    """A stop request that comes with the given question."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= count


def rows(path: Path, kind: str = "train") -> list[dict[str, Any]]:
    from manyeyes.core.runlog import RunFolder

    clock = ("seconds", "mfu")
    found = RunFolder.open(path).metrics(kind)
    return [{"step": row.step} | {k: v for k, v in row.values.items() if k not in clock} for row in found]


def same_everywhere(ours: System, theirs: System) -> bool:
    other = theirs.tensors()
    return all(tensor.equal(other[name]) for name, tensor in ours.tensors().items())


def test_frozen_components_stay_bit_equal_and_get_no_gradient(tmp_path: Path) -> None:
    networks = system(align=True)
    before = copies(networks)
    stages = (stage("projector", trainable=("mm_projector",)),)
    assert trainer(networks, stages, tmp_path / "run").train(never)
    changed = {name for name, tensor in networks.tensors().items() if not tensor.equal(before[name])}
    assert changed and {name.split(".")[0] for name in changed} == {"mm_projector"}
    assert all((p.grad is not None) == name.startswith("mm_projector") for name, p in networks.named_parameters())


def test_everything_that_learns_changes(tmp_path: Path) -> None:
    networks = system()
    before = copies(networks)
    assert trainer(networks, (stage(),), tmp_path / "run").train(never)
    same = [name for name, tensor in networks.tensors().items() if tensor.equal(before[name])]
    assert same == []


def test_a_reset_starts_one_component_anew_with_the_runs_seed(tmp_path: Path) -> None:
    plain_stage = stage("first", steps=1)
    still = Schedule(peak=0.0)
    with_reset = stage("second", steps=1, schedule=still, reset=("mm_projector",), trainable=("language_model",))
    without = stage("second", steps=1, schedule=still, trainable=("language_model",))
    one, other, again = system(0), system(0), system(0)
    trainer(one, (plain_stage, with_reset), tmp_path / "one").train(never)
    trainer(other, (plain_stage, without), tmp_path / "other").train(never)
    trainer(again, (plain_stage, with_reset), tmp_path / "again").train(never)
    assert same_everywhere(one, again)
    theirs = other.tensors()
    changed = {name for name, tensor in one.tensors().items() if not tensor.equal(theirs[name])}
    assert {name.split(".")[0] for name in changed if "e_score" not in name} == {"mm_projector"}


def test_momentum_goes_on_where_a_component_goes_on_learning(tmp_path: Path) -> None:
    """A stage cut in two equals the whole stage where schedule and data are the same."""
    text = constant(0.0, weights={"words": 1.0})
    settings: dict[str, Any] = dict(mixture=text, trainable=("language_model",), rows=1)
    networks = system()
    first = trainer(networks, (stage("a", steps=2, **settings), stage("b", steps=1, **settings)), tmp_path / "run")
    seen: list[dict[str, torch.Tensor]] = []
    enter = first._enter

    def note(stage: Stage):
        optimizer = enter(stage)
        seen.append({name: tensor.clone() for name, tensor in optimizer.named_state().items()})
        return optimizer

    first._enter = note  # pyright: ignore[reportAttributeAccessIssue]
    assert first.train(never)
    at_start, at_boundary = seen
    assert at_start == {}
    momenta = [name for name in at_boundary if name.endswith("momentum_buffer")]
    assert momenta and all(bool(at_boundary[name].any()) for name in momenta if ".norm" not in name)
    steps = {float(t) for name, t in at_boundary.items() if name.endswith(".step")}
    assert steps == {2.0}


def test_momentum_of_a_reset_component_is_forgotten_and_of_a_paused_one_kept(tmp_path: Path) -> None:
    stages = (
        stage("all", steps=1),
        stage("reset", steps=1, reset=("mm_projector",), trainable=("mm_projector",)),
        stage("all again", steps=1),
    )
    run = trainer(system(), stages, tmp_path / "run")
    assert run.train(never)
    counts = {name: float(t) for name, t in run._momentum.items() if name.endswith(".step")}
    assert {n for name, n in counts.items() if name.startswith("mm_projector.")} == {2.0}
    assert {n for name, n in counts.items() if name.startswith(("vision_tower.", "language_model."))} == {2.0}


def test_heads_are_clipped_after_the_step(tmp_path: Path) -> None:
    """With the logits of the weights before it: the same as a step without clipping, and `clip_` by hand."""
    networks, by_hand, threshold = system(), system(), 1e-3
    seen: list[Learned] = []
    trainer(networks, (stage(steps=1),), tmp_path / "run", clip_threshold=threshold).train(never)
    free = trainer(by_hand, (stage(steps=1),), tmp_path / "free", clip_threshold=1e6)
    learn = free._learn
    free._learn = lambda *given: seen.append(learn(*given)) or seen[-1]  # pyright: ignore[reportAttributeAccessIssue]
    free.train(never)
    assert not same_everywhere(networks, by_hand)
    assert seen[0].max_logit_LH is not None
    assert clip_(clip_targets_of(by_hand.main), seen[0].max_logit_LH, threshold) == 4
    assert same_everywhere(networks, by_hand)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_stops_the_run_and_loses_nothing(tmp_path: Path, value: float) -> None:
    networks, whole = system(), system()
    run = trainer(networks, (stage(steps=4),), tmp_path / "run", checkpoint_every=2)
    learn, before = run._learn, list[dict[str, torch.Tensor]]()

    def poisoned(stage: Stage, loaded: Any) -> Learned:
        learned = learn(stage, loaded)
        if run.step == 2:
            before.append(copies(networks) | {n: t.clone() for n, t in run._momentum.items()})
            gradient = networks.main.mm_projector.get_parameter("proj.0.weight").grad
            assert gradient is not None
            gradient[0, 0] = value
        return learned

    run._learn = poisoned  # pyright: ignore[reportAttributeAccessIssue]
    said = r"joint, step 3: the gradient is not finite .* last checkpoint is intact"
    with pytest.raises(ManyeyesError, match=said) as caught:
        run.train(never)
    assert "\n" not in str(caught.value)
    assert all(t.equal(before[0][name]) for name, t in (networks.tensors() | run._momentum).items())
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2]
    again = trainer(system(1), (stage(steps=4),), tmp_path / "run", checkpoint_every=2)
    assert again.resume() and again.step == 2 and again.train(never)
    assert trainer(whole, (stage(steps=4),), tmp_path / "whole").train(never)
    assert same_everywhere(again.system, whole)


def test_qk_clip_rescales_heads_when_the_threshold_is_tiny(tmp_path: Path) -> None:
    reports: list[StepReport] = []
    networks, free = system(), system()
    settings: dict[str, Any] = dict(steps=1, schedule=Schedule(peak=0.0))
    trainer(networks, (stage(**settings),), tmp_path / "run", report=reports.append, clip_threshold=1e-3).train(never)
    trainer(free, (stage(**settings),), tmp_path / "free", report=reports.append, clip_threshold=1e6).train(never)
    clipped, unclipped = reports
    assert clipped.clipped == 4 and unclipped.clipped == 0  # two layers of two heads
    assert clipped.max_logit > 1e-3
    assert rows(tmp_path / "run")[0]["clipped"] == 4
    theirs = free.tensors()
    changed = {name for name, tensor in networks.tensors().items() if not tensor.equal(theirs[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_b_proj", "kv_b_proj"}
    q = "language_model.model.layers.0.self_attn.q_b_proj.weight"
    assert float(networks.tensors()[q].norm()) < 0.2 * float(theirs[q].norm())


def biases(networks: System) -> torch.Tensor:
    layers = networks.main.language_model.model.layers
    return torch.stack(
        [m.gate.e_score_correction_bias for layer in layers for m in layer.modules() if isinstance(m, MoE)]
    )


def test_the_balancing_bias_moves_load_towards_balance(tmp_path: Path) -> None:
    networks = system(aux_loss_alpha=0.0)
    with torch.no_grad():  # one expert is favoured
        for layer in networks.main.language_model.model.layers:
            for moe in (m for m in layer.modules() if isinstance(m, MoE)):
                moe.gate.e_score_correction_bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.0]))
    loads: list[float] = []
    still = stage(steps=25, schedule=Schedule(peak=0.0), bias_rate=0.03)
    trainer(networks, (still,), tmp_path / "run", report=lambda step: loads.append(step.load)).train(never)
    assert bool((biases(networks)[:, 0] < 0.5).all())
    assert sum(loads[-5:]) < 0.85 * sum(loads[:5])


def test_the_bias_moves_by_the_stages_rate_only(tmp_path: Path) -> None:
    networks = system()
    trainer(networks, (stage(steps=1, bias_rate=0.25),), tmp_path / "run").train(never)
    assert set(biases(networks).unique().tolist()) <= {-0.25, 0.0, 0.25} and bool(biases(networks).any())


def test_one_step_is_torchs_own(tmp_path: Path) -> None:
    """Clipped gradients of the batch, then torch.optim.Muon and AdamW, one logical matrix at a time."""
    from manyeyes.train.objectives import learn_language

    from .small_system import CPU

    rate, decay, limit = 2e-3, 0.1, 0.05
    one = stage(steps=1, schedule=Schedule(peak=rate, decay=0.0), bias_rate=0.0)
    networks, reference = system(), system()
    run = trainer(networks, (one,), tmp_path / "run", clip_threshold=1e6, ns_dtype="bfloat16", weight_decay=decay)
    run.config = type(run.config)(run.config.optimizer, gradient_norm=limit)
    run.train(never)
    with open_loader(one, None) as loader:
        loaded = next(loader)
    learn_language(reference.main, loaded.batch, micro_rows=1, clip_threshold=1e6, device=CPU)
    named = dict(reference.named_parameters())
    torch.nn.utils.clip_grad_norm_(list(named.values()), limit)
    ours = dict(networks.named_parameters())
    for name, parameter in named.items():
        # Rounding in another order is all that may differ; bf16 would enlarge it, so both step from one gradient.
        torch.testing.assert_close(ours[name].grad, parameter.grad, atol=1e-7, rtol=1e-5, msg=name)
        parameter.grad = ours[name].grad
        for ours_part, part, gradient, muon in pieces(name, ours[name], parameter):
            twin = torch.nn.Parameter(part.detach().clone())
            twin.grad = gradient.clone()
            torch_optimizer(twin, muon, rate, decay).step()
            torch.testing.assert_close(ours_part.detach(), twin.detach(), atol=2e-6, rtol=1e-5, msg=name)


def pieces(name: str, ours: torch.Tensor, parameter: torch.Tensor):
    """A parameter's logical matrices (experts, q, k and v), each with its gradient and whether Muon steps it."""
    gradient = parameter.grad
    assert gradient is not None
    adamw = parameter.ndim < 2 or any(word in name for word in ("embed_tokens", "lm_head", "pos_emb", "patch_embed"))
    if adamw:
        return [(ours, parameter, gradient, False)]
    if parameter.ndim == 3:
        return [(o, p, g, True) for o, p, g in zip(ours, parameter, gradient, strict=True)]
    parts = 3 if name.endswith("wqkv.weight") else 1
    return [
        (o, p, g, True)
        for o, p, g in zip(ours.chunk(parts), parameter.chunk(parts), gradient.chunk(parts), strict=True)
    ]


def torch_optimizer(parameter: torch.nn.Parameter, muon: bool, rate: float, decay: float) -> torch.optim.Optimizer:
    if muon:
        return torch.optim.Muon([parameter], lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return torch.optim.AdamW([parameter], lr=rate, weight_decay=decay, betas=(0.9, 0.95), eps=1e-8)


def test_gradients_are_clipped_and_their_norm_is_logged(tmp_path: Path) -> None:
    reports: list[StepReport] = []
    run = trainer(system(), (stage(steps=1),), tmp_path / "run", report=reports.append)
    run.config = type(run.config)(run.config.optimizer, gradient_norm=1e-3)
    run.train(never)
    assert reports[0].gradient_norm > 1e-3
    grads = [p.grad for _, p in run.system.named_parameters() if p.grad is not None]
    assert float(torch.nn.utils.get_total_norm(grads)) == pytest.approx(1e-3, rel=1e-3)


def test_context_grows_and_is_restored_at_a_resume(tmp_path: Path) -> None:
    longer: dict[str, Any] = dict(context=64, yarn_factor=2.0, yarn_original=32)
    stages = (stage("short", steps=1), stage("long", steps=1, **longer), stage("as before", steps=2))
    first = trainer(system(), stages, tmp_path / "run")
    assert not first.train(after(5))
    later = trainer(system(9), stages, tmp_path / "run")
    assert later.resume() and later.run_step == 3 and later.train(never)
    assert later.system.main.language_model.model.rope == first.system.main.language_model.model.rope
    assert first.system.main.config.text.rope_scaling == later.system.main.config.text.rope_scaling
    assert later.system.main.config.text.max_position_embeddings == 64


STAGES = (
    stage("text", steps=2, mixture=constant(0.0, weights={"words": 1.0}), trainable=("language_model",)),
    stage("projector", steps=2, reset=("mm_projector",), trainable=("mm_projector",)),
    stage("joint", steps=3),
)


@pytest.mark.parametrize("stops", [(1,), (2,), (3,), (5,), (8,), (1, 2, 2)])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole = trainer(system(), STAGES, tmp_path / "whole")
    assert not whole.resume() and whole.train(never)
    for number, count in enumerate(stops):
        part = trainer(system(number + 1) if number else system(), STAGES, tmp_path / "parts")
        part.resume()
        assert not part.train(after(count))
    last = trainer(system(99), STAGES, tmp_path / "parts")
    assert last.resume() and last.train(never)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert same_everywhere(last.system, whole.system)
    assert last._momentum.keys() == whole._momentum.keys()
    assert all(tensor.equal(whole._momentum[name]) for name, tensor in last._momentum.items())


def test_a_stop_at_a_stages_end_does_not_begin_the_next_one(tmp_path: Path) -> None:
    run = trainer(system(), STAGES, tmp_path / "run")
    asked = {"stop": False}
    run.report = lambda step: asked.update(stop=step.step == 2)
    assert not run.train(lambda: asked["stop"])
    assert run.run_step == 2 and len(rows(tmp_path / "run")) == 2


def test_what_was_logged_after_the_checkpoint_is_forgotten(tmp_path: Path) -> None:
    def fails_at_four(step: StepReport) -> None:
        if step.run_step == 4:
            raise KeyboardInterrupt

    run = trainer(system(), (stage(steps=5),), tmp_path / "run", report=fails_at_four, checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt):
        run.train(never)
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4]
    again = trainer(system(5), (stage(steps=5),), tmp_path / "run", checkpoint_every=2)
    assert again.resume() and again.run_step == 2
    assert again.train(never)
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4, 5]


def test_a_refusal_at_the_resume_changes_nothing_on_disk(tmp_path: Path) -> None:
    run = trainer(system(), (stage(steps=5),), tmp_path / "run", checkpoint_every=2)
    assert not run.train(after(3))
    (tmp_path / "run" / "metrics.jsonl").open("a").write('{"kind":"evaluation","step":3,"time":1.0}\n')
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()

    def refuses(stage: Stage, state: Mapping[str, Any] | None) -> Any:
        raise DataError("another mixture")

    accepted: list[bytes] = []
    again = trainer(
        system(5), (stage(steps=5, mixture=constant(0.25, weights={"words": 1.0, "pictures": 1.0})),), tmp_path / "run"
    )
    again.accepted = lambda: accepted.append((tmp_path / "run" / "metrics.jsonl").read_bytes())
    opened, again.open_loader = again.open_loader, refuses
    assert again.resume()
    with pytest.raises(DataError, match="another mixture"):
        again.train(never)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before and accepted == []
    again.open_loader = opened
    assert again.train(never) and accepted == [before]
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4, 5]
    assert len(rows(tmp_path / "run", "mixture")) == 1 and not rows(tmp_path / "run", "evaluation")


def test_the_mixture_is_accepted_once_in_a_run_of_many_stages(tmp_path: Path) -> None:
    run = trainer(system(), STAGES, tmp_path / "run")
    accepted: list[int] = []
    run.accepted = lambda: accepted.append(run.stage_number)
    assert run.train(never) and accepted == [0]


def test_a_finished_run_is_finished_at_once(tmp_path: Path) -> None:
    assert trainer(system(), STAGES, tmp_path / "run").train(never)
    again = trainer(system(4), STAGES, tmp_path / "run")
    assert again.resume() and again.train(never)
    assert len(rows(tmp_path / "run")) == 7


def test_another_fingerprint_is_refused(tmp_path: Path) -> None:
    trainer(system(), (stage(steps=1),), tmp_path / "run").train(never)
    with pytest.raises(CheckpointError, match="another configuration"):
        trainer(system(), (stage(steps=1),), tmp_path / "run", fingerprint="two").resume()


def test_evaluations_come_when_asked_for_and_at_the_stages_end(tmp_path: Path) -> None:
    asked: list[tuple[str, int, bool]] = []
    run = trainer(system(), (stage("a", steps=5, evaluate_every=2), stage("b", steps=1)), tmp_path / "run")

    def evaluate(system: System, stage: Stage, *, run_step: int, final: bool) -> dict[str, Any]:
        assert not torch.is_grad_enabled()
        asked.append((stage.name, run_step, final))
        return {"vqa/exact": 0.5} if stage.name == "a" else no_figures(system, stage, run_step=run_step, final=final)

    run.evaluate = evaluate
    assert run.train(never)
    assert asked == [("a", 2, False), ("a", 4, False), ("a", 5, True), ("b", 6, True)]
    logged = rows(tmp_path / "run", "evaluation")
    assert [(row["step"], row["final"], row["vqa/exact"]) for row in logged] == [
        (2, False, 0.5),
        (4, False, 0.5),
        (5, True, 0.5),
    ]


def test_coca_trains_the_vision_tower_and_its_text_side_only(tmp_path: Path) -> None:
    networks = system(coca=True)
    before = copies(networks)
    captions = constant(1.0, weights={"pictures": 1.0})
    vit = stage("vit", objective="coca", trainable=("vision_tower", "coca"), mixture=captions, row_length=20)
    assert trainer(networks, (vit,), tmp_path / "run").train(never)
    changed = {name.split(".")[0] for name, tensor in networks.tensors().items() if not tensor.equal(before[name])}
    assert changed == {"vision_tower", "coca"}
    assert {"loss", "siglip", "caption", "pairs"} <= rows(tmp_path / "run")[0].keys()


def test_a_step_without_pairs_leaves_weights_alone(tmp_path: Path) -> None:
    networks = system(coca=True)
    before = copies(networks)
    text = constant(0.0, weights={"words": 1.0})
    vit = stage("vit", objective="coca", trainable=("vision_tower", "coca"), mixture=text, steps=1)
    assert trainer(networks, (vit,), tmp_path / "run").train(never)
    assert all(tensor.equal(before[name]) for name, tensor in networks.tensors().items())


def changed_mixture(path: Path, vision: float) -> list[dict[str, Any]]:
    """Four steps at 50 % vision, then the rest of twelve at another ratio."""
    weights = {"words": 1.0, "pictures": 1.0}
    before = stage(steps=12, rows=1, mixture=constant(0.5, weights=weights))
    after_change = stage(steps=12, rows=1, mixture=constant(vision, weights=weights))
    assert not trainer(system(), (before,), path).train(after(4))
    later = trainer(system(), (after_change,), path)
    assert later.resume() and later.train(never)
    return rows(path)


def test_ratios_changed_at_a_resume_are_logged_and_take_hold(tmp_path: Path) -> None:
    same, other = changed_mixture(tmp_path / "same", 0.5), changed_mixture(tmp_path / "other", 0.9)
    assert same[:4] == other[:4]
    assert [row["samples"] for row in same[4:]] != [row["samples"] for row in other[4:]]
    assert rows(tmp_path / "same", "mixture") == []
    (noted,) = rows(tmp_path / "other", "mixture")
    assert noted["step"] == 4 and noted["stage"] == "joint"
    assert noted["before"]["segments"][0]["vision"] == 0.5 and noted["now"]["segments"][0]["vision"] == 0.9


def test_a_mixture_is_plain_data() -> None:
    found = plain(constant(0.25, weights={"a": 2.0}, epochs={"a": 3}))
    assert found == {
        "segments": [{"start": 0, "vision": 0.25, "weights": {"a": 2.0}}],
        "epochs": {"a": 3},
        "finite": False,
        "synthetic_captions": 1.0,
        "captions": {},
    }


def test_the_digest_tells_order() -> None:
    assert digest((("a", "b"), ("c",))) == digest((("a", "b"), ("c",)))
    assert len({digest((("a", "b"), ("c",))), digest((("b", "a"), ("c",))), digest((("a",), ("b", "c")))}) == 3


class Refusing(RandomSource):
    """Words of which some cannot be read."""

    def sample(self, index: int, epoch: int) -> Sample:
        if index % 10 == 0:
            raise RecordError(f"words record {index}: cut short")
        return super().sample(index, epoch)


def test_replaced_records_are_announced_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "words", Refusing("words"))
    said: list[str] = []
    settings: dict[str, Any] = dict(mixture=constant(0.0, weights={"words": 1.0}), trainable=("language_model",))
    run = trainer(system(), (stage(steps=6, **settings),), tmp_path / "run")
    run.announce = said.append
    assert run.train(never)
    found = rows(tmp_path / "run", "quarantine")
    assert len(found) > ANNOUNCED and len(said) == ANNOUNCED + 1, "a broken source does not flood the terminal"
    assert said[-1].startswith(f"joint: {len(found)} records were replaced by padding; quarantine/")
    assert all(row["stage"] == "joint" and row["source"] == "words" and row["index"] % 10 == 0 for row in found)
    step, reason = found[0]["step"], found[0]["reason"]
    assert said[0] == f"joint, step {step}: a record was replaced by padding: {reason}" and "cut short" in reason


def test_a_finite_mixture_that_is_used_up_ends_its_stage(tmp_path: Path) -> None:
    words = Mixture((Segment(0, 0.0, {"words": 1.0}),), {"words": 1.0}, finite=True)
    stages = (
        stage("short", steps=40, mixture=words, trainable=("language_model",)),
        stage("next", steps=2),
    )

    def run(name: str, stop: Callable[[], bool]) -> tuple[list[str], list[dict[str, Any]]]:
        said: list[str] = []
        made = trainer(system(), stages, tmp_path / name)
        made.announce = said.append
        made.resume()
        assert made.train(stop) is (stop is never)
        return said, rows(tmp_path / name)

    said, whole = run("whole", never)
    made = sum(row["stage"] == "short" for row in whole)
    assert 2 < made < 40 and [row["step"] for row in whole] == [*range(1, made + 1), 41, 42]
    (line,) = said
    assert line.startswith(f"short: its data is used up after {made} of 40 steps, so the stage ends here")
    assert rows(tmp_path / "whole", "used_up") == [{"step": made, "stage": "short", "stage_step": made}]
    run("stopped", after(made))  # at the last step that has data
    assert run("stopped", never)[1] == whole


def test_checkpoints_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    assert not trainer(system(), (stage(),), tmp_path / "run").train(after(1))
    other = trainer(system(), (stage(),), tmp_path / "run")
    other.tokenizer = Tokenizer([*TOKENIZER.tokens[:-1], b"\x00another"])
    with pytest.raises(CheckpointError, match="not the vocabulary"):
        other.resume()
    assert trainer(system(), (stage(),), tmp_path / "run").resume()
