"""Lets a model answer examples by itself, before any review: greedily, or several times by drawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.engine.prompt import Prompt
from assistant.imaging.load import load_picture
from assistant.model.load import load_model
from data_recipes.schema import Example
from training.dataset import Tokens


class Writer:
    """Lets one model answer examples.

    Args:
        model: folder of a model or an adapter.
    """

    def __init__(self, model: str | Path) -> None:
        self.loaded = load_model(model, quantization="none")
        self.tokens = Tokens(self.loaded.tokenizer, self.loaded.contract.image_tokens)
        self.encoder = PictureEncoder(self.loaded)

    def write(
        self, examples: Sequence[Example], root: Path, *, temperature: float = 0.0, seed: int = 0, longest: int = 160
    ) -> list[str]:
        """Answer the last question of each example.

        Args:
            examples: B of them.
            root: folder of their images.
            temperature: 0 takes the likeliest token.
            seed: of the drawing.
            longest: most new tokens.
        Returns:
            B texts, as the model wrote them.
        """
        pictures = [[load_picture(path) for path in one.image_paths(root)] for one in examples]
        prompts = [
            Prompt("", self.tokens.turns(one)[-1].prompt, tuple(self.encoder.encode(group)))
            for one, group in zip(examples, pictures, strict=True)
        ]
        settings = GenerationConfig(temperature=temperature, seed=seed, batch_size=64)
        made = Generator(self.loaded, settings).generate(prompts, max_new_tokens=longest)
        return [one.text for one in made]
