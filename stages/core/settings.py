"""The base of every stage's settings class: frozen, typed, and strict about what it is given."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings that cannot change once made and that refuse unknown keys and wrong types.

    A number written as text, or `true` where a number belongs, is an error rather than a guess.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
