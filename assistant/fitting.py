"""Which report template a study gets, and whether the one that was named fits what header and picture say.

A template that is worlds apart from the image is refused: a report under the headings of another examination would
read well, and nobody would look twice. Where it is a near miss, or cannot be told, the report carries a caution.
"""

from __future__ import annotations

from collections.abc import Sequence

from assistant.case import Case
from assistant.conversation import Question
from assistant.domain import SURE, Domain
from assistant.guard import Stop, are_alike
from assistant.questions import options_of, written_forms
from assistant.regions import alike
from assistant.report_template import AUTO, GENERIC, Asked, Check, ReportTemplate
from assistant.template_files import Templates, shipped

LIKELY = 0.5
"""Probability of a region from which a template is chosen by it; the report says that the look has chosen."""
CHECK_TOKENS = 1
"""Written for a check: the probabilities of Yes and No count, not the text."""


def set_template(case: Case, name: str, templates: Templates, seen: Domain | None) -> None:
    """Give a case its template, or stop it where the one that was named cannot be meant.

    Args:
        case: of a report, with pictures, sights and modality.
        name: of a template, or `auto`.
        templates: to choose from.
        seen: what a router took the current picture for; None without one.
    Raises:
        ConfigError: there is no template of this name.
    """
    if name == AUTO:
        # What an image looks like that is unlike anything known says nothing.
        strange = case.stop is not None and not (case.current and case.current.modality)
        case.template, case.chosen_by = (_generic(templates), "look") if strange else choose(templates, case, seen)
        return
    case.template, case.chosen_by = templates.get(name), "name"
    found = misfit(case.template, case, seen, templates)
    if isinstance(found, Stop):
        case.stop = case.stop or found
    else:
        case.doubt(found)


def choose(templates: Templates, case: Case, seen: Domain | None) -> tuple[ReportTemplate, str]:
    """Return the template that fits a case best, and by what: "header" or "look".

    Args:
        templates: to choose from; of equals the first is taken, so a person's own go first.
        case: with its modality.
        seen: as for `set_template`; used where the header does not name the region.
    Returns:
        The template, and by what it was chosen.
    """
    current = case.current
    told = current.modality if current else None
    region = current.anatomy if current else None
    by = "header" if told == case.modality and (region or told is None) else "look"
    if region is None and seen is not None and seen.modality == case.modality and seen.anatomy_probability >= LIKELY:
        region = seen.anatomy
    fitting = [
        one
        for one in templates
        if one.modality is not None
        and one.modality == case.modality
        and (not one.anatomy or _covers(one.anatomy, region))
        and (not one.views or current is None or current.view is None or current.view in one.views)
    ]
    if not fitting:
        return _generic(templates), "header" if told else "look"
    best = max(fitting, key=lambda one: (bool(one.anatomy), bool(one.views)))
    if not best.anatomy and told == case.modality:
        by = "header"
    return best, by


def _generic(templates: Templates) -> ReportTemplate:
    return templates.by_name.get(GENERIC) or shipped().get(GENERIC)


def misfit(template: ReportTemplate, case: Case, seen: Domain | None, templates: Templates) -> Stop | str | None:
    """Compare a template that was named with what header and picture say.

    Args:
        template: as named.
        case: with its modality.
        seen: as for `set_template`.
        templates: for the advice which one fits.
    Returns:
        Stop where the kinds of image are worlds apart, a caution where they are neighbours, the region or view is
        another, or the kind cannot be told; None where all that is known fits.
    """
    if template.modality is None and not template.anatomy:
        return None
    what = f"The template {template.name} is for {template.modality or 'any image'}"
    if template.modality and case.modality is None:
        return (
            f"{what}, but neither header nor look tell clearly what kind of image this is: nothing checks that it fits."
        )
    if template.modality and case.modality != template.modality:
        said = f"{what}, but the image is {case.modality}."
        if are_alike({template.modality, str(case.modality)}):
            return said
        better, _ = choose(templates, case, seen)
        return Stop(said, f"Use --template {better.name} or --template {AUTO}.")
    current = case.current
    region = current.anatomy if current else None
    if region and not _covers(template.anatomy or (region,), region):
        return f"{what} of {_listed(template.anatomy)}, but the file's header says {region}."
    sure = seen is not None and seen.anatomy_probability >= SURE and seen.modality == (case.modality or seen.modality)
    if region is None and sure and seen and template.anatomy and not _covers(template.anatomy, seen.anatomy):
        return f"{what} of {_listed(template.anatomy)}, but the image looks like one of {seen.anatomy}."
    view = current.view if current else None
    if template.views and view and view not in template.views:
        return f"{what} in the views {', '.join(template.views)}, but the file's header says {view}."
    return None


def parts_of(case: Case) -> list[Case]:
    """Return the questions of a case's template that make up its report, each a case about the same pictures.

    Args:
        case: with template, request and features.
    Returns:
        One a question, without prompts; none for a template that asks for a report.
    """
    return [_aside(case, one) for one in case.template.questions] if case.template else []


def checks_of(case: Case) -> list[Case]:
    """Return the questions that a case's template asks beside the report; as `parts_of`."""
    return [_aside(case, one) for one in case.template.checks] if case.template else []


def _aside(case: Case, asked: Asked | Check) -> Case:
    """Return a case that puts one question about the current pictures of a report's case."""
    request = case.request.pictures if case.request else case.pictures
    now = [place for place, one in enumerate(case.pictures) if any(one is picture for picture in request)]
    pictures = tuple(case.pictures[place] for place in now)
    answers = asked.answers if isinstance(asked, Asked) else {}
    # A question that Yes or No answers is put without options, as in training.
    options = () if {one.lower() for one in answers} == {"yes", "no"} else tuple(answers)
    question = Question(asked.ask, pictures, options=options)
    made = Case(pictures, question=question, asked=asked, modality=case.modality)
    made.features = [case.features[place] for place in now]
    made.options = options_of(question)
    # Of a check only the probabilities count: one way to write each answer will do.
    ways = written_forms if isinstance(asked, Asked) else (lambda option: (option,))
    made.forms = [(option, form) for option in made.options for form in ways(option)]
    return made


def _covers(regions: Sequence[str], region: str | None) -> bool:
    """Tell whether a region is one of some, or another name of one of them."""
    return region is not None and not alike(region).isdisjoint(regions)


def _listed(regions: Sequence[str]) -> str:
    return f"{', '.join(regions[:-1])} or {regions[-1]}" if len(regions) > 1 else "".join(regions)
