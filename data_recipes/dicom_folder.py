"""The `dicom_folder` recipe: DICOM studies with their reports become report examples, without patients' names.

Files are grouped to studies by their headers. A report is paired with a study by the study's own id: Study Instance
UID, accession number, study id, or the name of a folder that holds it. Reports are text files, a CSV or JSONL list, or
DICOM structured reports among the studies. Patients and studies get salted one-way keys (`assistant.imaging.identity`),
so that splits by patient hold and no identifier is written; what the headers name is taken out of the reports, too.
Text that is burned into the pictures is blacked out. Sentences that compare with an earlier examination are left out,
as the model is not shown any: learning them would teach it to make comparisons up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.deidentify.shown import check as check_finder
from assistant.deidentify.shown import shown as cleaned
from assistant.errors import DataError, ImageError
from assistant.prompts import render_report, report_text
from assistant.review import remove_change
from data_recipes.dicom_records import Report, Study, StudyImage
from data_recipes.dicom_reports import pair_reports, read_reports
from data_recipes.dicom_studies import find_studies
from data_recipes.own import FaultList, Options, add_common_options, needed_licence, split_files
from data_recipes.report_sections import report_sections
from data_recipes.schema import Example
from data_recipes.splits import assign_split, group_key, read_shares

logger = logging.getLogger(__name__)

MAX_IMAGES = 2
MAX_SIDE = 1024


def add_options(options: Options) -> None:
    """Add this recipe's options.

    Args:
        options: of the command line.
    """
    options.add_argument(
        "--reports",
        type=Path,
        metavar="PATH",
        help="folder of .txt reports named after their study, or a .csv or .jsonl list (default: .txt and DICOM SR "
        "files beside the images)",
    )
    options.add_argument("--report-id", default="study", metavar="COLUMN", help="of a list: the study's id (study)")
    options.add_argument("--report-text", default="report", metavar="COLUMN", help="of a list: the report (report)")
    options.add_argument(
        "--images", type=int, default=MAX_IMAGES, metavar="N", help=f"most images a study, one a series ({MAX_IMAGES})"
    )
    options.add_argument(
        "--max-side", type=int, default=MAX_SIDE, metavar="PX", help=f"longest side of a picture ({MAX_SIDE})"
    )
    options.add_argument(
        "--pixels",
        choices=("clean", "keep"),
        default="clean",
        help="text burned into pictures: black it out, or keep it, where it names nobody (default: clean)",
    )
    options.add_argument("--site", metavar="NAME", help="short key of the hospital, so that scores can be told by site")
    options.add_argument(
        "--keep-comparisons", action="store_true", help="keep sentences that compare with an earlier examination"
    )
    options.add_argument(
        "--skip-broken", action="store_true", help="leave out files that cannot be read instead of stopping"
    )
    add_common_options(options)


def build(
    source: Path, out: Path, *, limit: int | None = None, seed: int = 0, link: bool = False, **options: Any
) -> dict[str, int]:
    """Turn DICOM studies into example files and PNG pictures.

    Args:
        source: folder with DICOM files at any depth.
        out: folder to write `<split>.jsonl` and `images/` into.
        limit: at most this many studies.
        seed: decides the splits.
        link: not used: pictures are always written anew, without a header.
        **options: as `add_options` names them.
    Returns:
        File name to its number of examples.
    Raises:
        DataError: files cannot be read, or no report belongs to a study; names the first twenty faults.
        ConfigError: text is to be blacked out, and RapidOCR cannot be loaded.
    """
    del link
    if not source.is_dir():
        raise DataError(f"--source {source} is no folder; give the folder of the studies.")
    for name in ("images", "max_side"):
        if options[name] < 1:
            raise DataError(f"--{name.replace('_', '-')} is {options[name]}; use 1 or more.")
    licence, shares = needed_licence(options["licence"]), read_shares(options["shares"])
    if options["pixels"] == "clean":
        check_finder()
    faults = FaultList()
    studies, structured = find_studies(source, faults, skip_broken=options["skip_broken"])
    reports = structured + read_reports(
        options["reports"] or source,
        faults,
        options["report_id"],
        options["report_text"],
        beside=not options["reports"],
    )
    pairs = pair_reports(studies, reports, faults)
    faults.raise_if_any(source)
    _tell(studies, reports, pairs, options["pixels"])
    if not pairs:
        raise DataError(
            f"none of {_count(reports)} reports belongs to one of {len(studies)} studies in {source}. A report is "
            "named after its study: by Study Instance UID, accession number, study id, or the folder's name. See "
            "--reports and --report-id."
        )
    with split_files(out) as writer:
        for study, report in pairs[:limit]:
            example = _example(study, report, out, options, licence, faults)
            if example is not None:
                key = group_key(patient=study.patient, study=study.key)
                writer.add(assign_split(key, seed, shares), example)
        if not options["skip_broken"]:
            faults.raise_if_any(source)
        if not writer.counts:
            raise DataError(f"{source}: no study with a report has an image that can be read.")
        return writer.counts


def _tell(
    studies: Sequence[Study], reports: Sequence[Report], pairs: Sequence[tuple[Study, Report]], pixels: str
) -> None:
    """Log how many of what was found; never whose."""
    logger.info("%d studies, %d reports, %d of them paired", len(studies), _count(reports), len(pairs))
    if without := sum(study.patient is None for study, _ in pairs):
        logger.warning("%d studies name no patient; each is taken for a patient of its own", without)
    if texts := sum(image.burned_in for study, _ in pairs for image in study.images):
        done = "what is read of it is blacked out" if pixels == "clean" else "it is kept"
        logger.warning(
            "%d images may show burned-in text; %s. Look at them before the data leave the hospital", texts, done
        )
    removed = sum(report.removed for _, report in pairs)
    logger.info("%d names or numbers of patients were taken out of the reports", removed)


def _count(reports: Sequence[Report]) -> int:
    """Count reports; one that may be named in two ways counts once."""
    return len({report.place for report in reports})


def _example(
    study: Study, report: Report, out: Path, options: Mapping[str, Any], licence: str, faults: FaultList
) -> Example | None:
    """Write a study's pictures and return its example; None where no picture can be read."""
    sections = report_sections(report.text)
    if not options["keep_comparisons"]:
        sections = {name: remove_change(text)[0] for name, text in sections.items()}
    answer = render_report(sections)
    if not answer:
        faults.add(report.place, "the report has no findings and no impression of its own; fill it in or delete it.")
        return None
    shown: dict[str, dict[str, str]] = {}
    for number, image in enumerate(_chosen(study.images, options["images"])):
        name = f"images/{study.key}/{number}.png"
        try:
            shown[name] = _write(image, out / name, options["max_side"], clean=options["pixels"] == "clean")
        except ImageError as error:
            faults.add("image", f"{error} Mend it, or use --skip-broken.")
    if not shown:
        return None
    about = next(iter(shown.values()))
    source = str(options["source_name"])
    return Example(
        id=f"{source}-{study.key}",
        images=tuple(shown),
        messages=[
            {"role": "user", "content": report_text(indication=sections.get("indication"))},
            {"role": "assistant", "content": answer},
        ],
        task="report",
        answer_type="report",
        truth=about or None,
        modality=about.get("modality"),
        anatomy=about.get("region"),
        patient=study.patient,
        site=options["site"],
        source=source,
        licence=licence,
    )


def _chosen(images: Sequence[StudyImage], most: int) -> list[StudyImage]:
    """Choose the middle image of each series, largest series last so that single views come first."""
    series: dict[str, list[StudyImage]] = {}
    for image in images:
        series.setdefault(image.series, []).append(image)
    ordered = sorted(series.values(), key=lambda group: (len(group), group[0].order))
    middle = [sorted(group, key=lambda image: image.order)[len(group) // 2] for group in ordered]
    return middle[:most]


def _write(image: StudyImage, target: Path, max_side: int, *, clean: bool) -> dict[str, str]:
    """Write one picture as PNG and return what its header says of it, by attribute."""
    from PIL import Image

    from assistant.imaging.load import load_picture

    picture = load_picture(image.path, max_side=max_side)
    shown = (cleaned(picture) if clean else picture).to_pil()
    if max(shown.size) > max_side:
        shown.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    grey = shown.convert("L")
    (grey if grey.convert("RGB").tobytes() == shown.tobytes() else shown).save(target)
    told = {"modality": picture.modality, "region": picture.anatomy, "view": picture.view}
    return {name: value for name, value in told.items() if value}
