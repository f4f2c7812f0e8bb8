"""What in the current picture a drafted report rests on, kept with the report for the formats that show it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assistant.case import Case
from assistant.conversation import Report

if TYPE_CHECKING:
    from assistant.engine.generate import Generator
    from assistant.model.loaded import LoadedModel


def with_heat(report: Report, case: Case, model: LoadedModel, generator: Generator) -> Report:
    """Work out what in the last picture of a case its report rests on; see `engine.occlusion`.

    Args:
        report: as it was finished.
        case: it was drafted from.
        model: that drafted it.
        generator: of that model.
    Returns:
        the report with `heat`, or as it was where the model drafted nothing.
    """
    from assistant.engine.occlusion import Occlusion

    if report.abstained or case.prompt is None or case.generated is None or not case.generated.text.strip():
        return report
    heat = Occlusion(model, generator, case.prompt, case.pictures, case.generated.text).finish()
    section = case.pictures[-1].section
    told: dict[str, Any] = {"nats": [[round(float(one), 4) for one in row] for row in heat.nats]}
    told |= {"whole": round(heat.whole, 4), **({"slice": section.number} if section else {})}
    return replace(report, heat=told)
