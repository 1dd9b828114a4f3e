"""The learning rate of a head's next step, by the schedule that the settings name.

In: the settings, the epochs done and the validation scores so far. Out: the rate.
"""

from collections.abc import Sequence

from stages.core.head.settings import TrainSettings
from stages.core.optimisation.schedules import fall_along_cosine, follow_one_cycle, halve_at_plateaus, rise_linearly

# The first step of a warm-up has the rate of this many epochs: at 0 it would change nothing.
FIRST_STEP_EPOCHS = 0.01


def learning_rate(settings: TrainSettings, epochs_done: float, scores: Sequence[float] = ()) -> float:
    """Compute the learning rate of a step.

    Parameters
    ----------
    settings
        `lr`, `schedule`, `warmup_epochs` and `epochs`.
    epochs_done
        Passes over the train split before this step: 2.5 in the middle of the third.
    scores
        Validation macro F1 of the epochs so far, which only `plateau` uses.
    """
    lr, warmup = settings.lr, settings.warmup_epochs
    if settings.schedule == "one_cycle":
        return follow_one_cycle(lr, epochs_done, settings.epochs)
    if epochs_done < warmup:
        return rise_linearly(lr, max(epochs_done, FIRST_STEP_EPOCHS), warmup)
    if settings.schedule == "plateau":
        return halve_at_plateaus(lr, scores)
    # A share first: π · (a / b) and π · a / b differ in the last bit, and so would the weights of a given seed.
    return fall_along_cosine(lr, (epochs_done - warmup) / max(settings.epochs - warmup, 1e-9))
