"""Build an index folder from corpora, or change one: `python -m retrieval.build CORPUS... --out DIR`.

A CORPUS is a file (.md .jsonl .pdf .xml .nxml .json, XML also with .gz), a folder of such files, of cases
(manifest.jsonl) or of figures (captions.txt), or the word `knowledge` for the cards that ship with the project.

The old index serves until the new one is whole. A build that was stopped goes on when its command is given again.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.deidentify.shown import take_rule
from assistant.ending import in_words, run_command
from assistant.errors import AssistantError

if TYPE_CHECKING:
    from retrieval.changes import Prune
    from retrieval.encoder import Encoder, FolderEncoder
    from retrieval.manifest import Manifest
    from retrieval.reading import ReadOptions
    from retrieval.staging import Source
    from retrieval.write import Change

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 done, 2 wrong usage or a broken corpus."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not arguments.corpus and not (arguments.delete or arguments.delete_patient):
        parser.error("name at least one CORPUS, or documents to --delete")
    if arguments.corpus and (arguments.delete or arguments.delete_patient):
        parser.error("--delete takes no CORPUS; run it by itself")
    if (arguments.prune or arguments.prune_source) and not (arguments.prune and arguments.update):
        parser.error("--prune goes with --update, and --prune-source with both")
    if not 0 < arguments.prune_most <= 1:
        parser.error(f"--prune-most is {arguments.prune_most:g}; it is a share above 0, at most 1")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    take_rule(arguments.pixels)
    try:
        result = _run(arguments)
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"error: {in_words(error)}\n")
        return 2
    shown = json.dumps(result, indent=2, ensure_ascii=False) if arguments.json else _summary(result)
    sys.stdout.write(f"{shown}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m retrieval.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", nargs="*", metavar="CORPUS", help="file, folder, or knowledge")
    parser.add_argument("--out", type=Path, required=True, help="index folder to write or change")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--add", action="store_true", help="add the corpora to the index; ids that it has are refused")
    how.add_argument("--update", action="store_true", help="add, and replace documents that have changed")
    how.add_argument("--delete", nargs="+", default=[], metavar="ID", help="take these documents out of the index")
    how.add_argument("--delete-patient", metavar="KEY", help="take every case of this patient key out of the index")
    parser.add_argument(
        "--prune", action="store_true", help="with --update: take out documents that the corpora no longer hold"
    )
    parser.add_argument(
        "--prune-source", nargs="+", default=[], metavar="PATTERN", help='only those of such a source, such as "NHS*"'
    )
    parser.add_argument(
        "--prune-most", type=float, default=0.5, metavar="SHARE", help="refuse if more would go (default: 0.5)"
    )
    parser.add_argument("--model", default="starter", help="model whose encoder to use: starter or a folder")
    parser.add_argument("--encoding", default="exact", metavar="E", help="exact, float32, bfloat16, int8 or auto")
    parser.add_argument("--tokens", type=int, help="longest chunk with its title (default: what the encoder reads)")
    parser.add_argument("--split", default="train", help="split of cases to take, or all (default: train)")
    parser.add_argument("--licence", help="licence of records that name none, such as those of a PDF")
    parser.add_argument("--source", help="source of records that name none")
    parser.add_argument("--keep-near-duplicates", action="store_true", help="leave out only what is the same")
    parser.add_argument("--questions", type=Path, help="JSONL of question and expected document: sets the fusion")
    parser.add_argument("--pixels", choices=("clean", "keep"), default="clean", help="of kept pictures: burned-in text")
    parser.add_argument("--dry-run", action="store_true", help="read, check, estimate size and time; write nothing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    from retrieval.encoder import FolderEncoder

    started = time.perf_counter()
    encoder = FolderEncoder(arguments.model, arguments.encoding)
    if arguments.delete or arguments.delete_patient:
        return _delete(arguments, encoder)
    options = _options(arguments, encoder)
    if arguments.dry_run:
        from retrieval.estimate import estimate

        told = estimate(arguments.corpus, options, encoder)
        return {
            "out": str(arguments.out),
            **told,
            **(_preview(arguments, encoder, options) if arguments.update else {}),
        }
    change = _write(arguments, encoder, options)
    manifest = change.manifest
    if arguments.questions:
        manifest = tune(arguments.out, encoder, arguments.questions)
    return {
        "out": str(arguments.out),
        "records": manifest.counts["records"],
        "documents": manifest.counts["documents"],
        "added": change.added,
        "removed": change.removed,
        **vars(change.tally),
        "licences": manifest.licences,
        "dry_run": False,
        "resumed": change.resumed,
        "encoder": manifest.encoder,
        "fingerprint": manifest.fingerprint,
        "weights": manifest.weights,
        "megabytes": round(sum(entry["bytes"] for entry in manifest.files.values()) / 1e6, 3),
        "seconds": round(time.perf_counter() - started, 2),
    }


def _options(arguments: argparse.Namespace, encoder: FolderEncoder) -> ReadOptions:
    from assistant.errors import RetrievalError
    from retrieval.reading import ReadOptions

    count, limit = encoder.tokens()
    if arguments.tokens is not None and not 16 <= arguments.tokens <= limit:
        raise RetrievalError(f"--tokens is {arguments.tokens}; use 16 to {limit}, what this encoder reads.")
    return ReadOptions(
        budget=arguments.tokens or limit,
        count_tokens=count,
        with_title=True,
        split=arguments.split,
        licence=arguments.licence,
        source=arguments.source,
    )


def _source(corpora: Sequence[str], options: ReadOptions) -> Source:
    from retrieval.sources import read_sources

    return lambda faults, tally: read_sources(corpora, options, faults, tally)


def _prune(arguments: argparse.Namespace) -> Prune | None:
    from retrieval.changes import Prune

    return Prune(tuple(arguments.prune_source), arguments.prune_most) if arguments.prune else None


def _preview(arguments: argparse.Namespace, encoder: Encoder, options: ReadOptions) -> dict[str, int]:
    """Say what an update would add and take out."""
    from retrieval.changes import preview
    from retrieval.index import IndexFolder

    base = IndexFolder.open(arguments.out, encoder.fingerprint)
    return vars(preview(base, _source(arguments.corpus, options), _prune(arguments)))


def _write(arguments: argparse.Namespace, encoder: Encoder, options: ReadOptions) -> Change:
    from retrieval.progress import progress_bar
    from retrieval.write import add_passages, build_streamed

    source, plan = _source(arguments.corpus, options), _plan(arguments)
    with progress_bar("embedding") as progress:
        if arguments.add or arguments.update:
            return add_passages(
                arguments.out,
                source,
                encoder,
                plan=plan,
                replace=arguments.update,
                prune=_prune(arguments),
                progress=progress,
            )
        return build_streamed(
            source,
            encoder,
            arguments.out,
            plan=plan,
            sources=arguments.corpus,
            model=arguments.model,
            near_duplicates=arguments.keep_near_duplicates,
            progress=progress,
        )


def _plan(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the records depend on: options, and the size and time of every file."""
    from retrieval.sources import source_files

    files = [
        [str(path), path.stat().st_size, path.stat().st_mtime_ns]
        for corpus in arguments.corpus
        for path in source_files(corpus)
    ]
    named = {name: getattr(arguments, name) for name in ("tokens", "split", "licence", "source")}
    return {"files": files, **named}


