"""The commands: `python app.py [chat] | ask | report | serve | deidentify | doctor | …`, installed as `medassist` too.

Only `argparse` is imported here at the top, so that `--help` answers at once; each command imports what it needs.
Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 some items failed or something is wrong,
2 wrong usage or input that cannot be used, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import assistant
from assistant import __version__
from assistant.commands.hospital_options import add_archive_options, add_listen_options, add_retell_commands
from assistant.commands.model_options import add_model_options, model_values
from assistant.commands.options import (
    add_access_commands,
    add_ask_options,
    add_deidentify_command,
    add_feedback_command,
    add_listening_options,
    add_report_options,
    add_serve_options,
    add_slice_options,
    generation_values,
    serve_values,
    shared_options,
)
from assistant.ending import last_words
from assistant.errors import AssistantError, RetrievalError

if TYPE_CHECKING:
    from assistant.commands.opened import Opened, Opener
    from assistant.config import AssistantConfig
    from assistant.evidence import Retriever
    from assistant.model.load import LoadedModel

ACCESS = ("keys", "users", "audit")
COMMANDS = (
    *("chat", "ask", "report", "listen", "serve", "deidentify", "plain", "summary", "doctor"),
    *(*ACCESS, "feedback"),
)
DISCLAIMER = "For research. Not for clinical use: every answer and report is a draft for a professional to check."


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="medassist",
        description="Ask about medical images, with evidence, and draft reports. Without a command: chat.",
        epilog=DISCLAIMER,
    )
    parser.add_argument("--version", action="version", version=f"medassist {__version__}")
    shared = shared_options()
    commands = parser.add_subparsers(dest="command", metavar="{" + ",".join(COMMANDS) + "}", required=True)

    chat = commands.add_parser("chat", parents=[shared], help="open the page in a browser (default)", epilog=DISCLAIMER)
    add_listening_options(chat)

    ask = commands.add_parser("ask", parents=[shared], help="one question, one answer", epilog=DISCLAIMER)
    add_ask_options(ask)

    report = commands.add_parser("report", parents=[shared], help="draft reports for many images", epilog=DISCLAIMER)
    add_report_options(report)
    add_archive_options(report)

    for command in (ask, report):
        add_slice_options(command)

    listen = commands.add_parser(
        "listen", parents=[shared], help="receive studies and report on them", epilog=DISCLAIMER
    )
    add_listen_options(listen)

    serve = commands.add_parser("serve", parents=[shared], help="the OpenAI-style API, and the page", epilog=DISCLAIMER)
    add_listening_options(serve)
    add_serve_options(serve)

    doctor = commands.add_parser("doctor", parents=[shared], help="check this installation", epilog=DISCLAIMER)
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    for command in (chat, serve, doctor):
        add_model_options(command)
    add_access_commands(commands, DISCLAIMER)
    add_deidentify_command(commands, DISCLAIMER)
    add_feedback_command(commands, DISCLAIMER)
    add_retell_commands(commands, DISCLAIMER)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; None takes this process's own.
    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "chat")
    try:
        args = build_parser().parse_args(words)
    except SystemExit as stop:  # argparse has written its message
        return int(stop.code or 0)
    try:
        return _run(args)
    except AssistantError as error:
        sys.stderr.write(f"medassist: {error}\n")
        return 2
    except KeyboardInterrupt:
        more = " The same command goes on where this one ended." if args.command in ("report", "listen") else ""
        sys.stderr.write(f"\nmedassist: interrupted.{more}\n")
        return 130
    except BrokenPipeError:  # the reader of stdout has gone, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if getattr(args, "verbose", False):
            raise
        told, code = last_words(error)
        sys.stderr.write(f"medassist: {told}\n")
        return code


def _run(args: argparse.Namespace) -> int:
    """Hand the parsed words to the command."""
    if args.command == "audit":
        from assistant.commands.audit import run_audit

        return run_audit(args.file, head=args.head)
    if args.command in ACCESS:
        from assistant.commands.access import run_access

        return run_access(args.command, args.action, args.file, args.name)
    if args.command == "feedback":
        from assistant.commands.feedback import run_from as run_feedback

        return run_feedback(args)
    _quiet(args)
    if args.command == "deidentify":
        from assistant.commands.deidentify import run_from

        return run_from(args)
    if args.command in ("plain", "summary"):
        from assistant.commands.retell import run_from as run_retell

        return run_retell(args)
    config = _config(args)
    _stay_offline(config.model)
    if args.command == "ask":
        from assistant.commands.ask import run_ask

        asked = {name: getattr(args, name) for name in ("images", "question", "frame", "window")}
        return run_ask(config, _open, **asked, as_json=args.json)
    if args.command == "listen":
        from assistant.commands.listen import run_from as run_listen

        return run_listen(args, config, _open)
    if args.command == "report":
        from assistant.commands.report_from import run_from as run_report

        return run_report(args, config, _open)
    if args.command == "doctor":
        from assistant.doctor import run_doctor

        return run_doctor(config, _opener(config), as_json=args.json)
    if args.command == "serve":
        from assistant.commands.serve import run_serve

        return run_serve(config, _opener(config))
    from assistant.commands.chat import run_chat

    return run_chat(config, _opener(config))


def _quiet(args: argparse.Namespace) -> None:
    """Keep libraries from reporting usage, drawing bars or warning about their own future."""
    import logging
    import warnings

    for name, value in {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "BITSANDBYTES_NOWELCOME": "1",
    }.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s"
    )
    if not args.verbose:
        warnings.simplefilter("ignore")


def _stay_offline(model: str) -> None:
    """Forbid look-ups of the model hub when everything is on this disk already."""
    if model == "starter" or Path(model).expanduser().is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


def _config(args: argparse.Namespace) -> AssistantConfig:
    """Return the settings of `--config`, or the defaults, with the command line's own over them."""
    from dataclasses import replace

    from assistant.config import AssistantConfig
    from assistant.deidentify.shown import take_rule

    values: dict[str, object] = {}
    if args.config:
        from assistant.strict import read_yaml

        values = dict(read_yaml(Path(args.config)))
    for name in ("model", "index", "templates", "host", "port", "login", "feedback", "encoding", "pixels"):
        given = getattr(args, name, None)
        if given is not None:
            values[name] = given
    values |= model_values(args)
    for name, given in (("serve", serve_values(args)), ("generation", generation_values(args))):
        if given:
            before = values.get(name)
            values[name] = {**(before if isinstance(before, dict) else {}), **given}
    config = AssistantConfig.from_mapping(values, where=args.config or "the command line")
    take_rule(config.pixels)
    if getattr(args, "batch_size", None) is not None:
        config = replace(config, generation=replace(config.generation, batch_size=args.batch_size))
    return config


