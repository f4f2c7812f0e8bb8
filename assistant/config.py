"""Settings: `GenerationConfig` for how answers are made, `AssistantConfig` for what a command starts with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from assistant.errors import ConfigError
from assistant.serve.settings import ServeConfig
from assistant.strict import build, read_yaml

SLICE_CHOICES: tuple[str, ...] = ("auto", "unusual", "relevant", "uniform")
"""How slices of a volume are chosen; see `GenerationConfig.slice_choice`."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class GenerationConfig:
    """How answers and reports are made; `generation:` in a settings file."""

    max_new_tokens: int = 96
    """The most tokens of one answer."""
    report_max_new_tokens: int = 256
    """The most tokens of one report, all sections together."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; above 0 samples, the more freely the higher."""
    top_p: float = 1.0
    """When sampling, only the likeliest tokens that together reach this share are drawn from."""
    seed: int = 0
    """Sampling with the same seed, prompt and model gives the same text, alone or in a batch."""
    batch_size: int = 16
    """Questions or studies that are looked at and read together, and questions that are answered together."""
    report_batch: int | None = None
    """Reports that `report` writes at once; on a CPU each takes the less time the more there are. null takes
    `batch_size`, and on a CPU up to three times as many where their keys and values fit into 2 GB."""
    evidence_count: int = 3
    """The most pieces of evidence to retrieve for one answer; 0 retrieves none."""
    evidence_elsewhere: bool = False
    """List evidence under an image although it is on another kind of image, or on another region of the body."""
    evidence_tokens: int | None = None
    """The most tokens that numbered evidence may take in a prompt; null takes what its contract says, or 256."""
    second_search: bool = False
    """Where the first answer is too unsure, put the question to the search in other words and answer once more."""
    nearest_cases: int = 3
    """The most cases of the index, nearest by picture, to show beside a report; 0 shows none."""
    entailment_model: str | None = None
    """Folder of a model that judges whether evidence entails a sentence; null goes by words, meaning and polarity."""
    history_turns: int = 6
    """The most earlier turns of a conversation that go into a prompt, newest kept."""
    abstain_below: float | None = None
    """Confidence under which the assistant abstains; null takes the model's own calibrated thresholds, 0 never."""
    check_reports: bool = True
    """Ask the questions that a report's template has for checks, and hold the report against the answers."""
    augment: bool = True
    """Weigh answers to choose from over altered pictures too, where the model's contract says over which."""
    check_images: bool = True
    """Abstain on pictures unlike anything that the model has seen."""
    slices: int | None = None
    """The most slices of one volume that are put to the model as pictures; null takes what its contract says, or 1."""
    slice_choice: str = "auto"
    """How they are chosen: `unusual`, `relevant` to the question, `uniform`, or `auto`, which weighs the first two."""
    heat: bool = False
    """Work out what each report rests on, for `--formats sc`; it takes as long as 250 short answers."""
    picture_cache: int = 128
    """Encoded pictures that are kept in memory; about 0.6 MB each for a 224-pixel ViT-B/16 in fp32."""
    precision: Literal["exact", "bfloat16", "int8"] = "exact"
    """Of the language model on a CPU: that of its weights, or fewer bits, which is quicker and may change a word."""
    linears: Literal["auto", "packed", "torch"] = "auto"
    """Order of the weights on a CPU: oneDNN's, torch's, or for each shape what was measured to be quicker."""
    decode_attention: Literal["auto", "matmul", "torch"] = "auto"
    """How one new token attends: by two matrix products, by torch's own function, or what was measured."""
    decode_step: Literal["auto", "growing", "static", "graph"] = "auto"
    """How one token of each row is worked out: over what is there (`growing`), over a room of fixed size (`static`),
    or that as one CUDA graph (`graph`); `auto` takes the graph on a GPU."""
    prefix_cache_mb: int = 256
    """Memory for what the language model made of the beginnings of the latest prompts; 0 keeps none."""
    share_prefixes: bool = True
    """Read what several prompts of a batch begin with, such as one picture, once for all of them."""

    picture_side: int | None = None
    """Longest side in pixels that `report` reads pictures at, at the least: larger ones are made smaller while they are
    read, several times faster, and the model sees nearly the same. Twice the model's own side is enough, with tiles
    twice that of all tiles; null reads every pixel."""
    feature_folder: str | None = None
    """Folder for encoded pictures, so that a later run need not encode them again; null keeps none on disk. They tell
    much of what is in a patient's picture: it belongs where the pictures may lie."""
    feature_folder_gb: float = 4.0
    """The most gigabytes of that folder."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {getattr(self, name)}; use {least} or more."
            for name, least in _AT_LEAST.items()
            if getattr(self, name) is not None and getattr(self, name) < least
        ]
        if not 0 < self.top_p <= 1:
            faults.append(f"top_p is {self.top_p}; use a share above 0 and up to 1.")
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            faults.append(f"abstain_below is {self.abstain_below}; use a probability from 0 to 1, or null.")
        if self.slice_choice not in SLICE_CHOICES:
            faults.append(f"slice_choice is {self.slice_choice!r}; use one of {', '.join(SLICE_CHOICES)}.")
        if faults:
            raise ConfigError(" ".join(faults))


_AT_LEAST: dict[str, float] = {
    "max_new_tokens": 1,
    "report_max_new_tokens": 1,
    "temperature": 0,
    "seed": 0,
    "batch_size": 1,
    "report_batch": 1,
    "evidence_count": 0,
    "evidence_tokens": 0,
    "nearest_cases": 0,
    "history_turns": 0,
    "slices": 1,
    "picture_cache": 1,
    "picture_side": 32,
    "feature_folder_gb": 0,
    "prefix_cache_mb": 0,
}


def _names(also: Mapping[str, str], indexes: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the names of further models; they stand in addresses and in logs."""
    faults = [
        f"also names a model {name[:80]!r}; use up to 64 letters, digits and . _ -, a letter or digit first."
        for name in also
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name)
    ]
    faults += [f"also.{name} is empty; use a folder." for name, folder in also.items() if not folder.strip()]
    known = ", ".join(also) or "none"
    return faults + [
        f"also_index names {name[:80]!r}, which is no model of also ({known})." for name in indexes if name not in also
    ]


