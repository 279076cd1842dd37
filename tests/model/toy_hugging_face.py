"""Causal language models of transformers, as small as can be and made here, and a vocabulary with a chat template."""

from typing import Any

import pytest
import torch

from manyeyes.model.hugging_face import HuggingFaceModel

transformers: Any = pytest.importorskip("transformers")

WORDS = ["<|im_start|>", "<|im_end|>", "<unk>", "system", "user", "assistant", "what", "is", "plus",
         *map(str, range(30)), *(f"<answer>{number}</answer>" for number in range(25))]  # fmt: skip
VOCABULARY = len(WORDS)
CHAT_ML = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} {{ m['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


def config_of(kind: str = "llama", *, tied: bool = True, **more: Any) -> Any:
    make = {"llama": "LlamaConfig", "qwen2": "Qwen2Config", "qwen3": "Qwen3Config", "mistral": "MistralConfig"}[kind]
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "tie_word_embeddings": tied,
    }  # fmt: skip
    return getattr(transformers, make)(**(sizes | more))


def toy(kind: str = "llama", *, tied: bool = True, seed: int = 0) -> HuggingFaceModel:
    """Weights so large that what stands before matters."""
    torch.manual_seed(seed)
    whole = transformers.AutoModelForCausalLM.from_config(config_of(kind, tied=tied))
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            if "norm" not in name:
                parameter.normal_(0.0, 0.3)
    return HuggingFaceModel(whole)


def log_p(model: HuggingFaceModel, ids: list[int], *, temperature: float = 1.0, never: Any = ()) -> torch.Tensor:
    """[T, V] of each next token, by transformers' own forward pass over the whole sequence."""
    with torch.no_grad():
        scores_TV = model.whole(torch.tensor([ids])).logits[0].float() / temperature
    scores_TV[:, list(never)] = -torch.inf
    return scores_TV.log_softmax(-1)


def vocabulary() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", unk_token="<unk>", pad_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    fast.chat_template = CHAT_ML
    return fast
