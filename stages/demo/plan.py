"""Decide on paper what the collection will hold, before anything is painted.

In: the settings. Out: every file with its true and its listed labels, and the answer key.
All decisions that concern more than one picture are made here, so that pictures can be painted in any order.
"""

import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stages.demo.encode import ENCODINGS, NEAR_DUPLICATES
from stages.demo.faults.broken import BREAKS
from stages.demo.faults.strangers import STRANGERS
from stages.demo.painter.artists import ARTISTS, GENRES, OTHERWISE, STYLES, Artist
from stages.demo.settings import DemoSettings

CLASSES = {"style": STYLES, "genre": GENRES, "artist": tuple(artist.name for artist in ARTISTS)}
# Share of paintings whose label is left out, as in collections that were labelled by many hands.
UNLABELLED = {"genre": 0.1, "artist": 0.15}
# The words of invented titles; a few carry accents, as names in real collections do.
FIRST = """morning evening quiet red the-last small winter august blue old two forgotten golden northern study-of-a
memory-of-a silent crème été grå late first hidden pale"""
SECOND = """harbour garden letter window song orchard visitor table river mirror lantern market hour dialogue fjäll café
stillness threshold festival rêverie crossing harvest tide noon"""
# One title in four has no third part.
THIRD = "- - - in-spring at-dusk with-pears no-2 after-rain in-blue på-ön for-inès seen-twice"


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
    exact, near = settings.exact_duplicates, settings.near_duplicates
    total = settings.images + settings.broken + settings.strangers + exact + near
    # Numbers are dealt out at random: neither order nor gaps tell what was planted.
    numbers = iter((rng.permutation(total) + 1).tolist())
    paintings = [_painting(rng, truth, next(numbers)) for truth in _true_labels(rng, settings.images)]
    order = rng.permutation(settings.images)
    # Every fifth exact duplicate has another label than its original.
    same_bytes = np.resize(["same_bytes_other_style_label", *["same_bytes"] * 4], exact).tolist()
    kinds = [("exact_duplicate", how) for how in same_bytes]
    kinds += [("near_duplicate", how) for how in np.resize([*NEAR_DUPLICATES], near).tolist()]
    originals = [paintings[i] for i in order[: exact + near]]
    copies = [_copy(rng, one, *kind, next(numbers)) for one, kind in zip(originals, kinds, strict=True)]
    _mislabel(rng, paintings, np.sort(order[exact + near :]), settings.wrong_labels)
    misfits = [("broken", how, BREAKS[how].suffix) for how in np.resize([*BREAKS], settings.broken).tolist()]
    misfits += [("stranger", what, ".jpg") for what in np.resize([*STRANGERS], settings.strangers).tolist()]
    return [*paintings, *(_misfit(rng, *misfit, next(numbers)) for misfit in misfits), *copies]


def answer_key(plan: list[PlannedFile]) -> list[dict[str, str]]:
    """Rows of `answer_key.csv`: what was planted where, and what a good pipeline should find."""
    rows = []
    for file in plan:
        row = {"image": file.image, "fault": file.kind, "attribute": "", "truth": file.original, "detail": file.detail}
        if file.kind == "broken":
            rows.append(row | {"truth": BREAKS[file.detail].reason})
        elif file.kind != "painting":
            rows.append(row)
        wrong = {name: right for name, right in file.truth.items() if file.labels[name] not in ("", right)}
        found = {"fault": "wrong_label", "detail": "another class"}
        rows += [row | found | {"attribute": name, "truth": right} for name, right in wrong.items()]
    return rows


def _choice(rng: np.random.Generator, weights: dict[str, float]) -> str:
    share = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(weights), p=share / share.sum())]


def _true_labels(rng: np.random.Generator, count: int) -> list[dict[str, str]]:
    """Style, genre and artist of every painting; among the first eight, every class occurs."""
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
    """A folder per artist and an invented title, in Unicode NFC; nothing in it tells whether the file is sound."""
    words = (pool[rng.integers(len(pool))] for pool in (pool.split() for pool in (FIRST, SECOND, THIRD)))
    title, folder = "-".join(word for word in words if word != "-"), artist.lower().replace(" ", "-")
    return unicodedata.normalize("NFC", f"{folder}/{title}-{number:03d}{suffix}")


def _painting(rng: np.random.Generator, truth: dict[str, str], number: int) -> PlannedFile:
    encoding = _choice(rng, {name: share for name, (_, share) in ENCODINGS.items()})
    labels = {name: "" if rng.random() < UNLABELLED.get(name, 0) else label for name, label in truth.items()}
    image = _path(rng, truth["artist"], number, ENCODINGS[encoding][0])
    return PlannedFile(image, "painting", encoding, labels, truth)


def _misfit(rng: np.random.Generator, kind: str, detail: str, suffix: str, number: int) -> PlannedFile:
    """A broken file or a stranger, listed with labels like any other."""
    labels = _labels_by(rng, ARTISTS[rng.integers(len(ARTISTS))])
    return PlannedFile(_path(rng, labels["artist"], number, suffix), kind, detail, labels)


def _copy(rng: np.random.Generator, original: PlannedFile, kind: str, how: str, number: int) -> PlannedFile:
    """A duplicate under another name; it may contradict its original about the style."""
    suffix = Path(original.image).suffix if kind == "exact_duplicate" else ".jpg"
    labels = original.labels
    if how == "same_bytes_other_style_label":
        labels = labels | {"style": _another(rng, "style", labels["style"])}
    image = _path(rng, original.truth["artist"], number, suffix)
    return PlannedFile(image, kind, how, labels, original=original.image)


def _another(rng: np.random.Generator, attribute: str, label: str) -> str:
    return str(rng.choice([name for name in CLASSES[attribute] if name != label]))


def _mislabel(rng: np.random.Generator, paintings: list[PlannedFile], candidates: np.ndarray, count: int) -> None:
    """Give `count` of the candidates a wrong class, per attribute; in place."""
    for attribute in CLASSES:
        for i in rng.permutation(candidates)[:count]:
            wrong = _another(rng, attribute, paintings[i].truth[attribute])
            paintings[i] = replace(paintings[i], labels=paintings[i].labels | {attribute: wrong})
