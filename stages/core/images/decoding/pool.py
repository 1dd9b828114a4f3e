"""The decoding processes of a stage: a decoder that crashes or hangs costs one image and not the run.

In: a task and items, from any thread. Out: for each item the bytes that the task made of it, or the reason why it
cannot be used. What a task is, is left to the stages.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from stages.core.errors import StageError
from stages.core.images.decoding.process import GRACE_S, Answer, DecoderDied, DecoderProcess, Item, Task
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.patience import ensure_it_answers

STOPPED = "decoding was stopped"


class Decoders:
    """Decoding processes, one for every thread that asks at the same time; a context manager.

    Parameters
    ----------
    at_most
        Processes; further threads wait. None starts as many as threads ask at once.

    Examples
    --------
    >>> from pathlib import Path
    >>> with Decoders() as decoders:
    ...     decoders.decode(ImageFolder.read, ImageFolder(Path("nowhere")), ["a.jpg"])
    [UnusableImage('missing', 'no such file')]
    """

    def __init__(self, at_most: int | None = None) -> None:
        self._idle: list[DecoderProcess] = []
        self._all: set[DecoderProcess] = set()
        self._lock = threading.Lock()
        self._places = threading.Semaphore(at_most) if at_most else None
        self._closed = False

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; threads that wait for an answer get a `StageError`."""
        with self._lock:
            self._closed = True
            idle, busy = self._idle, self._all.difference(self._idle)
            self._idle, self._all = [], set()
        for process in busy:
            process.kill()
        for process in idle:
            process.end()

    def decode(self, task: Task[Item], images: ImageFolder, items: Sequence[Item]) -> list[Answer]:
        """Have a task done for every item in a decoding process.

        A process that dies is replaced. The image that it died of is tried once more, since the system may have run out
        of memory; if that fails too, the reason is decoder_crashed. An image that took too long is not tried again.

        Parameters
        ----------
        task
            A function of a module, or a `functools.partial` of one: from the folder and an item to bytes. It raises
            `UnusableImage` for what cannot be used.
        images
            The image root, with the limits of memory and time.
        items
            What the task gets, one after another.

        Returns
        -------
        list
            Bytes or an `UnusableImage` per item, in order.

        Raises
        ------
        StageError
            If no decoding process can be started, the disk of the images does not answer, or `close` was called
            meanwhile.
        """
        if self._places is None:
            return self._decode(task, images, items)
        with self._places:
            return self._decode(task, images, items)

    def _decode(self, task: Task[Item], images: ImageFolder, items: Sequence[Item]) -> list[Answer]:
        answers: list[Answer] = []
        tried = -1
        while len(answers) < len(items):
            process = self._take()
            try:
                answers += process.decode(task, images, items[len(answers) :])
            except DecoderDied as death:
                self._forget(process)
                answers += death.answers
                if death.timed_out:
                    if images.root != Path(images.root.anchor):  # else each file may be on another disk
                        ensure_it_answers(images.root, images.limits.timeout_s + GRACE_S)
                    detail = f"not decoded within clean.timeout_s = {images.limits.timeout_s:g} s"
                    answers.append(UnusableImage("decoder_timeout", detail))
                elif tried == len(answers):
                    detail = f"the decoding process ended with {death.cause}, twice"
                    answers.append(UnusableImage("decoder_crashed", detail))
                else:
                    tried = len(answers)
            except BaseException:
                self._forget(process)
                raise
            else:
                self._put_back(process)
        return answers

    def _take(self) -> DecoderProcess:
        with self._lock:
            if self._closed:
                raise StageError(STOPPED)
            if self._idle:
                return self._idle.pop()
        process = DecoderProcess()
        with self._lock:
            if not self._closed:
                self._all.add(process)
                return process
        process.end()
        raise StageError(STOPPED)

    def _put_back(self, process: DecoderProcess) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(process)

    def _forget(self, process: DecoderProcess) -> None:
        with self._lock:
            self._all.discard(process)


@lru_cache
def worker_decoders() -> Decoders:
    """The decoding processes of a worker of joblib, kept from one unit of work to the next; they end with it."""
    return Decoders()


def read_in_decoder(decoders: Decoders, task: Task[Item], images: ImageFolder, item: Item) -> bytes:
    """Have a task done for one item.

    Raises
    ------
    UnusableImage
        With the reason, if the item cannot be used.
    """
    [answer] = decoders.decode(task, images, [item])
    if isinstance(answer, UnusableImage):
        raise answer
    return answer
