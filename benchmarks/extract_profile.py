"""Measure where the cores' time goes while `extract_features` runs, with a clock around each part.

In: a function that runs it. Out: seconds per part, each without the parts within it, summed over all threads. Images
are decoded on the threads that otherwise wait for their decoding processes, where no clock of this process would reach.
"""

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import cache.writer
import stages.core.extraction.forward
import stages.core.extraction.stream
import stages.core.images.files
import stages.core.images.views
import stages.core.networks.feature_extractor
import stages.extract.extract_features
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.images.views import ViewsOfFile

# What is timed, under which name; the network is timed as the pipeline calls it.
PARTS = [
    (stages.core.extraction.stream, "load_extractor", "start: read and fold the weights"),
    (stages.core.networks.feature_extractor.FeatureExtractor, "prepare_for", "start: pack them"),
    (stages.core.images.files, "_read_under", "read"),
    (stages.core.images.files, "open_image", "decode"),
    (stages.core.images.views, "load_pixels", "decode"),
    (stages.core.images.views, "to_rgb", "decode"),
    (stages.core.images.views, "cut_view", "transform: resize and crop"),
    (stages.core.images.views, "load_views", "transform: SHA-256 and the rest"),
    (stages.core.networks.feature_extractor, "scale", "forward: normalise"),
    (stages.core.networks.feature_extractor, "to_map", "forward: pool"),
    (stages.core.extraction.forward.ForwardPass, "__call__", "forward: cast, pool, pad"),
    (cache.writer.ShardWriter, "append", "write: gather and checksum"),
    (stages.extract.extract_features, "_publish", "write: publish"),
]


class Clock:
    """Seconds by name; a part inside another one stops the other's clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.lock, self.inside = threading.Lock(), threading.local()

    def timed(self, function: Callable, name: str) -> Callable:
        """The function with a clock around it."""

        @functools.wraps(function)
        def run(*arguments: object, **options: object) -> object:
            outer, self.inside.seconds = getattr(self.inside, "seconds", 0.0), 0.0
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                took = time.perf_counter() - started
                with self.lock:
                    self.seconds[name] += took - self.inside.seconds
                self.inside.seconds = outer + took

        return run


def load_views_here(decoders: object, images: ImageFolder, wanted: Sequence[ViewsOfFile]) -> list[object]:
    """Do on this thread what `load_views_apart` has a decoding process do."""
    found: list[object] = []
    for file in wanted:
        try:
            found.append(
                stages.core.images.views.load_views(images, file.image, file.key, file.transform, views=file.views)
            )
        except UnusableImage as problem:
            found.append(problem)
    return found


@contextmanager
def clocked() -> Iterator[Clock]:
    """Put clocks around the parts for the duration of a block."""
    clock = Clock()
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in PARTS]
    before.append((stages.core.extraction.stream, "load_views_apart", stages.core.extraction.stream.load_views_apart))
    extractor = stages.core.networks.feature_extractor.FeatureExtractor
    init = extractor.__init__

    def with_clock(self: object, *arguments: object, **options: object) -> None:
        init(self, *arguments, **options)
        self.network.forward_features = clock.timed(self.network.forward_features, "forward: network")

    for owner, attribute, name in PARTS:
        setattr(owner, attribute, clock.timed(getattr(owner, attribute), name))
    stages.core.extraction.stream.load_views_apart = load_views_here
    extractor.__init__ = with_clock
    try:
        yield clock
    finally:
        extractor.__init__ = init
        for owner, attribute, function in before:
            setattr(owner, attribute, function)


def print_profile(extract: Callable[[], float], count: int, cores: int) -> None:
    """Run an extraction of `count` images once, and print where its cores' time went, per image."""
    with clocked() as clock:
        rate = extract()
    total = cores * count / rate
    names = list(dict.fromkeys(name for _, _, name in PARTS))
    names.insert(names.index("forward: normalise") + 1, "forward: network")
    print(f"\n{f'where the time goes, cores: {cores}':<48}{'ms of a core per image':>24}{'share':>10}")
    for name in names:
        print(f"{name:<48}{1000 * clock.seconds[name] / count:>24.2f}{clock.seconds[name] / total:>10.1%}")
    rest = total - sum(clock.seconds.values())
    print(f"{'rest: a core that waits at the start and the end':<48}{1000 * rest / count:>24.2f}{rest / total:>10.1%}")
