"""What every test gets: no network, no telemetry, a state folder of its own, one compute thread; and tiny models."""

from __future__ import annotations

import importlib
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel

# Read when the libraries are imported, and inherited by the commands that tests start.
os.environ.update(
    HF_HUB_OFFLINE="1",
    GRADIO_ANALYTICS_ENABLED="False",
    TOKENIZERS_PARALLELISM="false",
    NO_PROXY="127.0.0.1,localhost,::1",
)
# One thread is fastest for the small models of these tests, and the sums come out the same everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# A shell's background job ignores Ctrl-C, and so would every command that a test starts and ends that way.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class OutsideConnectionError(RuntimeError):
    """A test tried to reach another machine."""


def _is_loopback(host: object) -> bool:
    """Whether `host`, an address or a name, is this machine."""
    if host is None or host in ("", "localhost", b"localhost"):
        return True
    text = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


class NetworkGuard:
    """Refuses and notes down every look-up and connection that leaves this machine."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.open = False
        """True while a test marked `download` runs."""

    def check(self, host: object) -> None:
        """Raise OutsideConnectionError unless `host` is this machine."""
        if not self.open and not _is_loopback(host):
            self.tried.append(str(host))
            raise OutsideConnectionError(f"This test tried to reach {host!r}. Use loopback, or mark it `download`.")

    def guarded(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return `socket.connect` or `connect_ex` with the check in front."""

        def checked(connection: socket.socket, address: Any) -> Any:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                self.check(address[0])
            return original(connection, address)

        return checked


@pytest.fixture(scope="session", autouse=True)
def _network_guard() -> Iterator[NetworkGuard]:
    guard = NetworkGuard()
    getaddrinfo = socket.getaddrinfo

    def checked_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        guard.check(host)
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guard.guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guard.guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", checked_getaddrinfo)
        yield guard


@pytest.fixture(autouse=True)
def outside_connections(_network_guard: NetworkGuard, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Fail a test that tried to leave this machine, even when some library swallowed the refusal.

    The list holds the hosts tried so far; a test about the guard itself empties it.
    """
    _network_guard.open = request.node.get_closest_marker("download") is not None
    yield _network_guard.tried
    tried = sorted(set(_network_guard.tried))
    _network_guard.tried.clear()
    if tried:
        pytest.fail(f"tried to reach {', '.join(tried)}; tests use loopback only")


_WORDS = (
    "Is there a glioma in this MRI? Yes. No. What kind of image is this? meningioma benign malignant normal. "
    "Technique: Findings: Impression: The right and left lung are clear. Write a report."
)


def _tokenizer(folder: Path, kind: str) -> Any:
    """A byte-level tokenizer for a language model, or a WordPiece-like one for a BERT."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"] if kind == "bert" else ["<pad>", "<s>", "</s>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([_WORDS] * 3, trainer)
    if kind == "bert":
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    else:
        names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: 32-pixel pictures of 16 patches, two layers everywhere, random weights."""
    from assistant.model.build import assemble_folder
    from assistant.model.openclip import make_openclip_folder

    root = tmp_path_factory.mktemp("tiny")
    encoder = make_openclip_folder(
        root / "encoder",
        timm_name="vit_tiny_patch16_224",
        image_size=32,
        embed_dim=24,
        trunk_args={"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
        },
        tokenizer=_tokenizer(root / "bert", "bert"),
        context_length=64,
    )
    _tokenizer(root / "tokenizer", "llama")
    llm = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
    }
    return assemble_folder(
        encoder, llm, root / "tokenizer", root / "model", name="tiny", capabilities={"text_only": "quote"}
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> LoadedModel:
    """The tiny model, loaded."""
    from assistant.model.load import load_model

    return load_model(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def wide_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose linears are multiples of 32 wide, as the 4-bit routines for CPUs want them."""
    from assistant.model.build import assemble_folder

    root = tiny_folder.parent
    llm = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
    }
    return assemble_folder(root / "encoder", llm, root / "tokenizer", tmp_path_factory.mktemp("wide") / "m")


@pytest.fixture(scope="session")
def make_data() -> Callable[..., None]:
    """Return a function that has a recipe write its files into a new folder: what `build_data` does before its audit.

    The audit reads every picture and draws a card, which takes longer than all else; its own tests hold it.
    """
    from data_recipes.build import RECIPES

    def make(name: str, source: Path | None, out: Path, **options: Any) -> None:
        out.mkdir(parents=True)
        importlib.import_module(RECIPES[name].module).build(source, out, **options)

    return make


@pytest.fixture(autouse=True)
def state_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give every test an empty folder for what the assistant keeps between runs."""
    folder = str(tmp_path_factory.mktemp("state"))
    monkeypatch.setenv("MEDASSIST_STATE_DIR", folder)
    monkeypatch.setattr("assistant.deidentify.shown._rule", "clean")  # a command of an earlier test may have set it
    return folder
