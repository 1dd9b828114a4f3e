"""The heads that exist: one entry each, with its title, its settings and its model.

In: the `head` section of params.yaml or of a head.json. Out: its settings by its `kind`, and the model built from them.
A model is imported when it is built: it needs torch, and reading params.yaml must not wait for that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationError
from pydantic_core import InitErrorDetails

from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.settings import HeadSettings

if TYPE_CHECKING:
    from stages.core.head.protocol import Head


@dataclass(frozen=True)
class HeadKind:
    """A kind of head.

    Attributes
    ----------
    title
        Its name in tables and sentences.
    settings
        The class of its settings, whose `kind` is its key in `HEADS`.
    load_model
        Imports the class of its model.
    """

    title: str
    settings: type[HeadSettings]
    load_model: "Callable[[], type[Head[Any]]]"


def _load_lstm() -> "type[Head[Any]]":
    from stages.core.head.lstm import LSTMHead

    return LSTMHead


HEADS = {"lstm": HeadKind("LSTM head", LSTMSettings, _load_lstm)}
DEFAULT_HEAD: HeadSettings = LSTMSettings()


def read_head_settings(section: object) -> HeadSettings:
    """Check a `head` section by the settings class of its kind; without a kind it is the default head's.

    Examples
    --------
    >>> read_head_settings({"hidden_size": 32}).kind
    'lstm'
    """
    if isinstance(section, HeadSettings):
        return section
    kind = section.get("kind", DEFAULT_HEAD.kind) if isinstance(section, dict) else DEFAULT_HEAD.kind
    if kind not in HEADS:
        expected = {"expected": " or ".join(map(repr, HEADS))}
        problem = InitErrorDetails(type="literal_error", loc=("kind",), input=kind, ctx=expected)
        raise ValidationError.from_exception_data("head", [problem])
    return HEADS[kind].settings.model_validate(section)


AnyHeadSettings = Annotated[
    HeadSettings, PlainValidator(read_head_settings), PlainSerializer(lambda settings: settings.model_dump())
]


def build_head(settings: HeadSettings, *, channels: int, classes: int) -> "Head[Any]":
    """Build an untrained head.

    Parameters
    ----------
    settings
        Of its kind.
    channels, classes
        Size of a token and number of logits.
    """
    return HEADS[settings.kind].load_model()(settings, channels=channels, classes=classes)
