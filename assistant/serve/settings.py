"""`ServeConfig`: the settings of `serve`, the `serve:` part of a settings file."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.errors import ConfigError


@dataclass(frozen=True)
class ServeConfig:
    """How the API listens, whom it lets in, and how much it takes."""

    keys: str | None = None
    """Path of a file with hashed API keys, from `keys add`; null asks for none, on loopback only."""
    page: bool = True
    """Whether the page is served beside the API."""
    audit: str | None = None
    """Path of the audit log; null takes audit.jsonl in the state folder."""
    max_waiting: int = 128
    """Requests that may wait for the model; more are told that the server is busy."""
    max_waiting_each: int = 32
    """Requests of one client that may wait."""
    requests_per_minute: int = 600
    """Of one client; 0 sets no limit."""
    max_body_mb: int = 64
    """Largest request, in MB (10^6 bytes); base64 makes an image a third larger."""
    max_images: int = 4
    """Most images of one request."""
    timeout_s: int = 300
    """Longest time for one request, waiting included."""
    raw: bool = False
    """Write text without retrieval and review, for a gateway in front that does both."""
    upstream: str | None = None
    """Address of an OpenAI-style server that writes the text instead of this process, such as http://127.0.0.1:8000/v1."""
    upstream_model: str | None = None
    """The model's name there; null takes the only one it lists."""
    upstream_hosts: tuple[str, ...] = ()
    """Hosts beside this machine that `upstream` may name: images and questions go there."""
    upstream_key: str | None = None
    """Path of a file that holds the key of the upstream server."""
    upstream_requests: int = 32
    """Requests that the upstream server is sent at once; more wait here."""
    upstream_timeout_s: int = 120
    """Longest time that the upstream server may be silent before or within an answer."""
    upstream_score_here: bool = False
    """Work out the probabilities of its text with the model here, for an upstream server that tells none."""

    def __post_init__(self) -> None:
        least = {"max_waiting": 1, "max_waiting_each": 1, "requests_per_minute": 0, "max_body_mb": 1, "max_images": 1,
                 "timeout_s": 1, "upstream_requests": 1, "upstream_timeout_s": 1}  # fmt: skip
        faults = [
            f"serve.{name} is {getattr(self, name)}; use {low} or more."
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        if self.raw and self.upstream:
            faults.append("serve.raw and serve.upstream are both set; a gateway reviews, so drop one of them.")
        others = (self.upstream_model, self.upstream_key, self.upstream_hosts, self.upstream_score_here)
        if self.upstream is None and any(others):
            faults.append(
                "serve.upstream_model, upstream_key, upstream_hosts and upstream_score_here need serve.upstream; "
                "set it too."
            )
        if faults:
            raise ConfigError(" ".join(faults))
