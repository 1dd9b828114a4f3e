"""What is shown of a training while it runs: a bar or log line, DVCLive's files and, if set, TensorBoard's.

In: each epoch's scores. Out: `log/` for DVC to plot; event files for `tensorboard --logdir .training`.
"""

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dvclive.live import Live

from stages.core.errors import StageError
from stages.core.progress import Progress

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Curves(Live):
    """DVCLive's files, without its look at the repository: it fails in one without a commit, and may create `.dvc`."""

    def _init_dvc(self) -> None:
        self._dvc_file = self._init_dvc_file()


@contextlib.contextmanager
def record_curves(
    target: str, epochs: int, *, logs: Path, tensorboard: Path | None, quiet: bool = False
) -> Iterator[Callable[[dict[str, float]], None]]:
    """Yield a function that records an epoch's scores.

    Parameters
    ----------
    target
        The label column, for the bar.
    epochs
        Epochs at most.
    logs
        DVCLive's folder, which is replaced.
    tensorboard
        TensorBoard's folder, which is replaced; None: no event files.
    quiet
        Show no bar and no lines.

    Raises
    ------
    StageError
        If TensorBoard is set but not installed.
    """
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(_open_event_files(tensorboard)) if tensorboard else None
        live = stack.enter_context(Curves(dir=str(logs), save_dvc_exp=False, dvcyaml=None, report=None))
        progress = None if quiet else stack.enter_context(Progress(epochs, f"Training {target}", "epochs"))
        count = itertools.count(1)

        def on_epoch(epoch: dict[str, float]) -> None:
            number = next(count)
            for name, value in epoch.items():
                live.log_metric(name, value)
                if writer:
                    writer.add_scalar(name, value, number)
            live.next_step()
            if progress:
                progress.advance(note=_format_epoch(epoch))

        yield on_epoch


def _format_epoch(epoch: dict[str, float]) -> str:
    """Format an epoch's numbers: `loss 1.20/1.31, accuracy 0.61/0.58, macro F1 0.55/0.51, …`, train/val."""
    pairs = (("loss", "loss"), ("accuracy", "accuracy"), ("macro F1", "f1_macro"))
    scores = (f"{name} {epoch[f'train/{key}']:.3f}/{epoch[f'val/{key}']:.3f}" for name, key in pairs)
    return f"train/val {', '.join(scores)}, lr {epoch['lr']:.1e}, {epoch['images_per_s']:,.0f} images/s"


@contextlib.contextmanager
def _open_event_files(folder: Path) -> "Iterator[SummaryWriter]":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise StageError(
            "train.tensorboard needs TensorBoard: install the project with its `tensorboard` extra, or set it to false"
        ) from None
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        yield writer
