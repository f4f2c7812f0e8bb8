"""Earlier studies of the same patient among the studies of a worklist, to compare with.

An earlier study must have the same patient number, no other birth date or sex, an earlier date, another study
identifier, and the same kind of image of the same region and side; of a projection also the same view. Who the patient
is and when it was stays in memory: a report names its prior as the ledger names inputs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.studies import Study

if TYPE_CHECKING:
    from assistant.imaging.visit import Visit

MOST_PRIORS = 2
"""Most single images of an earlier study that are put beside the current ones."""
_PROJECTIONS = ("X-ray", "Mammography")
_ONE_REGION = ("Mammography", "Fundus photography")
"""Kinds of image that show one region, so that a header need not name it."""


@dataclass(frozen=True)
class Compared:
    """Studies with the earlier ones that were found for them."""

    studies: tuple[Study, ...]
    found: int = 0
    """How many got a prior."""
    unclear: int = 0
    """How many have an earlier study of the same kind, but no header that tells of which region."""


def find_priors(studies: Sequence[Study], visits: Mapping[Path, Visit] | None = None) -> Compared:
    """Give each study the latest earlier one of the same patient, kind and region, if the list holds one.

    Args:
        studies: in any order. Those that name priors of their own keep them.
        visits: heads that were read already; others are read here.
    Returns:
        The studies in their order, each with at most one earlier study's images.
    """
    from assistant.imaging.visit import read_visit

    known = visits or {}
    heads = [known.get(study.images[0]) or read_visit(study.images[0]) for study in studies]
    by_patient: dict[str, list[int]] = defaultdict(list)
    for place, head in enumerate(heads):
        if head is not None and head.patient and head.when:
            by_patient[head.patient].append(place)
    made = list(studies)
    found = unclear = 0
    for places in by_patient.values():
        for place in places:
            if studies[place].priors:
                continue
            earlier = [other for other in places if _may_precede(heads[other], heads[place])]
            sure = [other for other in earlier if _same_region(heads[other], heads[place])]
            if sure:
                made[place] = _with_prior(studies[place], _latest(sure, heads), studies)
                found += 1
            elif any(_region_unknown(heads[other], heads[place]) for other in earlier):
                unclear += 1
    return Compared(tuple(made), found, unclear)


def _may_precede(before: Visit | None, now: Visit | None) -> bool:
    """Tell whether all but the region speaks for an earlier study of the same kind."""
    if before is None or now is None or before.when >= now.when or before.modality is None:
        return False
    if before.study is None or before.study == now.study or before.modality != now.modality:
        return False
    if _differ(before.person, now.person) or _differ(before.laterality, now.laterality):
        return False
    return not (now.modality in _PROJECTIONS and _differ(before.view, now.view))


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _same_region(before: Visit | None, now: Visit | None) -> bool:
    if before is None or now is None:
        return False
    if now.modality in _ONE_REGION:
        return not _differ(before.anatomy, now.anatomy)
    return now.anatomy is not None and before.anatomy == now.anatomy


def _region_unknown(before: Visit | None, now: Visit | None) -> bool:
    return before is None or now is None or before.anatomy is None or now.anatomy is None


def _latest(places: Sequence[int], heads: Sequence[Visit | None]) -> list[int]:
    """Return the places of the latest study's images, those that came as several single files among them."""
    newest = max(places, key=lambda place: (_when(heads[place]), -place))
    latest = heads[newest]
    return [place for place in places if (head := heads[place]) and latest and head.study == latest.study]


def _when(head: Visit | None) -> str:
    return head.when if head else ""


def _with_prior(study: Study, places: Sequence[int], studies: Sequence[Study]) -> Study:
    volume = next((studies[place] for place in places if studies[place].volume), None)
    if volume is not None:
        return replace(study, priors=volume.images, priors_found=True, prior_volume=True)
    images = [image for place in places for image in studies[place].images]
    return replace(study, priors=tuple(images[: min(MOST_PRIORS, len(study.images))]), priors_found=True)
