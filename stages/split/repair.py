"""Move duplicate groups between the parts of a split until every class has its share of images.

In: a split that is nearly right. Out: a split that keeps the promise wherever moving or exchanging groups allows it.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array, hstack

from stages.split.classes import GroupClasses

# The promise: a class misses its share by at most one image or this share of the class, whichever is more.
ALLOWED_IMAGES, ALLOWED_SHARE = 1.0, 0.02
CANDIDATES = 256
# A step is made only if it improves the split, so this bounds the time where no split keeps the promise.
MOST_STEPS = 5000


def allowed_deviation(sizes: np.ndarray) -> np.ndarray:
    """Images by which a class of each size may miss its share in a part."""
    return np.maximum(ALLOWED_IMAGES, ALLOWED_SHARE * sizes)


class Shares:
    """The images that every class should have in every part, and the cost of missing them.

    Parameters
    ----------
    ratios
        Shape `(3,)`.
    classes
        Images per group and class. The images of all classes together count as one more class.
    """

    def __init__(self, ratios: np.ndarray, classes: GroupClasses) -> None:
        everything = csr_array(classes.sizes[:, None])
        self.counts = csr_array(hstack([everything, classes.counts], format="csr"))
        self.totals = np.asarray(self.counts.sum(axis=0), dtype=float)
        self.wanted = ratios[:, None] * self.totals
        self.allowed = allowed_deviation(self.totals)
        self.used = (ratios > 0)[:, None]

    def per_part(self, parts: np.ndarray) -> np.ndarray:
        """Images of each class in each part, shape `(3, c)`."""
        return np.stack([np.asarray(self.counts[parts == part].sum(axis=0)) for part in range(3)])

    def excess(self, images: np.ndarray, part: int | slice = slice(None)) -> np.ndarray:
        """How far each class is beyond the allowed deviation; a class that a part lacks counts one image more.

        Broadcasts.
        """
        beyond = np.maximum(np.abs(images - self.wanted[part]) - self.allowed, 0)
        lacking = (images == 0) & self.used[part] & (self.totals > 0)
        return np.asarray(beyond + lacking)

    def badness(self, images: np.ndarray, part: int) -> np.ndarray:
        """What a step must lower: the excess above all, then the deviation; summed over classes."""
        deviation = (images - self.wanted[part]) / self.allowed
        return np.asarray((self.excess(images, part) + 1e-4 * deviation**2).sum(axis=-1))


def repair(parts: np.ndarray, shares: Shares, *, movable: np.ndarray, random_state: int) -> np.ndarray:
    """Move or exchange groups while that brings classes closer to their allowed deviation.

    Parameters
    ----------
    parts
        The part of each group, shape `(g,)`, 0 to 2.
    shares
        What is wanted.
    movable
        Groups that may change their part, shape `(g,)`, bool.
    random_state
        Seed of the choice among many candidates.
    """
    parts = parts.copy()
    rng = np.random.default_rng(random_state)
    images = shares.per_part(parts)
    by_class = shares.counts.tocsc()
    for _ in range(MOST_STEPS):
        for part, column in _violations(shares, images):
            members = by_class.indices[by_class.indptr[column] : by_class.indptr[column + 1]]
            step = _best_step(parts, images, shares, members[movable[members]], part, column, movable, rng)
            if step is not None:
                for group, target in step:
                    row = shares.counts[[group]].toarray()[0]
                    images[parts[group]] -= row
                    images[target] += row
                    parts[group] = target
                break
        else:
            break
    return parts


def _violations(shares: Shares, images: np.ndarray) -> Iterator[tuple[int, int]]:
    """Parts and classes that break the promise, the worst first."""
    excess = shares.excess(images)
    for place in np.argsort(-excess, axis=None, kind="stable")[: np.count_nonzero(excess)]:
        part, column = divmod(int(place), excess.shape[1])
        yield part, column


def _best_step(
    parts: np.ndarray,
    images: np.ndarray,
    shares: Shares,
    members: np.ndarray,
    part: int,
    column: int,
    movable: np.ndarray,
    rng: np.random.Generator,
) -> list[tuple[int, int]] | None:
    """The move, or else the exchange, of groups with this class that helps most; None if none does."""
    surplus = images[part, column] > shares.wanted[part, column]
    others = [other for other in range(3) if other != part and shares.used[other, 0]]
    ways = [(part, other) if surplus else (other, part) for other in others]
    best, step = -1e-9, None
    for exchange in (False, True):
        for source, target in ways:
            leaving = _sample(members[parts[members] == source], rng)
            if exchange:
                coming = _sample(np.flatnonzero((parts == target) & movable), rng)
                pairs = min(len(leaving) * len(coming), 4 * CANDIDATES)
                leaving = rng.choice(leaving, pairs) if pairs else leaving[:0]
                coming = rng.choice(coming, pairs) if pairs else coming[:0]
            if not len(leaving):
                continue
            change = shares.counts[leaving].toarray()
            if exchange:
                change = change - shares.counts[coming].toarray()
            before = shares.badness(images[source], source) + shares.badness(images[target], target)
            after = shares.badness(images[source] - change, source) + shares.badness(images[target] + change, target)
            choice = int(np.argmin(after))
            if after[choice] - before < best:
                best = after[choice] - before
                step = [(int(leaving[choice]), target)] + ([(int(coming[choice]), source)] if exchange else [])
        if step:
            return step
    return None


def _sample(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return groups if len(groups) <= CANDIDATES else rng.choice(groups, CANDIDATES, replace=False)
