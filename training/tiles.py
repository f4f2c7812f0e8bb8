"""Gives a model tiles: the same weights, with a connector that reads the tiles of a picture beside the whole.

`python -m training.tiles MODEL --data FILE.jsonl --tiles 2 --out DIR`. What the connector makes of the whole picture
stays; what it makes of the tiles begins small and evened out over their features, whose variances the data's pictures
tell. So the new model says nearly what the old one said, and has to be tuned: `python -m training.sft`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.ending import print_what, run_command
from assistant.errors import ConfigError, DataError

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel


def add_tiles(
    name: str | Path,
    data: Sequence[Path],
    out: Path,
    *,
    tiles: int = 2,
    pictures: int = 300,
    strength: float = 0.25,
    seed: int = 0,
) -> Path:
    """Write a model that looks at tiles.

    Args:
        name: "starter" or a whole model folder, without tiles.
        data: example files, whose pictures tell how the features of tiles vary.
        out: folder to make.
        tiles: along a side, 2 or more.
        pictures: how many are looked at, drawn from all files alike.
        strength: how strongly the tiles speak at the beginning, against the whole picture's 1.
        seed: of the draw and of the connector's new weights.
    Returns:
        `out`.
    Raises:
        ConfigError: tiles or pictures are too few.
        DataError: the files name no picture.
        ModelError: the model is an adapter, has tiles already, or cannot be opened.
    """
    from assistant.errors import ModelError
    from assistant.imaging.load import load_picture
    from assistant.model.load import adapter_base, load_model, resolve
    from assistant.model.naming import made_name
    from assistant.model.save import save_model
    from assistant.model.tiles import check_tiles
    from data_recipes.schema import read_examples

    check_tiles(tiles)
    if tiles < 2 or pictures < 2:
        raise ConfigError(f"tiles is {tiles} and pictures {pictures}; use 2 or more of each.")
    if adapter_base(resolve(name)) is not None:
        raise ModelError(f"{name} is an adapter. Merge it first: python -m training.merge ADAPTER --out DIR")
    loaded = load_model(name, device="cpu", dtype="float32", quantization="none")
    if loaded.contract.tiles > 1:
        raise ModelError(f"{name} looks at {loaded.contract.tiles} tiles a side already. Give the model without tiles.")
    paths: list[Path] = []
    lot = random.Random(seed)
    for file in data:
        found = sorted({path for one in read_examples(file) for path in one.image_paths(file.parent)})
        paths += lot.sample(found, min(len(found), -(-pictures // len(data))))
    if not paths:
        raise DataError(f"{', '.join(map(str, data))} name no picture. Give examples with pictures.")
    widen(loaded, [load_picture(path) for path in paths], tiles, strength=strength, seed=seed)
    return save_model(loaded, out, name=made_name(loaded.contract.name, Path(out)))


def widen(loaded: LoadedModel, pictures: Sequence[Any], tiles: int, *, strength: float = 0.25, seed: int = 0) -> None:
    """Change a loaded model in place, but for its contract, which is measured when it is saved.

    Args:
        loaded: a whole model without tiles.
        pictures: `Picture`s, two or more; a few hundred tell enough.
        tiles: along a side.
        strength: see `add_tiles`.
        seed: of the new weights.
    """
    from dataclasses import replace

    import torch
    from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

    from assistant.engine.features import PictureEncoder
    from assistant.model.tiles import layers_of
    from training.whiten import whiten_connector

    looking = replace(loaded, contract=loaded.contract.replace(tiles=tiles))
    encoder = PictureEncoder(looking, max_items=len(pictures))
    patches = torch.stack([one.patches for one in encoder.encode(pictures)]).float()
    inner: Any = loaded.llava.model
    before = inner.multi_modal_projector
    width = before.linear_1.in_features
    loaded.llava.config.vision_feature_layer = layers_of(loaded.contract.feature_layer, tiles)
    wide: Any = LlavaMultiModalProjector(loaded.llava.config)
    new = torch.nn.Module()
    new.linear_1 = torch.nn.Linear(patches.shape[-1] - width, before.linear_1.out_features)
    new.linear_2 = torch.nn.Linear(before.linear_2.in_features, before.linear_2.out_features)
    whiten_connector(new, patches[..., width:], seed=seed)
    with torch.no_grad():
        wide.linear_1.weight.copy_(torch.cat([before.linear_1.weight, strength * new.linear_1.weight], dim=1))
        wide.linear_1.bias.copy_(before.linear_1.bias + strength * new.linear_1.bias)
        wide.linear_2.load_state_dict(before.linear_2.state_dict())
    inner.multi_modal_projector = wide.to(before.linear_1.weight.dtype).requires_grad_(False).eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.tiles MODEL --data FILE.jsonl --out DIR`.

    Args:
        argv: arguments, by default those of the process.
    Returns:
        Exit code: 0 done, 2 wrong usage or input that must be mended.
    """
    parser = argparse.ArgumentParser(prog="python -m training.tiles", description=__doc__)
    parser.add_argument("model", help="`starter` or a model folder")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE.jsonl", help="examples to look at")
    parser.add_argument("--tiles", type=int, default=2, help="tiles along a side (default 2)")
    parser.add_argument("--pictures", type=int, default=300, help="pictures looked at (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw and of the new weights (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to make")
    given = parser.parse_args(argv)

    def add() -> Path:
        for file in given.data:
            if not file.is_file():
                raise DataError(f"{file} does not exist. Build it with python -m data_recipes.build.")
        return add_tiles(
            given.model, given.data, given.out, tiles=given.tiles, pictures=given.pictures, seed=given.seed
        )

    return print_what(add)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
