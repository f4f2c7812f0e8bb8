"""`report`: files, folders and lists become drafted reports in one folder."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from assistant.commands.opened import Opened, Opener
from assistant.commands.summary import counted, summary_text
from assistant.config import AssistantConfig, GenerationConfig
from assistant.engine.room import reports_together
from assistant.errors import WorklistError
from assistant.gather import Gathered, gather_series, series_among
from assistant.imaging.load import load_picture
from assistant.imaging.window import WindowRequest, parse_request
from assistant.json_lines import read_lines
from assistant.ledger import Ledger
from assistant.names import paths_of
from assistant.priors import find_priors
from assistant.readahead import RunSettings, picture_loader
from assistant.report_template import AUTO
from assistant.review_queue import ReviewQueue, queue_text
from assistant.studies import Study, collect_studies
from assistant.template_files import Templates, load_templates, read_templates
from assistant.worklist import Summary, grouped_by_study, run_worklist

_NOT_IN_THE_TEXT = (
    *("batch_size", "report_batch", "picture_cache", "heat", "feature_folder", "feature_folder_gb"),
    *("linears", "decode_attention", "decode_step", "prefix_cache_mb", "share_prefixes"),
    "augment",  # of answers to questions
)
"""Settings that change no report; a rerun with others goes on with the same studies."""
_ADDED_LATER = ("slices", "slice_choice", "check_reports", "picture_side", "precision", "evidence_elsewhere")
"""Settings that earlier versions had not: at their usual values they leave the studies' ids as they were."""


def run_report(
    config: AssistantConfig,
    open_assistant: Opener,
    *,
    inputs: Sequence[str],
    out: Path,
    formats: tuple[str, ...] = ("md",),
    template: str = AUTO,
    group: bool = False,
    window: WindowRequest = None,
    only_failed: bool = False,
    priors: bool = True,
    cluster: tuple[int | None, str | None] | None = None,
    keep_names: bool = False,
    fhir: str | None = None,
    fhir_auth: Path | None = None,
) -> int:
    """Report on every study that the inputs name and that `out` has no report on yet.

    Args:
        config: which model and index, and the batch size.
        open_assistant: loads them.
        inputs: files, folders, patterns and lists.
        out: the run's folder; made when missing.
        formats: which pages each study gets.
        template: of the studies that name none: a name, a `.yaml` file, or `auto`.
        group: files of one study, by their DICOM headers, get one report together.
        window: what volumes are shown in; None takes the organ's own.
        only_failed: try the studies that failed, quarantined ones too, and no others.
        priors: look for earlier studies of the same patient among the inputs.
        cluster: how many actors of Ray report, and their cluster's address; None reports in this process.
        keep_names: let the ledger and the pages name files by their paths.
        fhir: bundle or server that knows indications and earlier reports; see `ehr.attach`.
        fhir_auth: file with the server's login.
    Returns:
        0 when every study has its report, 1 when some failed.
    Raises:
        AssistantError: the inputs, the model, the index or the folder cannot be used.
    """
    config, template, templates = with_template(config, template)
    config = with_heat(config, formats)
    studies, volumes = _collected(inputs, out, group, only_failed, priors)
    templates.check([study.template for study in studies if study.template])
    studies = [replace(study, keep_names=keep_names) for study in studies]
    if fhir:
        studies = _with_record(studies, fhir, fhir_auth)
    series = f" ({volumes} of them a series of slices)" if volumes else ""
    _tell(f"{counted(len(studies))}{series}; loading {config.model} …")
    opened = open_assistant(config) if cluster is None else None
    settings = replace(
        run_settings(config, opened, out, formats, template, window),
        again=only_failed,
        templates=templates,
        priors=priors,
    )
    summary = _run(studies, settings, opened, config, open_assistant, cluster)
    sys.stdout.write(summary_text(summary, out) + _to_review(out))
    return 1 if summary.failed else 0


def _run(
    studies: Sequence[Study],
    settings: RunSettings,
    opened: Opened | None,
    config: AssistantConfig,
    open_assistant: Opener,
    cluster: tuple[int | None, str | None] | None,
) -> Summary:
    """Report here, or on a cluster."""
    with _progress(len(studies)) as advance:
        if opened is not None:
            load = picture_loader(settings)
            return run_worklist(studies, opened.assistant, settings, load=load, on_progress=advance)
        from assistant.cluster.engine import run_on_ray

        return run_on_ray(studies, settings, config, open_assistant, cluster or (None, None), advance)


def _to_review(out: Path) -> str:
    """Bring the review queue up to date, and return how many studies stand in it."""
    queue = ReviewQueue(out)
    queue.refresh(now=True)
    return queue_text(queue.rows(), most=0)


def _collected(
    inputs: Sequence[str], out: Path, group: bool, only_failed: bool, priors: bool
) -> tuple[list[Study], int]:
    """Return the studies that the inputs name, and how many of them are series; say what is left out."""
    if not inputs:
        raise WorklistError("No input was given. Name files, folders, patterns or a list, or ask for --status.")
    collection = collect_studies(inputs, leave_out=out)
    if collection.passed_over:
        _tell(f"Passed over {collection.passed_over} file(s) that are no images by their names.")
    gathered = gather_series(collection.studies)
    for what, count in gathered.left_out.items():
        _tell(f"Left out {count} file(s): {what}.")
    if not gathered.studies:
        raise WorklistError("Nothing is left to report on: the inputs hold no picture besides what was left out.")
    # Grouping looks at the header alone.
    tiny = partial(load_picture, max_side=1)
    studies = grouped_by_study(gathered.studies, tiny) if group else list(gathered.studies)
    if priors:
        studies = with_priors(studies, gathered)
    if only_failed:
        studies = _failed(studies, out)
    return studies, series_among(studies)


