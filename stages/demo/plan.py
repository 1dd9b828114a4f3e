"""Decide on paper what the collection will hold, before anything is painted.

In: the settings. Out: every file with its true and its listed labels, and the answer key.
All decisions that concern more than one picture are made here, so that pictures can be painted in any order.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from stages.demo.encode import ENCODINGS
from stages.demo.faults.broken import BREAKS
from stages.demo.faults.duplicates import NEAR_DUPLICATES
from stages.demo.faults.strangers import STRANGERS
from stages.demo.painter.artists import ARTISTS, GENRES, OTHERWISE, STYLES, Artist
from stages.demo.settings import DemoSettings
from stages.demo.titles import artist_slug, title_slug

CLASSES = {"style": STYLES, "genre": GENRES, "artist": tuple(artist.name for artist in ARTISTS)}
# Share of paintings whose label is left out, as in collections that were labelled by many hands.
UNLABELLED = {"genre": 0.1, "artist": 0.15}


@dataclass(frozen=True)
class PlannedFile:
    """One file of the collection.

    Attributes
    ----------
    image
        Path relative to the image root, POSIX.
    kind
        painting, broken, stranger, exact_duplicate or near_duplicate.
    detail
        The encoding of a painting, the way of being broken, what the stranger is, how the duplicate is made.
    labels
        Listed class by attribute; empty means unlabelled.
    truth
        Right class by attribute.
    original
        The path that a duplicate is made from.
    """

    image: str
    kind: str
    detail: str
    labels: dict[str, str]
    truth: dict[str, str] = field(default_factory=dict)
    original: str = ""


def plan_collection(rng: np.random.Generator, settings: DemoSettings) -> list[PlannedFile]:
    """Plan every file; the place in the list is the index that seeds its picture."""
    total = (
        settings.images + settings.broken + settings.strangers + settings.exact_duplicates + settings.near_duplicates
    )
    # Numbers are dealt out at random: neither order nor gaps tell what was planted.
    numbers = iter(rng.permutation(total) + 1)
    paintings = [_painting(rng, truth, next(numbers)) for truth in _true_labels(rng, settings.images)]
    order = rng.permutation(settings.images)
    exact, near = settings.exact_duplicates, settings.near_duplicates
    copies = [
        *_exact_duplicates(rng, [paintings[i] for i in order[:exact]], numbers),
        *_near_duplicates(rng, [paintings[i] for i in order[exact : exact + near]], numbers),
    ]
    _mislabel(rng, paintings, np.sort(order[exact + near :]), settings.wrong_labels)
    broken = [
        _misfit(rng, "broken", kind, BREAKS[kind].suffix, next(numbers)) for kind in _cycle(BREAKS, settings.broken)
    ]
    strangers = [
        _misfit(rng, "stranger", kind, ".jpg", next(numbers)) for kind in _cycle(STRANGERS, settings.strangers)
    ]
    return [*paintings, *broken, *strangers, *copies]


def answer_key(plan: list[PlannedFile]) -> list[dict[str, str]]:
    """Rows of `answer_key.csv`: what was planted where, and what a good pipeline should find."""
    rows = []
    for file in plan:
        row = {"image": file.image, "fault": file.kind, "attribute": "", "truth": "", "detail": file.detail}
        if file.kind == "broken":
            rows.append(row | {"truth": BREAKS[file.detail].reason})
        elif file.kind == "stranger":
            rows.append(row)
        elif file.kind in ("exact_duplicate", "near_duplicate"):
            rows.append(row | {"truth": file.original})
        else:
            rows += [
                {
                    "image": file.image,
                    "fault": "wrong_label",
                    "attribute": attribute,
                    "truth": right,
                    "detail": "another class",
                }
                for attribute, right in file.truth.items()
                if file.labels[attribute] not in ("", right)
            ]
    return rows


def _cycle(kinds: dict[str, object], count: int) -> list[str]:
    names = list(kinds)
    return [names[i % len(names)] for i in range(count)]


def _choice(rng: np.random.Generator, weights: dict[str, float]) -> str:
    share = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(weights), p=share / share.sum())]


def _true_labels(rng: np.random.Generator, count: int) -> list[dict[str, str]]:
    """Style, genre and artist of every painting; the first eight see to it that every class occurs."""
    shares = np.array([artist.share for artist in ARTISTS])
    artists = np.searchsorted(np.cumsum(shares / shares.sum()), (np.arange(count) + 0.5) / count)
    artists = np.minimum(rng.permutation(artists), len(ARTISTS) - 1)
    truths = [_labels_by(rng, ARTISTS[i]) for i in artists]
    for i, artist in enumerate(ARTISTS):
        truths[i] = {"style": STYLES[i % len(STYLES)], "genre": GENRES[i % len(GENRES)], "artist": artist.name}
    return truths


def _labels_by(rng: np.random.Generator, artist: Artist) -> dict[str, str]:
    return {
        "style": _choice(rng, {name: artist.styles.get(name, OTHERWISE) for name in STYLES}),
        "genre": _choice(rng, {name: artist.genres.get(name, OTHERWISE) for name in GENRES}),
        "artist": artist.name,
    }


def _path(rng: np.random.Generator, artist: str, number: int, suffix: str) -> str:
    return f"{artist_slug(artist)}/{title_slug(rng)}-{number:03d}{suffix}"


def _painting(rng: np.random.Generator, truth: dict[str, str], number: int) -> PlannedFile:
    encoding = _choice(rng, {name: share for name, (_, share) in ENCODINGS.items()})
    labels = {name: "" if rng.random() < UNLABELLED.get(name, 0) else label for name, label in truth.items()}
    image = _path(rng, truth["artist"], number, ENCODINGS[encoding][0])
    return PlannedFile(image, "painting", encoding, labels, truth)


def _misfit(rng: np.random.Generator, kind: str, detail: str, suffix: str, number: int) -> PlannedFile:
    """A broken file or a stranger, listed with labels like any other."""
    labels = _labels_by(rng, ARTISTS[rng.integers(len(ARTISTS))])
    return PlannedFile(_path(rng, labels["artist"], number, suffix), kind, detail, labels)


def _exact_duplicates(rng: np.random.Generator, originals: list[PlannedFile], numbers: object) -> list[PlannedFile]:
    """Copies under another name; every fifth contradicts its original about the style."""
    copies = []
    for i, original in enumerate(originals):
        suffix = original.image[original.image.rindex(".") :]
        labels, detail = original.labels, "same_bytes"
        if i % 5 == 0:
            labels, detail = labels | {"style": _another(rng, "style", labels["style"])}, "same_bytes_other_style_label"
        image = _path(rng, original.truth["artist"], next(numbers), suffix)
        copies.append(PlannedFile(image, "exact_duplicate", detail, labels, original=original.image))
    return copies


def _near_duplicates(rng: np.random.Generator, originals: list[PlannedFile], numbers: object) -> list[PlannedFile]:
    return [
        PlannedFile(
            _path(rng, original.truth["artist"], next(numbers), ".jpg"),
            "near_duplicate",
            how,
            original.labels,
            original=original.image,
        )
        for original, how in zip(originals, _cycle(NEAR_DUPLICATES, len(originals)), strict=True)
    ]


def _another(rng: np.random.Generator, attribute: str, label: str) -> str:
    others = [name for name in CLASSES[attribute] if name != label]
    return others[rng.integers(len(others))]


def _mislabel(rng: np.random.Generator, paintings: list[PlannedFile], candidates: np.ndarray, count: int) -> None:
    """Give `count` of the candidates a wrong class, per attribute; in place."""
    for attribute in CLASSES:
        for i in rng.permutation(candidates)[:count]:
            wrong = _another(rng, attribute, paintings[i].truth[attribute])
            paintings[i] = replace(paintings[i], labels=paintings[i].labels | {attribute: wrong})
