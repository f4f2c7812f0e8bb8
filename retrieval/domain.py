"""Fit and measure the domain router: `python -m retrieval.domain INDEX --data DIR [--fit]`.

DIR holds `manifest.jsonl`, with image, modality, anatomy and split in each line. `--fit` learns from its train split
and writes what it learnt into the index's manifest, where every search by picture finds it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.ending import in_words, run_command
from assistant.errors import AssistantError, RetrievalError
from retrieval.scores import wilson

if TYPE_CHECKING:
    import numpy as np

    from retrieval.manifest import Manifest
    from retrieval.router import DomainFit, DomainRouter

logger = logging.getLogger(__name__)


def measure(router: DomainRouter, joint: np.ndarray, labels: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Measure a router on pictures of known kind.

    Args:
        router: to measure.
        joint: (N, E) unit length.
        labels: (N,) modality and region of each; pictures of a modality that it was not fitted on are only counted.
    Returns:
        Accuracy with a 95 % interval (Wilson), mean probability, regions and confusions.
    """
    seen = {modality for modality, _ in router.fit.pairs}
    looks = [router.look(one) for one in joint]
    known = [(look, label) for look, label in zip(looks, labels, strict=True) if label[0] in seen]
    right = [look.modality == modality for look, (modality, _) in known]
    confusions: dict[str, int] = {}
    per: dict[str, list[bool]] = {}
    for look, (modality, _) in known:
        per.setdefault(modality, []).append(look.modality == modality)
        if look.modality != modality:
            name = f"{modality} → {look.modality}"
            confusions[name] = confusions.get(name, 0) + 1
    return {
        "pictures": len(known),
        "accuracy": sum(right) / max(1, len(right)),
        "interval": wilson(sum(right), len(right)),
        "mean_probability": sum(look.probability for look, _ in known) / max(1, len(known)),
        "region_accuracy": sum(look.anatomy == label[1] for look, label in known) / max(1, len(known)),
        "per_modality": {name: [sum(rows), len(rows)] for name, rows in sorted(per.items())},
        "confusions": confusions,
        "other_kinds": len(labels) - len(known),
    }


def store(folder: Path, fit: DomainFit) -> Manifest:
    """Write a fit into an index's manifest, all of it or nothing."""
    from retrieval.manifest import read_manifest, replace_manifest

    return replace_manifest(folder, dataclasses.replace(read_manifest(folder), domain=fit.to_dict()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or broken data."""
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.domain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="index folder, whose manifest keeps the fit")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl and its pictures")
    parser.add_argument("--fit", action="store_true", help="fit on the train split and store it; then measure")
    parser.add_argument("--split", default="dev", help="split to measure on (default: dev)")
    parser.add_argument("--limit", type=int, default=100, help="most pictures of one kind to fit on (default: 100)")
    parser.add_argument("--model", default="starter", help="model whose encoder made the index (default: starter)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if arguments.limit < 2:
        parser.error(f"--limit is {arguments.limit}; use 2 or more")
    try:
        result = _run(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    sys.stdout.write((json.dumps(result, indent=2, ensure_ascii=False) if arguments.json else _shown(result)) + "\n")
    return 0


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    from retrieval.encoder import FolderEncoder
    from retrieval.labelled import labelled
    from retrieval.manifest import check_encoder, read_manifest
    from retrieval.router import FIT_AGAIN, DomainFit, DomainRouter, fit_domain

    encoder = FolderEncoder(arguments.model)
    manifest = read_manifest(arguments.index)
    check_encoder(arguments.index, manifest, encoder.fingerprint)
    if arguments.fit:
        taught = labelled(arguments.data, "train", encoder, limit=arguments.limit)
        fit = fit_domain(encoder, taught.joint, taught.labels)
        store(arguments.index, fit)
        logger.info("fitted on %d pictures of %d kinds", len(taught.labels), len(fit.pairs))
    elif manifest.domain:
        fit = DomainFit.from_dict(manifest.domain)
    else:
        raise RetrievalError(f"{arguments.index} has no fitted router. {FIT_AGAIN}")
    asked = labelled(arguments.data, arguments.split, encoder)
    return {"split": arguments.split, **measure(DomainRouter.make(encoder, fit), asked.joint, asked.labels)}


def _shown(result: Mapping[str, Any]) -> str:
    low, high = result["interval"]
    lines = [
        f"{result['pictures']} pictures of split {result['split']}: modality right {result['accuracy']:.1%} "
        f"(95 % interval {low:.1%} to {high:.1%}), mean probability {result['mean_probability']:.1%}, "
        f"region right {result['region_accuracy']:.1%}",
        *(f"  {name}: {right} of {count}" for name, (right, count) in result["per_modality"].items()),
        *(f"  taken for another: {name}, {count} times" for name, count in result["confusions"].items()),
    ]
    if result["other_kinds"]:
        lines.append(f"  left out: {result['other_kinds']} of kinds that the router was not fitted on")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
