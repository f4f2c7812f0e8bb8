"""A picture as several views: the whole of it, and its tiles beside, each as large to the image tower as the whole.

A tower that reads 128 pixels sees a finding of 5 mm in a head of 220 mm as three pixels. A model whose contract says
`tiles: 2` gets the picture five times: whole, and in 2 x 2 tiles of 128 pixels each. All views go through the same
frozen tower. What a place of the whole picture shows and what the four tile patches show that lie in that place become
one vector, so the language model reads no more tokens than without tiles, and each token knows where it is. The
connector is as much wider as there are views.

The sides are put together as in "When Do We Not Need Larger Vision Models?" (Shi et al. 2024), without its pooling.

On disk such a model is a stock Llava whose `vision_feature_layer` names the same layer once a view: its connector then
has the right width for any Hugging Face tool. What such a tool computes from pixels alone is the whole picture in place
of every tile; the features of the tiles come from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assistant.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

MOST = 4
"""More tiles a side than this would be 17 views and more, and a connector wider than language models are."""


def check_tiles(tiles: int) -> None:
    """Refuse a number of tiles that no model is made with.

    Args:
        tiles: a side; 1 is the whole picture alone.
    Raises:
        ModelError: it is none of 1 to `MOST`.
    """
    if not 1 <= tiles <= MOST:
        raise ModelError(f"tiles is {tiles}; use 1 (the whole picture alone) to {MOST} (tiles along a side).")


def view_count(tiles: int) -> int:
    """Return how many views a picture has: itself, and its tiles if there are any."""
    return 1 + tiles * tiles if tiles > 1 else 1


def layers_of(layer: int, tiles: int) -> int | list[int]:
    """Return `vision_feature_layer` of a Llava configuration: the layer, once a view."""
    return layer if tiles == 1 else [layer] * view_count(tiles)


def read_layers(layers: Any) -> tuple[Any, int]:
    """Return layer and tiles a side of a Llava configuration.

    Args:
        layers: its `vision_feature_layer`.
    Returns:
        What was given and 1 where it does not name one layer once a view.
    """
    if isinstance(layers, list | tuple) and len(set(layers)) == 1:
        for tiles in range(2, MOST + 1):
            if len(layers) == view_count(tiles):
                return layers[0], tiles
    return layers, 1


def cut(pictures: Tensor, tiles: int) -> Tensor:
    """Cut pictures into tiles.

    Args:
        pictures: (N, C, tiles * S, tiles * S).
        tiles: a side.
    Returns:
        (N, tiles * tiles, C, S, S), row by row.
    """
    count, channels, height, width = pictures.shape
    parts = pictures.reshape(count, channels, tiles, height // tiles, tiles, width // tiles)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(count, tiles * tiles, channels, height // tiles, width // tiles)


def join(whole: Tensor, parts: Tensor, tiles: int) -> Tensor:
    """Put the features of tiles beside those of the whole picture, place by place.

    Args:
        whole: (N, P, D) features of the pictures; P is a square of patches, and may have the class token before it.
        parts: (N * tiles * tiles, P, D) of their tiles, as `cut` gives them.
        tiles: a side.
    Returns:
        (N, P, (1 + tiles * tiles) * D): behind the features of a patch stand those of the tile patches inside it, row
        by row; behind the class token those of the tiles.
    """
    import torch

    count, places, width = whole.shape
    side = int(places**0.5)
    first = places - side * side
    seen = parts.reshape(count, tiles * tiles, places, width)
    # (row of tiles, column of tiles, row in the tile, column in the tile) -> rows and columns of the picture, each of
    # which is split into the patch of the whole and the place inside it.
    grid = seen[:, :, first:].reshape(count, tiles, tiles, side, side, width).transpose(2, 3)
    grid = grid.reshape(count, side, tiles, side, tiles, width).transpose(2, 3)
    inside = grid.reshape(count, side * side, tiles * tiles * width)
    heads = seen[:, :, :first].transpose(1, 2).reshape(count, first, tiles * tiles * width)
    return torch.cat([whole, torch.cat([heads, inside], dim=1)], dim=-1)


def see(pictures: Tensor, tiles: int, tower: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the features of pictures that are as large as all their tiles.

    Args:
        pictures: (N, C, tiles * S, tiles * S); with one tile (N, C, S, S).
        tiles: a side.
        tower: gives (M, P, D) features of (M, C, S, S).
    Returns:
        (N, P, V * D) for V views.
    """
    if tiles == 1:
        return tower(pictures)
    from torch.nn.functional import interpolate

    side = pictures.shape[-1] // tiles
    whole = interpolate(pictures, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return join(tower(whole), tower(cut(pictures, tiles).flatten(0, 1)), tiles)
