"""Puts encoder, connector and language model together into one model folder with an untrained connector."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from assistant.ending import run_command
from training.assemble_settings import AssembleSettings
from training.recipe import stage_main


def describe(settings: AssembleSettings) -> str:
    """Say what a run would do."""
    if settings.model is not None:
        return f"{settings.encoder} in place of the encoder of {settings.model}, to {settings.out}"
    model = settings.llm or f"a new Llama of width {settings.new_llm.hidden_size if settings.new_llm else 0}"
    tiles = f", {settings.tiles} x {settings.tiles} tiles beside the whole picture," if settings.tiles > 1 else ""
    return f"{settings.encoder}{tiles} + {settings.connector} + {model} to {settings.out}"


def texts_of(sources: Iterable[Path]) -> Iterator[str]:
    """Yield every text of example files and of folders of Markdown cards."""
    from data_recipes.schema import read_examples

    for source in sources:
        if source.is_dir():
            yield from (path.read_text(encoding="utf-8") for path in sorted(source.glob("*.md")))
            continue
        for example in read_examples(source):
            yield from (message["content"] for message in example.messages)


def run(settings: AssembleSettings, resume: bool = False) -> None:
    """Make the model folder.

    Args:
        settings: what to put together.
        resume: without meaning here; the folder appears whole or not at all.
    """
    from assistant.model.build import assemble_folder
    from assistant.prompts import PROMPT_VERSION
    from training.tokenizer import train_bpe

    if settings.model is not None:
        from assistant.model.other_encoder import replace_encoder

        told = settings.training_data
        replace_encoder(settings.model, settings.encoder, settings.out, name=settings.name, training_data=told)
        return
    with tempfile.TemporaryDirectory() as folder:
        tokenizer_dir = None
        if settings.new_tokenizer is not None:
            tokenizer_dir = Path(folder)
            train_bpe(texts_of(settings.new_tokenizer.data), settings.new_tokenizer.size).save_pretrained(tokenizer_dir)
        assemble_folder(
            settings.encoder,
            dataclasses.asdict(settings.new_llm) if settings.new_llm else str(settings.llm),
            tokenizer_dir,
            settings.out,
            connector=settings.connector,
            feature_layer=settings.feature_layer,
            class_token=settings.class_token,
            tiles=settings.tiles,
            seed=settings.seed,
            name=settings.name,
            licence=settings.licence,
            training_data=settings.training_data,
            quantization=settings.quantization,
            prompt_version=PROMPT_VERSION,
            capabilities=settings.capabilities,
        )


def preview(settings: AssembleSettings) -> str:
    """Say what the parts weigh, and where they are or how they are fetched."""
    from training.preview_assemble import preview as whole

    return whole(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the stage."""
    return stage_main("assemble", AssembleSettings, describe, run, argv, preview)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
