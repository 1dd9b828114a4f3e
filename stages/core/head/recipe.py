"""Everything that decides a head's weights besides its data: its own settings and those of its training.

In: the sections `head` and `train` of params.yaml, or the settings in a head.json. Out: one frozen value.
"""

from typing import Any

from stages.core.head.registry import DEFAULT_HEAD, AnyHeadSettings
from stages.core.head.settings import TrainSettings
from stages.core.settings import Settings

# Settings of `train` that change the speed or what is shown, and no weight.
WITHOUT_EFFECT = {"placement", "tensorboard"}


class Recipe(Settings):
    """A head's settings and its training's, as head.json holds them under `settings`."""

    head: AnyHeadSettings = DEFAULT_HEAD
    """The head's own."""
    train: TrainSettings = TrainSettings()
    """Its training's."""

    def decisive(self) -> dict[str, Any]:
        """The settings that decide the weights, as plain values."""
        return self.model_dump(exclude={"train": WITHOUT_EFFECT})


def read_recipe(card: dict[str, Any]) -> Recipe:
    """Read the recipe of a trained head from its card, which must give every setting.

    Raises
    ------
    ValueError
        If a setting is missing, unknown or not allowed.
    """
    recipe = Recipe.model_validate(card["settings"])
    for section, settings in (("head", recipe.head), ("train", recipe.train)):
        if missing := sorted(type(settings).model_fields.keys() - card["settings"].get(section, {}).keys()):
            raise ValueError(f"its head.json lacks the settings {', '.join(missing)} of {section}")
    return recipe
