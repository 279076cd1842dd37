"""`weights_digest`: which weights a network has, as a short text; equal for equal bytes, on any machine.

What a policy said may stand for it again only where its weights are the same to the last bit: a run that was killed and
goes on may come to other ones at the same step.

Report: App. C.1 (exact resume).
"""

import hashlib

import torch
from torch import nn


def weights_digest(model: nn.Module) -> str:
    """16 hexadecimal digits of all parameters and buffers, by name; about a second for a gigabyte."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
