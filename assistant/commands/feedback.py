"""`feedback`: list, export and delete what people said of answers."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from assistant.errors import ConfigError, DataError
from assistant.feedback.address import address_of
from assistant.feedback.records import Feedback
from assistant.feedback.store import FeedbackStore


def run_from(args: argparse.Namespace) -> int:
    """Run the command with its parsed words.

    Args:
        args: of the command line.
    Returns:
        0.
    Raises:
        ConfigError: words are missing, or do not go together.
        DataError: there is no feedback yet, or the database cannot be used.
    """
    faults = _faults(args)
    if faults:
        raise ConfigError(" ".join(faults))
    address = address_of(args.feedback)
    if address is None:
        raise ConfigError("feedback is none, which keeps nothing. Name a file or an address.")
    store = FeedbackStore(address)
    if not store.exists:
        raise DataError(f"{address.shown} does not exist: no feedback was given yet, or it is kept elsewhere.")
    try:
        return {"list": _list, "export": _export, "purge": _purge}[args.action](store, args)
    finally:
        store.close()


def _faults(args: argparse.Namespace) -> list[str]:
    faults = []
    chosen = bool(args.ids) + (args.older_than is not None) + args.all
    if args.action == "purge" and not chosen:
        faults.append("purge needs to be told what: --older-than DAYS, --id ID, or --all.")
    if args.action == "purge" and args.all and chosen > 1:
        faults.append("--all goes with neither --id nor --older-than.")
    if args.older_than is not None and args.older_than < 0:
        faults.append(f"--older-than is {args.older_than}; use 0 or more days.")
    if args.action != "purge" and (chosen or args.pictures):
        faults.append("--older-than, --id, --all and --pictures are for purge.")
    if args.action == "export" and args.out is None:
        faults.append("export needs a new folder: --out DIR.")
    return faults


def _list(store: FeedbackStore, args: argparse.Namespace) -> int:
    """Write one line each; the texts only where they are asked for."""
    count = 0
    for one in store.all():
        count += 1
        if args.json:
            sys.stdout.write(json.dumps(feedback_record(one), ensure_ascii=False) + "\n")
            continue
        what = "accepted" if one.accepted else "corrected" if one.correction else "judged"
        sys.stdout.write(f"{one.id}\t{one.day}\t{one.kind}\t{one.verdict}\t{one.reason or '-'}\t{what}\n")
    sys.stderr.write(f"{count} in {store.address.shown}\n")
    return 0


def feedback_record(one: Feedback) -> dict[str, Any]:
    """Return the JSON form, with the pictures' hashes."""
    return {
        "id": one.id, "day": one.day.isoformat(), "kind": one.kind, "verdict": one.verdict, "reason": one.reason,
        "comment": one.comment, "question": one.question, "options": list(one.options),
        "history": [{"role": role, "content": text} for role, text in one.history], "answer": one.answer,
        "correction": one.correction, "accepted": one.accepted, "modality": one.modality, "anatomy": one.anatomy,
        "confidence": one.confidence, "abstained": one.abstained, "model": one.model, "index": one.index,
        "patient_key": one.patient_key, "study_key": one.study_key,
        "pictures": [{"content_id": picture.content_id, "role": picture.role} for picture in one.pictures],
    }  # fmt: skip


def _export(store: FeedbackStore, args: argparse.Namespace) -> int:
    """Write a folder for its owner alone: all of it, or nothing."""
    out: Path = args.out
    if out.exists():
        raise ConfigError(f"--out {out} is there already; give a new folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        count = 0
        with _private(work / "feedback.jsonl") as stream:
            for one in store.all(pictures=True):
                record = feedback_record(one)
                for place, picture in enumerate(one.pictures):
                    if picture.png is not None:
                        record["pictures"][place]["file"] = name = f"{picture.content_id}.png"
                        with _private(work / name) as image:
                            image.write(picture.png)
                stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                count += 1
        os.replace(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    sys.stdout.write(f"{count} in {out}\n")
    return 0


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _purge(store: FeedbackStore, args: argparse.Namespace) -> int:
    before = None
    if args.older_than is not None:
        before = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=args.older_than)
    count = store.purge(before=before, names=args.ids, every=args.all, pictures_only=args.pictures)
    missing = f" {len(args.ids)} named." if args.ids and not count else ""
    sys.stdout.write(f"{count} {'without pictures now' if args.pictures else 'deleted'}.{missing}\n")
    return 0