def _opener(config: AssistantConfig) -> Opener:
    """Return what loads one model, or several of which adapters on one base share its weights."""
    if not config.also:
        return _open
    from assistant.model.sharing import Bases

    bases = Bases()
    return lambda one: _open(one, bases.load)


def _open(config: AssistantConfig, load: Callable[..., LoadedModel] | None = None) -> Opened:
    """Load the model and the index that the settings name, and join them."""
    from assistant.chat import MedicalAssistant
    from assistant.commands.opened import Opened
    from assistant.deidentify.shown import take_rule
    from assistant.model.load import load_model
    from assistant.template_files import load_templates

    take_rule(config.pixels)  # an actor on another machine has read no command line
    templates = load_templates(config.templates)  # first: a mistake in one is told before the model loads
    model = (load or load_model)(
        config.model, device=config.device, dtype=config.dtype, quantization=config.quantization,
        encoding=config.encoder_format,
    )  # fmt: skip
    retriever = _open_index(config.index, model)
    writer = None
    if config.serve.upstream:
        from assistant.serve.upstream import UpstreamWriter

        writer = UpstreamWriter(config.serve, config.generation)
    made = MedicalAssistant(model, retriever, config.generation, writer, templates)
    if writer is not None:
        writer.scorer = made.scorer
    return Opened(
        assistant=made,
        model_name=model.name,
        model_fingerprint=model.fingerprint,
        index_fingerprint=retriever.fingerprint if retriever else None,
        upstream=writer.link if writer else None,
    )


def _open_index(name: str, model: LoadedModel) -> Retriever | None:
    """Open an index for this model's encoder; `none` is none."""
    if name == "none":
        return None
    from retrieval.encoder import ModelEncoder
    from retrieval.stores.open import is_store, open_retriever

    if is_store(name):
        return open_retriever(name, ModelEncoder(model))
    folder = Path(assistant.__file__).parent / "starter" / "index" if name == "default" else Path(name).expanduser()
    if not folder.is_dir():
        raise RetrievalError(
            f"The index {folder} does not exist. Name an index folder, make one with "
            "`python -m retrieval.build CORPUS --out DIR`, or go without evidence: --index none."
        )
    return open_retriever(str(folder), ModelEncoder(model))


if __name__ == "__main__":
    sys.exit(main())
