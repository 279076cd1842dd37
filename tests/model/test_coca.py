"""The CoCa decoder: what each output may depend on, the sigmoid loss, and that both losses can be learned."""

import math

import pytest
import torch

from manyeyes.core.errors import ConfigError
from manyeyes.core.media import Grid
from manyeyes.model.coca import CocaConfig, CocaOutput, CocaText, build_coca, siglip_loss
from manyeyes.model.config import tiny
from manyeyes.model.cross_entropy import chunked_cross_entropy
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import build


def coca_of() -> CocaText:
    coca = build_coca(CocaConfig.beside(tiny()), seed=0)
    with torch.no_grad():
        for parameter in coca.parameters():
            parameter.mul_(5.0 if parameter.ndim > 1 else 1.0)
    return coca


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_what_depends_on_what() -> None:
    coca = coca_of()
    ids = torch.randint(0, 1700, (2, 9), generator=torch.Generator().manual_seed(0))
    lengths, image, counts = torch.tensor([9, 6]), draw(7, 4, 128), (4, 3)
    base = coca(ids, lengths_B=lengths, merged_M4D=image, image_tokens=counts)
    torch.testing.assert_close(base.image_BE.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(base.text_BE.norm(dim=1), torch.ones(2))

    changed = ids.clone()
    changed[:, 5] += 1
    later = coca(changed, lengths_B=lengths, merged_M4D=image, image_tokens=counts)
    torch.testing.assert_close(later.hidden_BTD[:, :5], base.hidden_BTD[:, :5])
    assert not torch.allclose(later.hidden_BTD[:, 5], base.hidden_BTD[:, 5], atol=1e-3)
    assert not torch.allclose(later.text_BE, base.text_BE, atol=1e-3)
    torch.testing.assert_close(later.image_BE, base.image_BE)

    padding = ids.clone()
    padding[1, 6:] = 99
    same = coca(padding, lengths_B=lengths, merged_M4D=image, image_tokens=counts)
    torch.testing.assert_close(same.text_BE, base.text_BE)
    torch.testing.assert_close(same.hidden_BTD[1, :6], base.hidden_BTD[1, :6])

    other = image.clone()
    other[4:] = draw(3, 4, 128, seed=9)
    seen = coca(ids, lengths_B=lengths, merged_M4D=other, image_tokens=counts)
    torch.testing.assert_close(seen.hidden_BTD[0], base.hidden_BTD[0])
    assert not torch.allclose(seen.hidden_BTD[1], base.hidden_BTD[1], atol=1e-3)
    torch.testing.assert_close(seen.text_BE, base.text_BE)


@torch.no_grad()
def test_padding_of_images_does_nothing() -> None:
    coca, image = coca_of(), draw(7, 4, 128)
    ids, lengths = torch.ones(1, 5, dtype=torch.long), torch.tensor([5])
    alone = coca(ids, lengths_B=lengths, merged_M4D=image[4:], image_tokens=(3,))
    both = coca(ids.repeat(2, 1), lengths_B=lengths.repeat(2), merged_M4D=image, image_tokens=(4, 3))
    torch.testing.assert_close(alone.image_BE[0], both.image_BE[1])
    torch.testing.assert_close(alone.hidden_BTD[0], both.hidden_BTD[1], atol=1e-5, rtol=1e-4)


def test_siglip_loss_equals_the_formula() -> None:
    x, y = torch.nn.functional.normalize(draw(3, 8), dim=1), torch.nn.functional.normalize(draw(3, 8, seed=1), dim=1)
    scale, bias = torch.tensor(math.log(10.0)), torch.tensor(-10.0)
    total = 0.0
    for i in range(3):
        for j in range(3):
            z = 1 if i == j else -1
            total += math.log(1 / (1 + math.exp(-z * (10.0 * float(x[i] @ y[j]) - 10.0))))
    assert float(siglip_loss(x, y, logit_scale=scale, logit_bias=bias)) == pytest.approx(-total / 3, rel=1e-5)
    same = torch.ones(3, 3, dtype=torch.bool)
    assert float(siglip_loss(x, x, logit_scale=scale, logit_bias=bias, positive_BB=same)) > 0


def test_both_losses_can_be_learned() -> None:
    """Four pictures, four captions: after some steps each picture finds its caption and predicts it."""
    tower, coca = build(tiny(), seed=0).vision_tower, build_coca(CocaConfig.beside(tiny()), seed=0)
    grids = (Grid(1, 4, 4),) * 4
    patches = torch.tensor([20, 90, 160, 230], dtype=torch.uint8).repeat_interleave(16)[:, None, None, None]
    patches = patches.expand(64, 3, 8, 8).contiguous()
    ids = torch.tensor([[1, 10, 20, 2], [1, 11, 21, 2], [1, 12, 22, 2], [1, 13, 23, 2]])
    lengths, weights = torch.full((4,), 4), torch.tensor([1.0, 1, 1, 0]).repeat(4)
    optimizer = torch.optim.AdamW([*tower.parameters(), *coca.parameters()], lr=1e-3)

    def read() -> CocaOutput:
        return coca(ids, lengths_B=lengths, merged_M4D=tower(MediaBatch(patches, grids)), image_tokens=(4,) * 4)

    def losses(out: CocaOutput) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, targets = out.hidden_BTD.flatten(0, 1), ids.roll(-1, 1).flatten()
        caption = chunked_cross_entropy(hidden, coca.head_weight, targets_N=targets, weights_N=weights) / 12
        pair = siglip_loss(out.image_BE, out.text_BE, logit_scale=coca.logit_scale, logit_bias=coca.logit_bias)
        return pair, caption

    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(losses(read())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        out = read()
        assert (out.image_BE @ out.text_BE.T).argmax(1).tolist() == [0, 1, 2, 3]
        assert float(losses(out)[1]) < 0.5


def test_temperature_and_bias_start_as_in_siglip() -> None:
    coca = build_coca(CocaConfig.beside(tiny()))
    assert coca.logit_scale.exp().item() == pytest.approx(10.0) and coca.logit_bias.item() == -10.0


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="num_attention_heads"):
        CocaConfig(vocab_size=300, vision_hidden_size=64, hidden_size=100, num_attention_heads=3)
