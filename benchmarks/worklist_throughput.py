"""Studies an hour against a loop that takes one study at a time and encodes its image again for each section.

Both write the same three sections of the same studies with the same weights: the loop through Hugging Face's own
`generate`, one call a section after what was written before, told how many tokens the section has.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.suite import Measured, side_by_side

if TYPE_CHECKING:
    from assistant.chat import MedicalAssistant
    from assistant.engine.flow import Ticket
    from assistant.engine.generate import Generated
    from assistant.engine.prompt import Prompt
    from assistant.model.loaded import LoadedModel

SEED = 990008
"""Of the phantoms; none of this series is trained on."""
WANTED = 5.0
_SECTIONS = 3


class Recorder:
    """Keeps what an assistant's own writer wrote.

    Args:
        made: the assistant, which goes on writing as it does.
    """

    def __init__(self, made: MedicalAssistant) -> None:
        self._tickets: list[Ticket] = []
        give = made.scorer.ticket

        def ticket(prompt: Prompt, *args: Any, **kwargs: Any) -> Ticket:
            self._tickets.append(give(prompt, *args, **kwargs))
            return self._tickets[-1]

        setattr(made.scorer, "ticket", ticket)  # noqa: B010

    def written(self) -> dict[str, Generated]:
        """Return the pixels' id of each study's picture with the report."""
        return {one.prompt.pictures[-1].content_id: one.row.generated() for one in self._tickets}


class Comparison:
    """One model, some studies, and both ways to report on them.

    Args:
        model: as loaded.
        folder: an empty one.
        count: studies.
        tokens: the most of one report.
    """

    def __init__(self, model: LoadedModel, folder: Path, count: int, tokens: int) -> None:
        from PIL import Image

        from assistant.config import GenerationConfig
        from assistant.studies import collect_studies
        from data_recipes.phantom import make_phantom

        self._model, self._folder = model, folder
        self._config = GenerationConfig(
            report_max_new_tokens=tokens, abstain_below=0.0, check_images=False, check_reports=False
        )
        (folder / "in").mkdir()
        for index in range(count):
            Image.fromarray(make_phantom(SEED, index, size=224).pixels).save(folder / "in" / f"{index:04d}.png")
        self._studies = collect_studies([str(folder / "in")]).studies
        self.written: dict[str, Generated] = {}
        """The pixels' id of a study's picture → its report, as `ours` wrote it."""
        self.theirs: dict[str, tuple[int, ...]] = {}

    def ours(self) -> None:
        """Report through the worklist: read ahead, as many at once as `report` takes, with ledger and pages."""
        from assistant.chat import MedicalAssistant
        from assistant.deidentify import shown
        from assistant.engine.room import reports_together
        from assistant.imaging.load import load_picture
        from assistant.readahead import RunSettings
        from assistant.worklist import run_worklist

        shutil.rmtree(self._folder / "out", ignore_errors=True)
        # A new one each time: none of the pictures may be known from the turn before.
        made = MedicalAssistant(self._model, None, self._config)
        recorder = Recorder(made)
        settings = RunSettings(
            out=self._folder / "out",
            model=self._model.fingerprint,
            batch_size=reports_together(self._model, self._config),
        )
        rule = shown.rule()
        shown.take_rule("written")  # neither way looks for text in what the model is given
        try:
            summary = run_worklist(self._studies, made, settings, load=load_picture)
        finally:
            shown.take_rule(rule)
        if summary.reported != len(self._studies):
            raise RuntimeError(f"{summary.reported} of {len(self._studies)} studies were reported on")
        self.written = recorder.written()

    def peer(self) -> None:
        """Report in a plain loop, and write a line a study."""
        from assistant.imaging.load import load_picture

        with (self._folder / "peer.jsonl").open("w", encoding="utf-8") as out:
            for study in self._studies:
                picture = load_picture(study.images[0])
                ours = self.written[picture.content_id]
                lengths = self._lengths(ours.ids, ours.finished)
                written = self._sections(picture.squared(), lengths)
                self.theirs[picture.content_id] = tuple(written)
                text = self._model.processor.tokenizer.decode(written, skip_special_tokens=True)
                out.write(json.dumps({"study": str(study.images[0]), "report": text}) + "\n")

    def _lengths(self, ids: Sequence[int], finished: bool) -> list[int]:
        """Return how many tokens each section has: a line each, or thirds where the text has no three lines."""
        decode = self._model.processor.tokenizer.decode
        breaks = [place for place, one in enumerate(ids) if "\n" in decode([one])]
        total = len(ids) + finished
        cuts = [place + 1 for place in breaks[: _SECTIONS - 1]]
        if len(cuts) < _SECTIONS - 1:
            cuts = [total * (number + 1) // _SECTIONS for number in range(_SECTIONS - 1)]
        return [end - start for start, end in zip([0, *cuts], [*cuts, total], strict=True)]

    def _sections(self, image: Any, lengths: Sequence[int]) -> list[int]:
        """Ask for each section by a call of its own, which encodes the image anew."""
        import torch

        from assistant.prompts import conversation, report_text

        processor: Any = self._model.processor
        llava: Any = self._model.llava
        text = processor.apply_chat_template(
            list(conversation(report_text(), images=1)), tokenize=False, add_generation_prompt=True
        )
        written: list[int] = []
        for length in lengths:
            inputs = processor(text=text, images=[image], return_tensors="pt", add_special_tokens=False)
            ids = torch.cat([inputs["input_ids"], torch.tensor([written], dtype=torch.long)], dim=1)
            with torch.inference_mode():
                out = llava.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    pixel_values=inputs["pixel_values"].to(self._model.dtype),
                    max_new_tokens=length,
                    do_sample=False,
                )
            written += [int(one) for one in out[0, ids.shape[1] :]]
        return written

    def same(self) -> float:
        """Return the share of studies whose two texts have the same tokens."""
        equal = [
            self.theirs[key][: len(one.ids)] == one.ids and len(self.theirs[key]) == len(one.ids) + one.finished
            for key, one in self.written.items()
        ]
        return sum(equal) / len(equal)


def throughput(model: LoadedModel, name: str, *, count: int, tokens: int, repeats: int) -> Measured:
    """Time both ways on one model.

    Args:
        model: as loaded.
        name: of the row.
        count: studies.
        tokens: the most of one report.
        repeats: turns that count.
    Returns:
        The row, in seconds a study.
    """
    with tempfile.TemporaryDirectory() as work:
        pair = Comparison(model, Path(work), count, tokens)
        pair.ours()  # its texts tell the loop how long the sections are
        theirs, ours = side_by_side(pair.peer, pair.ours, repeats=repeats)
        same = pair.same()
    return Measured(
        name=name,
        peer="one study at a time, the image encoded for each section",
        theirs=theirs / count,
        ours=ours / count,
        gate=f"{same:.0%} of {count} texts the same, 100 % wanted",
        kept=same == 1.0,
        wanted=WANTED,
        note=f"{3600 * count / ours:,.0f} studies an hour",
    )


def worklist(device: str) -> list[Measured]:
    """Measure with the starter and with a random model of 213 million parameters; a row of `benchmarks.run`."""
    from assistant.model.load import load_model
    from benchmarks.engine_model import random_model

    random = replace(random_model(device=device), folder=Path("no folder"))  # without the starter's guard
    return [
        throughput(load_model("starter", device=device), "worklist starter", count=48, tokens=256, repeats=3),
        throughput(random, "worklist random 213M", count=48, tokens=48, repeats=1),
    ]
