"""Errors a user can mend.

    AssistantError
    ├── ConfigError      a setting or recipe that cannot be meant
    ├── ImageError       a file that is no usable picture
    ├── ModelError       a model folder that is missing, broken or does not fit
    ├── RetrievalError   an index or corpus that is missing, broken or does not fit
    ├── DataError        a data file or record that breaks the format
    ├── TrainingError    a training run that cannot start or go on
    ├── PacsError        an archive that cannot be reached or refuses
    ├── ExportError      a report that cannot be written in a format
    └── WorklistError    a report run that cannot start or go on

Every message says what was wrong, the value seen, and what to do about it.
The library raises them; only a command's `main()` turns one into an exit code.
A wrong call by a programmer is a plain `ValueError` or `TypeError` instead.
"""


class AssistantError(Exception):
    """Base of every error that the person at the keyboard can mend."""


class ConfigError(AssistantError):
    """A setting or recipe has a value that cannot be meant."""


class ImageError(AssistantError):
    """A file or some bytes could not become a picture."""


class ModelError(AssistantError):
    """A model folder is missing, broken, or does not fit what it is used with."""


class RetrievalError(AssistantError):
    """An index or corpus is missing, broken, or built for another encoder."""


class DataError(AssistantError):
    """A data file or one of its records breaks the format."""


class TrainingError(AssistantError):
    """A training run cannot start or cannot go on."""


class WorklistError(AssistantError):
    """A report run cannot start or cannot go on."""


class ExportError(AssistantError):
    """A report cannot be written in a format from these inputs."""


class PacsError(AssistantError):
    """An image archive cannot be reached, refuses, or is named in a way that cannot be meant."""