@dataclass(frozen=True)
class AssistantConfig:
    """What a command starts with; every field can stand in a settings file."""

    model: str = "starter"
    """`starter`, a model folder, or a preset's name."""
    index: str = "default"
    """`default` (shipped with the starter), an index folder, or `none`."""
    also: dict[str, str] = field(default_factory=dict)
    """More models for `chat` and `serve`, `name: folder`; a visitor or a client chooses. Adapters on one base share its
    weights."""
    also_index: dict[str, str] = field(default_factory=dict)
    """The index of one of them, `name: index`, where it is not that of the first model."""
    max_loaded: int = 2
    """The most models in memory at once; the least lately used is let go, and loaded again when it is wanted."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:1`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; `auto` takes what suits the device. float16 is refused on a CPU."""
    quantization: Literal["nf4", "int8", "none"] | None = None
    """How to load the language model's linears; null follows the model's contract on a GPU, and is none on a CPU."""
    encoding: Literal["exact", "float32", "bfloat16", "int8", "auto"] | None = None
    """Number format of the image and text encoder on a CPU; any but `exact` must pass a gate: docs/benchmarks.md.
    null is `exact`, or `auto` where `generation.precision` lets the language model compute in fewer bits."""
    host: str = "127.0.0.1"
    """Address the page listens on. Anything but this machine needs a login."""
    port: int = 7860
    """TCP port the page listens on."""
    login: str | None = None
    """Path of a file with one `name:password` a line; required when `host` is reachable from other machines."""
    templates: tuple[str, ...] = ()
    """Folders and `.yaml` files with report templates, beside those that ship or in place of them."""
    feedback: str = "default"
    """Where what people say of answers is kept: `default` (feedback.sqlite in the state folder), a file,
    `sqlite:///PATH`, `postgresql://…`, or `none`, which takes no feedback."""
    feedback_days: int | None = None
    """Feedback older than this is deleted at each start; null keeps it until `app.py feedback purge`."""
    pixels: Literal["clean", "written", "keep"] = "clean"
    """Text burned into pictures: `clean` blacks it out in all that is shown, written or sent on, and for a model that
    could read it; `written` leaves the model's own input as it is; `keep` leaves everything as it is."""
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """How answers and reports are made."""
    serve: ServeConfig = field(default_factory=ServeConfig)
    """Of the command `serve`: keys, limits, audit log, gateway."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is empty; {mend}"
            for name, mend in (
                ("model", "use starter, a folder or a preset."),
                ("index", "use default, a folder or none."),
                ("host", "use 127.0.0.1."),
            )
            if not getattr(self, name).strip()
        ]
        if not 0 <= self.port <= 65535:
            faults.append(f"port is {self.port}; use 1 to 65535, or 0 for any free one.")
        if self.feedback_days is not None and self.feedback_days < 1:
            faults.append(f"feedback_days is {self.feedback_days}; use 1 or more, or null.")
        faults.extend(_names(self.also, self.also_index))
        if self.max_loaded < 1:
            faults.append(f"max_loaded is {self.max_loaded}; use 1 or more.")
        if self.dtype == "float16" and self.device == "cpu":
            faults.append("dtype is float16 on a cpu, where it is very slow; use bfloat16 or float32.")
        keys_only = self.serve.keys is not None and not self.serve.page
        if self.host.strip() and self.host not in LOOPBACK and self.login is None and not keys_only:
            faults.append(
                f"host is {self.host}, which other machines can reach; set login (--login FILE), or use 127.0.0.1."
            )
        if faults:
            raise ConfigError(" ".join(faults))

    @property
    def encoder_format(self) -> Literal["exact", "float32", "bfloat16", "int8", "auto"]:
        """Number format of the encoder: who lets the language model compute in fewer bits waits for no exact tower."""
        return self.encoding or ("exact" if self.generation.precision == "exact" else "auto")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, where: str = "settings") -> AssistantConfig:
        """Make a configuration from plain values.

        Args:
            values: keys are field names; `generation` holds a mapping of its own.
            where: what is being read, for messages.

        Returns:
            The configuration.

        Raises:
            ConfigError: lists every unknown key, wrong type and refused value.
        """
        return build(cls, values, where=where)

    @classmethod
    def from_yaml(cls, path: str | Path) -> AssistantConfig:
        """Read a configuration from a YAML file.

        Args:
            path: of the file; its keys are the fields of this class.

        Returns:
            The configuration.

        Raises:
            ConfigError: the file cannot be read, or lists every mistake in it.
        """
        return cls.from_mapping(read_yaml(Path(path)), where=str(path))
