"""The report templates at hand: those that ship with the package, and a person's own beside or in place of them."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from assistant.errors import ConfigError
from assistant.report_template import AUTO, GENERIC, ReportTemplate, template_of
from assistant.strict import read_yaml

_SHIPPED = Path(__file__).parent / "templates"
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class Templates:
    """Templates by name."""

    by_name: Mapping[str, ReportTemplate]
    """In the order in which they are tried: a person's own first, then those that ship, `generic` last."""
    own: frozenset[str] = frozenset()
    """Names of those that do not ship with the package."""

    def __iter__(self) -> Iterator[ReportTemplate]:
        return iter(self.by_name.values())

    def get(self, name: str) -> ReportTemplate:
        """Return the template of a name.

        Args:
            name: any but `auto`, which names none.
        Returns:
            The template.
        Raises:
            ConfigError: there is none of this name; the message names those that there are.
        """
        found = self.by_name.get(name)
        if found is None:
            raise ConfigError(self.unknown(name))
        return found

    def unknown(self, name: str) -> str:
        """Say that there is no template of a name, and which there are."""
        near = difflib.get_close_matches(name, self.by_name, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return (
            f"There is no report template {name!r}. {hint}Use {AUTO} or one of {', '.join(sorted(self.by_name))}; "
            "your own go into a folder for --templates."
        )

    def check(self, names: Sequence[str]) -> None:
        """Refuse names that stand for no template.

        Args:
            names: `auto` among them is allowed.
        Raises:
            ConfigError: lists every unknown name.
        """
        faults = [self.unknown(name) for name in dict.fromkeys(names) if name != AUTO and name not in self.by_name]
        if faults:
            raise ConfigError(" ".join(faults))

    def key(self, name: str) -> str:
        """Return what stands for a template in a study's id.

        Templates that ship belong to the program and stand by name; a person's own stand by their content, so that an
        edited one makes new reports.
        """
        contents = {one: asdict(self.by_name[one]) for one in sorted(self.own) if name in (one, AUTO)}
        if not contents:
            return name
        return f"{name} {hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]}"


@lru_cache(maxsize=1)
def shipped() -> Templates:
    """Return the templates that ship with the package.

    Returns:
        The templates.
    Raises:
        ConfigError: a file was changed so that it breaks the form.
    """
    return Templates(_in_order(read_templates(sorted(_SHIPPED.glob("*.yaml")))))


def load_templates(sources: Sequence[Path | str] = ()) -> Templates:
    """Return the templates that ship, and those of some folders and files.

    Args:
        sources: folders with `.yaml` files, or such files. A template of a name that is there already takes its place.
    Returns:
        The templates.
    Raises:
        ConfigError: lists every mistake of every file.
    """
    if not sources:
        return shipped()
    own = read_templates([file for source in sources for file in _files(Path(source).expanduser())])
    rest = {name: one for name, one in shipped().by_name.items() if name not in own}
    return Templates(_in_order({**own, **rest}), frozenset(own))


def read_templates(files: Sequence[Path]) -> dict[str, ReportTemplate]:
    """Read template files.

    Args:
        files: one template each.
    Returns:
        The templates by name.
    Raises:
        ConfigError: lists every mistake of every file; two files with one name are a mistake.
    """
    found: dict[str, ReportTemplate] = {}
    origin: dict[str, Path] = {}
    faults: list[str] = []
    for file in files:
        try:
            template = template_of(read_yaml(file), where=str(file))
        except ConfigError as error:
            faults.append(str(error))
            continue
        if template.name in found:
            faults.append(f"{origin[template.name]} and {file} are both named {template.name!r}. Rename one of them.")
        found[template.name], origin[template.name] = template, file
    if faults:
        raise ConfigError("\n".join(faults))
    return found


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file())
        if not files:
            raise ConfigError(f"The folder {source} holds no .yaml file. Put one template a file into it.")
        return files
    if not source.exists():
        raise ConfigError(f"The template {source} does not exist. Name a .yaml file, or a folder of them.")
    return [source]


def _in_order(templates: Mapping[str, ReportTemplate]) -> dict[str, ReportTemplate]:
    """Put `generic` last."""
    return dict(sorted(templates.items(), key=lambda pair: pair[0] == GENERIC))


def listing(templates: Templates) -> str:
    """Return the templates as a table in plain text, one line each.

    Args:
        templates: to list.
    Returns:
        Name, what it is for, and where it is from.
    """
    rows = [("NAME", "TITLE", "FOR", "CRITICAL FINDINGS", "FROM")]
    for one in sorted(templates, key=lambda template: template.name):
        regions = ", ".join(one.anatomy[:3]) + (", …" if len(one.anatomy) > 3 else "")
        kinds = f"{one.modality or 'any image'}{f': {regions}' if regions else ''}"
        origin = "your own" if one.name in templates.own else "shipped"
        rows.append((one.name, one.title, kinds, str(len(one.critical)), origin))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)
