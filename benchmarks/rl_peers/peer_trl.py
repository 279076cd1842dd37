"""TRL's GRPOTrainer on the case: completions by transformers, no reference model, fp32, one process.

Options: attention, experts (transformers' implementations), rows (of one forward and backward pass), batching
(transformers' continuous batching instead of `generate`).
"""

import tempfile
from importlib.metadata import version
from typing import Any

import torch
from case import Case, Round, asked, tell, turn, worth
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

PROMPTS = 4096


class Rounds(TrainerCallback):
    """Waits for its turn, and tells what a round took."""

    def __init__(self, case: Case, ready: dict[str, Any]) -> None:
        self.case, self.ready, self.round = case, ready, Round()

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        tell(**self.ready)
        self._wait(control)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step % self.case.steps == 0:
            tell(**self.round.took())
            self._wait(control)

    def worth(self, completion_ids: list[list[int]], **given: Any) -> list[float]:
        """TRL's reward function."""
        rewards = [worth(ids) for ids in completion_ids]
        self.round.rewards.append(sum(rewards) / len(rewards))
        self.round.samples += len(rewards)
        self.round.tokens += sum(map(len, completion_ids))
        return rewards

    def _wait(self, control: Any) -> None:
        control.should_training_stop = not turn()
        self.round = Round()


def words(size: int) -> PreTrainedTokenizerFast:
    """Each id is a word. The end is an id that the model does not have, so that no completion ends early."""
    vocabulary = {str(number): number for number in range(size)} | {"<end>": size}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token=str(size - 1), padding_side="left"
    )


def config_of(case: Case, folder: str) -> GRPOConfig:
    """TRL's settings: the whole batch is generated at once; forward and backward go in parts of `rows`."""
    rows = int(case.option("rows", str(case.samples)))
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=case.samples // rows,
        num_generations=case.attempts,
        max_completion_length=case.answer,
        max_steps=1 << 20,
        learning_rate=case.rate,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        beta=0.0,
        temperature=1.0,
        use_transformers_continuous_batching=case.option("batching", "no") == "yes",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=case.seed,
    )


def main() -> None:
    case = asked()
    torch.set_num_threads(case.threads)
    model = AutoModelForCausalLM.from_pretrained(case.model, dtype=torch.float32)
    model.set_attn_implementation(case.option("attention", "sdpa"))
    model.set_experts_implementation(case.option("experts", "grouped_mm"))
    tokenizer = words(model.config.vocab_size)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    prompts = [case.prompt_of(number) for number in range(PROMPTS)]
    with torch.no_grad():
        ids = torch.tensor(prompts[:4])
        loss = float(model(input_ids=ids, labels=ids).loss)
    ready = {"loss": loss, "parameters": sum(one.numel() for one in model.parameters())}
    versions = {name: version(name) for name in ("trl", "transformers", "torch")}
    rounds = Rounds(case, ready | {"versions": versions})
    texts = [" ".join(map(str, prompt)) for prompt in prompts]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model,
            reward_funcs=rounds.worth,
            args=config_of(case, folder),
            train_dataset=Dataset.from_dict({"prompt": texts}),
            processing_class=tokenizer,
            callbacks=[rounds],
        )
        trainer.train()


if __name__ == "__main__":
    main()