def with_template(config: AssistantConfig, template: str) -> tuple[AssistantConfig, str, Templates]:
    """Read the templates that a run may use; a file that is named becomes one of them.

    Args:
        config: names folders of templates.
        template: a name, a `.yaml` file, or `auto`.
    Returns:
        The settings with the file among them, the template's name, and the templates.
    Raises:
        ConfigError: a template has mistakes, or there is none of this name.
    """
    if template.lower().endswith((".yaml", ".yml")):
        config = replace(config, templates=(*config.templates, template))
        (template,) = read_templates([Path(template).expanduser()])
    templates = load_templates(config.templates)
    templates.check([template])
    return config, template, templates


def with_priors(studies: Sequence[Study], gathered: Gathered, *, told: bool = True) -> list[Study]:
    """Return the studies with the earlier ones that are among them.

    Args:
        studies: all of the run.
        gathered: has the heads that were read already.
        told: say how many were found.
    Returns:
        The studies, in their order.
    """
    compared = find_priors(studies, gathered.visits)
    if not told:
        return list(compared.studies)
    if compared.found:
        _tell(f"Compared with an earlier one of the same patient: {counted(compared.found)}.")
    if compared.unclear:
        _tell(
            f"Not compared: {counted(compared.unclear)} with an earlier one of the same kind, since a header does not "
            "say of which region. A list names priors itself."
        )
    return list(compared.studies)


def _failed(studies: Sequence[Study], out: Path) -> list[Study]:
    """Return the studies that failed in an earlier run."""
    wanted = {tuple(paths_of(out, one["inputs"])) for one in read_lines(out / "failures.jsonl")}
    found = [study for study in studies if tuple(study.inputs) in wanted]
    if not found:
        raise WorklistError(f"None of these inputs stands in {out / 'failures.jsonl'}: nothing failed.")
    return found


def _with_record(studies: Sequence[Study], fhir: str, auth: Path | None) -> list[Study]:
    """Give the studies what a FHIR record knows of them."""
    from assistant.ehr.attach import attach, open_record

    found, known = attach(studies, open_record(fhir, auth))
    _tell(f"The record knows something of {known} of {len(found)} studies.")
    return found


def with_heat(config: AssistantConfig, formats: Sequence[str]) -> AssistantConfig:
    """Return the settings under which what these formats show is worked out."""
    return replace(config, generation=replace(config.generation, heat=True)) if "sc" in formats else config


def run_status(out: Path, *, keep_names: bool = False) -> int:
    """Write where the studies of a run's folder stand.

    Args:
        out: the folder.
        keep_names: write which files the failed studies are, as far as `inputs.jsonl` knows.
    Returns:
        0 when nothing failed, 1 when some did.
    Raises:
        WorklistError: there is no run in the folder.
    """
    if not (out / "reports.jsonl").exists():
        raise WorklistError(f"{out} holds no report run. Name the folder that was given to report as --out.")
    with Ledger(out) as ledger:
        counts = ledger.counts()
    shown = [f"{counts.get(state, 0)} {state}" for state in ("done", "running", "pending", "failed", "quarantined")]
    lines = [f"{out}: {', '.join(shown)}"]
    for one in read_lines(out / "failures.jsonl"):
        named = paths_of(out, one["inputs"]) if keep_names else one["inputs"]
        lines.append(f"  {named[0]}: {one['error'].removeprefix(one['inputs'][0] + ': ')}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if counts.get("failed", 0) + counts.get("quarantined", 0) else 0


def run_settings(
    config: AssistantConfig,
    opened: Opened | None,
    out: Path,
    formats: tuple[str, ...],
    template: str,
    window: WindowRequest = None,
) -> RunSettings:
    """Return the settings of a run; see `run_report` for the arguments. Without an assistant its names stay open."""
    encoding = opened.assistant.model.encoding if opened else config.encoder_format
    return RunSettings(
        out=out,
        model=opened.model_fingerprint if opened else "",
        index=opened.index_fingerprint if opened else None,
        generation=_fingerprint(config.generation, encoding),
        template=template,
        formats=formats,
        batch_size=reports_together(opened.assistant.model if opened else None, config.generation),
        picture_side=config.generation.picture_side,
        window=parse_request(window),
    )


def _fingerprint(generation: GenerationConfig, encoding: str = "exact") -> str:
    """Return 16 hexadecimal digits for the settings that shape a report's text, the encoder's format among them."""
    shaping = {name: value for name, value in asdict(generation).items() if name not in _NOT_IN_THE_TEXT}
    usual = asdict(GenerationConfig())
    shaping = {name: v for name, v in shaping.items() if name not in _ADDED_LATER or v != usual[name]}
    if encoding != "exact":
        shaping["encoding"] = encoding
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show progress on stderr: a bar on a terminal, a line every tenth of the way elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("Reporting", total=total)
            yield lambda outcome: progress.advance(task)
        return
    step = max(1, total // 10)
    seen = 0

    def advance(outcome: str) -> None:
        nonlocal seen
        seen += 1
        if seen % step == 0 or seen == total:
            _tell(f"{seen} of {total} studies")

    yield advance