def _delete(arguments: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    from assistant.errors import RetrievalError
    from retrieval.write import delete_documents

    if arguments.dry_run:
        raise RetrievalError("--delete has no dry run; the search command shows what a document holds.")
    removed = delete_documents(arguments.out, encoder, ids=arguments.delete, patient=arguments.delete_patient)
    return {"out": str(arguments.out), "removed": removed, "dry_run": False}


def tune(folder: Path, encoder: Encoder, questions: Path) -> Manifest:
    """Choose on development questions how lists are joined, the dense list's weight, and how much wording counts.

    Args:
        folder: an index folder.
        encoder: the one it was built with.
        questions: JSONL of pairs, as `retrieval.evaluate` reads it.
    Returns:
        The new manifest.
    Raises:
        RetrievalError: the index or the questions cannot be read.
    """
    import dataclasses
    import os

    from retrieval.evaluate import WEIGHT_GRID, read_pairs, recall_at_k
    from retrieval.manifest import MANIFEST_FILE
    from retrieval.retriever import IndexRetriever
    from retrieval.settings import FUSIONS
    from retrieval.tune import fit_wording

    pairs = read_pairs(questions)
    retriever = IndexRetriever.open(folder, encoder)
    scored = []
    for fusion in FUSIONS:
        for weight in WEIGHT_GRID:
            weights = {**retriever.settings.weights, "dense": weight, "lexical": 1.0}
            settings = dataclasses.replace(retriever.settings, weights=weights, fusion=fusion)
            result = recall_at_k(retriever.with_settings(settings), pairs)
            scored.append((round(result.mrr + (result.empty or 0.0) * 0.1, 6), -weight, fusion))
    best = max(scored)
    manifest = retriever.index.manifest
    manifest = dataclasses.replace(
        manifest, weights={**manifest.weights, "dense": -best[1], "lexical": 1.0}, fusion=best[2]
    )
    chosen = dataclasses.replace(retriever.settings, weights=manifest.weights, fusion=manifest.fusion)
    wording = fit_wording(retriever.with_settings(chosen), pairs)
    before = {name: value for name, value in manifest.search.items() if name not in ("form", "title")}
    fitted = {name: wording[name] for name in ("form", "title") if wording[name]}
    manifest = dataclasses.replace(manifest, search={**before, **fitted})
    staged = folder / f"{MANIFEST_FILE}.part"
    staged.write_text(manifest.text(), encoding="utf-8")
    os.replace(staged, folder / MANIFEST_FILE)
    logger.info(
        "dense weight %.2f, joined by %s, form %.1f, title %.1f: chosen on %d questions",
        *(-best[1], best[2], wording["form"], wording["title"], len(pairs)),
    )
    return manifest


def _summary(result: dict[str, Any]) -> str:
    if "records" not in result:
        return f"took {result['removed']} records out of {result['out']}"
    licences = ", ".join(f"{name}: {count}" for name, count in result["licences"].items())
    lines = [
        f"{result['records']} records of {result['documents']} documents ({licences}); left out: "
        f"{result['duplicates']} duplicates, {result['near_duplicates']} near duplicates, "
        f"{result['other_split']} of other splits, {result['empty']} without text"
    ]
    if result["dry_run"] and "pruned" in result:
        lines.append(
            f"the update would embed {result['added']} records and take out {result['removed']}, among them those of "
            f"{result['pruned']} documents that are gone from the corpora"
        )
    if result["dry_run"]:
        lines.append(
            f"estimate for this machine: {result['megabytes']} MB, {result['seconds']:.1f} s; "
            f"dry run: nothing written to {result['out']}"
        )
    else:
        resumed = ", gone on with an earlier attempt" if result["resumed"] else ""
        lines.append(
            f"wrote {result['out']}: {result['added']} records embedded, {result['removed']} taken out, "
            f"{result['megabytes']} MB, fingerprint {result['fingerprint']}, in {result['seconds']} s{resumed}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
