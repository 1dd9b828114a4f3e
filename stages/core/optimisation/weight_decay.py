"""Which parameters AdamW decays: matrices; not biases, scales and other vectors, which have nothing to overfit with.

In: parameters. Out: parameter groups for the optimizer. Learning rates are left to the caller.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn


def split_by_decay(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters that learn into at most two groups: matrices, which decay, and vectors, which do not.

    Parameters
    ----------
    parameters
        Frozen ones are left out.
    weight_decay
        Decoupled weight decay of the matrices (Loshchilov and Hutter, "Decoupled weight decay", 2019).

    Returns
    -------
    list of dict
        `{"params", "weight_decay"}` for `torch.optim.AdamW`; a group without members is left out.

    Examples
    --------
    >>> [(len(group["params"]), group["weight_decay"]) for group in split_by_decay(nn.Linear(3, 2).parameters(), 0.1)]
    [(1, 0.1), (1, 0.0)]
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    groups = (
        (weight_decay, [parameter for parameter in learning if parameter.ndim > 1]),
        (0.0, [parameter for parameter in learning if parameter.ndim <= 1]),
    )
    return [{"params": members, "weight_decay": decay} for decay, members in groups if members]
