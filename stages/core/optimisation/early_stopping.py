"""Early stopping on a validation score: which epoch is the best so far, and whether to stop.

In: each epoch's score. Out: whether it is the best, and whether another epoch is worth its time. Keeping the best
epoch's weights is left to the caller.
"""

from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """The best epoch so far.

    Attributes
    ----------
    best_epoch
        From 1; 0 before the first.
    best_score
        Its score; -1 before the first.

    Examples
    --------
    >>> stopping = EarlyStopping()
    >>> [stopping.improves(epoch, score) for epoch, score in enumerate([0.5, 0.7, 0.7, 0.6], start=1)]
    [True, True, False, False]
    >>> stopping.best_epoch, stopping.is_over(4, epochs=9, patience=2), stopping.is_over(4, epochs=9, patience=3)
    (2, True, False)
    """

    best_epoch: int = 0
    best_score: float = -1.0

    def improves(self, epoch: int, score: float) -> bool:
        """Record an epoch's score; whether it is higher than every earlier one."""
        if score > self.best_score:
            self.best_epoch, self.best_score = epoch, score
            return True
        return False

    def is_over(self, done: int, *, epochs: int, patience: int) -> bool:
        """Whether training ends after `done` epochs: there are no more, or the best one is `patience` epochs old."""
        return done >= epochs or done - self.best_epoch >= patience
