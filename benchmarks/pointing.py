"""Does the heat map point at the finding? `python -m benchmarks.pointing`, on phantoms with a mask of each finding.

The pointing game (Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop"): a hit is a hottest place on
the finding, or within a sixteenth of the side of it; chance is the share of the picture that would be a hit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistant.ending import run_command

if TYPE_CHECKING:
    from assistant.engine.occlusion import Heat
    from data_recipes.phantom import Phantom

SEED = 990001
"""Of the phantoms; none of this series is trained on."""


def near_finding(phantom: Phantom) -> NDArray[np.bool_]:
    """Return where the phantom's first finding is, widened by a sixteenth of the side: (H, W) bool."""
    mask = phantom.mask == phantom.findings[0].class_id
    reach = mask.shape[0] // 16
    padded = np.pad(mask, reach)
    size = 2 * reach + 1
    # Rows first, then columns: a square's widening is that of its two sides.
    rows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0).any(-1)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(rows, size, axis=1).any(-1))


def hits_finding(heat: Heat, phantom: Phantom) -> bool:
    """Return whether the hottest place is on the finding, or near it."""
    target = near_finding(phantom)
    row, column = heat.peak
    return bool(target[int(row * target.shape[0]), int(column * target.shape[1])])


def measure(model_name: str, count: int) -> dict[str, Any]:
    """Play the pointing game.

    Args:
        model_name: `starter` or a model folder.
        count: phantoms with one finding to play it on.
    Returns:
        Hits, the share that chance would hit, and the time of one map.
    """
    from assistant.chat import MedicalAssistant
    from assistant.conversation import Question
    from assistant.imaging.picture import Picture
    from assistant.model.load import load_model
    from data_recipes.phantom import make_phantom

    assistant = MedicalAssistant(load_model(model_name))
    hits: list[bool] = []
    chance: list[float] = []
    seconds: list[float] = []
    shown = (make_phantom(SEED, index) for index in itertools.count())
    for phantom in itertools.islice((one for one in shown if len(one.findings) == 1), count):
        question = Question("What abnormality is seen?", (Picture(phantom.pixels),))
        answer = assistant.answer(question)
        if answer.abstained:
            continue  # the page offers no map then
        started = time.perf_counter()
        heat = assistant.heat(question, answer.text)
        seconds.append(time.perf_counter() - started)
        if heat is not None:
            hits.append(hits_finding(heat, phantom))
            chance.append(float(near_finding(phantom).mean()))
    return {
        "model": assistant.model.name,
        "maps": len(hits),
        "hits": round(float(np.mean(hits)), 3),
        "chance": round(float(np.mean(chance)), 3),
        "seconds_each": round(float(np.median(seconds)), 2),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result goes to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pointing", description=__doc__)
    parser.add_argument("--model", default="starter", help="starter or a model folder (default: starter)")
    parser.add_argument("--count", type=int, default=100, help="phantoms (default: 100)")
    arguments = parser.parse_args(argv)
    sys.stdout.write(json.dumps(measure(arguments.model, max(1, arguments.count)), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
