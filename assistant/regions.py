"""Body regions that stand for one another, and whether a piece of evidence is about what a picture shows.

Headers, templates, cards and the search each have names of their own for a region: a header says skull where a card
says head.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from assistant.domain import SURE, Domain
from assistant.evidence import Evidence
from assistant.imaging.terms import BODY_PARTS
from assistant.words import tokens

ALIKE: tuple[frozenset[str], ...] = (
    frozenset({"head", "brain", "skull"}),
    frozenset({"chest", "lung"}),
    frozenset({"retina", "eye"}),
    frozenset({"blood", "peripheral blood"}),
)
"""Regions whose names stand for one another."""
ANYWHERE = frozenset({"any", "body", "bone", "tissue"})
"""What evidence on no region in particular calls its region; bones and tissue are in each."""
HOLDS: dict[str, frozenset[str]] = {
    "abdomen": frozenset({"liver", "kidney", "spleen", "pancreas", "colon", "aorta", "stomach"}),
    "chest": frozenset({"heart", "rib", "aorta", "sternum", "clavicle"}),
    "head": frozenset({"orbit", "paranasal sinus", "mandible"}),
    "pelvis": frozenset({"uterus", "prostate", "bladder", "hip", "sacrum"}),
}
"""Regions whose pictures show others, too."""
_KNOWN = frozenset({*BODY_PARTS.values(), *HOLDS}.union(*ALIKE))


def alike(region: str) -> frozenset[str]:
    """Return all names of a region, its own among them."""
    return frozenset({region}).union(*(group for group in ALIKE if region in group))


def meet(one: str, other: str) -> bool:
    """Tell whether two regions are the same, share a word ("spine", "cervical spine"), or one shows the other."""
    names, others = alike(one), alike(other)
    shown = frozenset[str]().union(*(HOLDS.get(name, frozenset()) for name in names))
    shows = frozenset[str]().union(*(HOLDS.get(name, frozenset()) for name in others))
    return bool(names & others or shown & others or shows & names or set(one.split()) & set(other.split()) - {"and"})


def told_by(text: str) -> str | None:
    """Return the region that a sentence names, such as "Frontal radiograph of the chest."; None for none or several."""
    words = set(tokens(text))
    named = [region for region in BODY_PARTS.values() if region in words]
    return named[0] if named and all(alike(one) == alike(named[0]) for one in named) else None


def seen_by(domain: Domain | None, modality: str | None) -> str | None:
    """Return the region that a search takes a picture for.

    Args:
        domain: what the search saw; None if it cannot tell.
        modality: of the picture; the search's own guess if None.
    Returns:
        Its name; None if the search is unsure, or knows one region only, and so would call each picture that.
    """
    known: Mapping[str, float] = domain.regions.get(modality or domain.modality, {}) if domain is not None else {}
    shares: dict[frozenset[str], float] = {}
    for region, share in known.items():
        shares[alike(region)] = shares.get(alike(region), 0.0) + share
    likeliest = max(shares, key=lambda names: shares[names], default=frozenset[str]())
    if len(shares) < 2 or shares[likeliest] < SURE:
        return None
    return max((name for name in known if name in likeliest), key=lambda name: known[name])


def belongs(item: Evidence, kinds: Collection[str], region: str | None) -> bool:
    """Tell whether evidence is about the kind of picture and the region that it is shown for.

    Args:
        item: the evidence; what names no modality or region, or a region that is not among our names, belongs
            everywhere.
        kinds: the modalities that the picture may be of; none if nothing is known.
        region: of the picture; None if it is not known.
    Returns:
        Whether it may be listed.
    """
    if kinds and item.modality is not None and item.modality not in kinds:
        return False
    about = (item.anatomy or "any").lower()
    return region is None or about in ANYWHERE or about not in _KNOWN or meet(about, region)
