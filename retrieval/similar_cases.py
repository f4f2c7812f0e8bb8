"""Does a picture find cases of its own kind? Precision of the first k cases, by modality and region."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retrieval.facets import Filters
from retrieval.labelled import NO_REGION, Labelled
from retrieval.scores import wilson

if TYPE_CHECKING:
    from retrieval.retriever import IndexRetriever

DEPTH = 5
_CASES = Filters(kinds=("case",))


def precision_of_cases(
    retriever: IndexRetriever, asked: Labelled, depth: int = DEPTH, alike: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Search the cases of an index by each picture alone, and count those of the same modality and region.

    Args:
        retriever: over an index with cases; none of them may be one of the pictures.
        asked: the pictures and their kinds.
        depth: how many cases are looked at; a search that finds fewer counts those that lack as wrong.
        alike: region → the region that it counts as, such as brain → head; None takes all names as they are.
    Returns:
        JSON: `precision` of the first `depth` and of the first alone, with 95 % intervals (Wilson; of the first alone
        they are honest, those of the first `depth` hold if each picture is a draw of its own), `modality` alone,
        `chance` (of a case drawn at random), and `per_kind`.
    """
    alike = alike or {}
    shares = _shares(retriever, alike)
    hits, first, same_modality = [], [], []
    per_kind: dict[str, list[float]] = {}
    chance = 0.0
    for joint, named in zip(asked.joint, asked.labels, strict=True):
        label = _kind(*named, alike)
        found = retriever.search("", image_embedding=joint, k=depth, filters=_CASES)
        kinds = [_kind(one.modality, one.anatomy, alike) for one in found]
        right = [kind == label for kind in kinds]
        hits.append(sum(right) / depth)
        first.append(bool(right) and right[0])
        same_modality.append(sum(kind[0] == label[0] for kind in kinds) / depth)
        per_kind.setdefault(" · ".join(named), []).append(hits[-1])
        chance += shares.get(label, 0.0)
    count = len(hits)
    return {
        "pictures": count,
        "depth": depth,
        "precision": sum(hits) / count,
        "interval": wilson(round(sum(hits)), count),
        "first": sum(first) / count,
        "first_interval": wilson(sum(first), count),
        "modality": sum(same_modality) / count,
        "chance": chance / count,
        "per_kind": {name: [sum(rows) / len(rows), len(rows)] for name, rows in sorted(per_kind.items())},
    }


def _kind(modality: str | None, region: str | None, alike: Mapping[str, str]) -> tuple[str | None, str]:
    region = region or NO_REGION
    return modality, alike.get(region, region)


def _shares(retriever: IndexRetriever, alike: Mapping[str, str]) -> Mapping[tuple[str | None, str], float]:
    """Return the share of each kind among the cases of an index."""
    index = retriever.index
    cases = [record for record in map(index.record, range(len(index))) if record.kind == "case"]
    counts = Counter(_kind(case.modality, case.anatomy, alike) for case in cases)
    return {kind: number / len(cases) for kind, number in counts.items()}


def shown(result: Mapping[str, Any]) -> str:
    """Return a result as lines of text."""
    low, high = result["interval"]
    lines = [
        f"{result['pictures']} pictures; of the first {result['depth']} cases {result['precision']:.1%} are of the "
        f"same modality and region (95 % interval {low:.1%} to {high:.1%}, by pictures), {result['modality']:.1%} of "
        f"the same modality; the first is in {result['first']:.1%}; by chance {result['chance']:.1%}"
    ]
    lines += [f"  {name}: {share:.1%} of {count} pictures" for name, (share, count) in result["per_kind"].items()]
    return "\n".join(lines) + "\n"
