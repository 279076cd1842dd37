"""An `RlRun` as the loop's own settings: which samples are made, what an update does, how many there are.

Report: §4.4.2.
"""

from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.core.data_rules import Rules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.recipes.rl_objectives import objective_of
from manyeyes.recipes.rl_run import RlRun
from manyeyes.rl.band import EQ_1
from manyeyes.rl.icepop import IcePop
from manyeyes.rl.objective import Eq1
from manyeyes.rl.rl_config import RlConfig
from manyeyes.rl.sample_rules import SampleRules
from manyeyes.rl.step import StepRules


def settings_of(run: RlRun, tokenizer: Tokenizer, *, vocab_size: int) -> RlConfig:
    """Of the loop.

    Args:
        vocab_size: of the model; ids of samples lie below.

    Raises:
        ConfigError: an option of the objective that it does not have.
    """
    return RlConfig(
        _samples(run, tokenizer, vocab_size), steps=run.steps, groups=run.groups, attempts=run.attempts,
        quorum=run.quorum, update=_update(run), schedule=run.schedule, temperature=run.temperature,
        never=out_of_turn(tokenizer, thinking=True), max_staleness=run.max_staleness,
        checkpoint_every=run.checkpoint_every, keep_attempts=run.keep_attempts and run.loop == "async", seed=run.seed,
    )  # fmt: skip


def _samples(run: RlRun, tokenizer: Tokenizer, vocab_size: int) -> SampleRules:
    return SampleRules(
        run.row_length, tokenizer.pad, advantage=run.advantage, drop_equal=run.drop_equal, least_told=run.least_told,
        checks=Rules(vocab_size=vocab_size, media_pad=tokenizer.media_pad),
    )  # fmt: skip


def _update(run: RlRun) -> StepRules:
    objective = objective_of(run.objective, run.objective_options)
    return StepRules(
        objective, micro_rows=run.micro_rows, gradient_norm=run.gradient_norm, bias_rate=run.bias_rate,
        ptx_weight=run.ptx.weight if run.ptx else 0.0,
        band=objective.band if isinstance(objective, Eq1 | IcePop) else EQ_1,
    )  # fmt: skip
