"""Attention of short samples on the CPU, tile by tile, with its gradient.

A tile's scores fit in cache, so they are written, softmaxed and multiplied while they are there. The probabilities are
kept for the backward pass, which needs four products where a flash kernel needs five; at 512 positions the whole is 1.9
times as fast as the CPU flash kernel. Memory grows with the square of a sample's length, so long samples use flash.

Report: none (engineering); the arithmetic is plain softmax attention.

Shapes: B rows, H heads, T positions, Q query width, V value width; t queries and s keys of a tile, n = rows * H.
"""

import torch
from torch import Tensor

from manyeyes.model.spans import Tile


def tiled_forward(
    q_BHTQ: Tensor, k_BHTQ: Tensor, v_BHTV: Tensor, *, tiles: tuple[Tile, ...], y_BHTV: Tensor, max_H: Tensor | None
) -> list[Tensor]:
    """Writes softmax(q k^T + mask) v into `y_BHTV`, and each head's largest score into `max_H`; returns probabilities.

    Queries come scaled.
    """
    kept: list[Tensor] = []
    for tile in tiles:
        q_ntQ, k_nsQ, v_nsV = _queries(q_BHTQ, tile), _keys(k_BHTQ, tile), _keys(v_BHTV, tile)
        score_nts = torch.bmm(q_ntQ, k_nsQ.transpose(1, 2))
        score_nts[..., tile.unmasked :].add_(tile.mask)
        if max_H is not None:
            torch.maximum(max_H, score_nts.view(tile.rows, -1, *score_nts.shape[1:]).amax((0, 2, 3)), out=max_H)
        p_nts = score_nts.softmax(-1)
        _write(y_BHTV, tile, torch.bmm(p_nts, v_nsV))
        kept.append(p_nts)
    return kept


def tiled_backward(
    dy_BHTV: Tensor,
    q_BHTQ: Tensor,
    k_BHTQ: Tensor,
    v_BHTV: Tensor,
    *,
    tiles: tuple[Tile, ...],
    kept: list[Tensor],
    scale: float,
    dq_BHTQ: Tensor,
    dk_BHTQ: Tensor,
    dv_BHTV: Tensor,
) -> None:
    """Writes the gradient of queries before their scaling, adds the gradients of keys and values."""
    for tile, p_nts in zip(tiles, kept, strict=True):
        q_ntQ, k_nsQ, v_nsV = _queries(q_BHTQ, tile), _keys(k_BHTQ, tile), _keys(v_BHTV, tile)
        dy_ntV = _queries(dy_BHTV, tile)
        _add_product(dv_BHTV, tile, p_nts, dy_ntV)
        dp_nts = torch.bmm(dy_ntV, v_nsV.transpose(1, 2))
        dscore_nts = torch.ops.aten._softmax_backward_data(dp_nts, p_nts, -1, dp_nts.dtype)
        _write(dq_BHTQ, tile, torch.bmm(dscore_nts, k_nsQ), scale=scale)
        _add_product(dk_BHTQ, tile, dscore_nts, q_ntQ)


def _rows(x_BHTX: Tensor, tile: Tile) -> Tensor:
    return x_BHTX[tile.row : tile.row + tile.rows].flatten(0, 1)


def _queries(x_BHTX: Tensor, tile: Tile) -> Tensor:
    return _rows(x_BHTX, tile)[:, tile.start : tile.stop]


def _keys(x_BHTX: Tensor, tile: Tile) -> Tensor:
    """Those of what the tile continues, then its own."""
    x_nTX, (first, last) = _rows(x_BHTX, tile), tile.before
    own_nsX = x_nTX[:, tile.key_start : tile.stop]
    return own_nsX if first == last else torch.cat([x_nTX[:, first:last], own_nsX], 1)


def _add_product(dx_BHTX: Tensor, tile: Tile, of_key_nts: Tensor, of_query_ntX: Tensor) -> None:
    """Adds each key's sum over queries to the gradient of keys or values."""
    dx_nTX, (first, last) = _rows(dx_BHTX, tile), tile.before
    own_nsX, cut = dx_nTX[:, tile.key_start : tile.stop], last - first
    own_nsX.baddbmm_(of_key_nts[..., cut:].transpose(1, 2), of_query_ntX)
    if cut:
        dx_nTX[:, first:last].baddbmm_(of_key_nts[..., :cut].transpose(1, 2), of_query_ntX)


def _write(x_BHTX: Tensor, tile: Tile, value_ntX: Tensor, *, scale: float = 1.0) -> None:
    place = x_BHTX[tile.row : tile.row + tile.rows, :, tile.start : tile.stop]
    torch.mul(value_ntX.view(place.shape), scale, out=place)
