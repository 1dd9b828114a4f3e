"""Find the pairs of images whose perceptual hashes are close, without comparing all pairs.

In: the hashes of `hashes.hash_picture`. Out: pairs of images. Grouping them is left to `duplicates`.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stages.clean.hashes import COARSE_WORDS, COLOUR_BYTES, CROPS, FINE_WORDS, WORDS_PER_VIEW

COARSE_BITS = 64
BANDS = (3, 4)  # the numbers of bands that a hash may be cut into
# Candidate pairs compared at once. This bounds the memory, whatever the number of images.
PAIRS_AT_ONCE = 1 << 22
# If more views than this share a coarse hash (blank pages, for example), only this many of them are compared.
LARGEST_BUCKET = 100
# Of two views with few shapes, in levels of 255 over the three channels: in the mean over their parts, and in one part.
MEAN_DIFFERENCE, LARGEST_DIFFERENCE = 6.0, 60.0
# A view is grey if the channels of no part differ by more than this; weights of the channels in its grey.
GREY_CHROMA = 6.0
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
NO_COLOURS = -1


@dataclass(frozen=True)
class PictureHashes:
    """Hashes of `v` views of `n` images; a view is a whole picture, or the picture without its bars.

    Attributes
    ----------
    owner
        The image of each view, shape `(v,)`, int64, ascending.
    coarse
        Shape `(v, crops)`, uint64.
    fine
        Shape `(v, crops, 4)`, uint64.
    colours
        Mean RGB of the parts of views with few shapes, `(v, COLOUR_BYTES)`, int16; -1 for the other views.
    """

    owner: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    colours: np.ndarray

    @classmethod
    def from_words(cls, owner: np.ndarray, words: np.ndarray, colours: np.ndarray | None = None) -> "PictureHashes":
        """Split the words of `hash_picture`, shape `(v, WORDS_PER_VIEW)`, uint64."""
        if colours is None:
            colours = np.full((len(words), COLOUR_BYTES), NO_COLOURS, dtype=np.int16)
        crops = words.reshape(len(words), len(CROPS), WORDS_PER_VIEW // len(CROPS))
        fine = crops[:, :, COARSE_WORDS : COARSE_WORDS + FINE_WORDS]
        return cls(owner, np.ascontiguousarray(crops[:, :, 0]), np.ascontiguousarray(fine), colours)


def near_pairs(hashes: PictureHashes, *, max_bits: int, confirm_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Find pairs of images in which a whole view of one is close to a whole view or to a crop of the other.

    Each coarse hash is cut into bands. If two hashes are close, at least one band is nearly the same in both, so
    each hash is looked up with every small change of every band (multi-index hashing: Norouzi, Punjani and Fleet,
    CVPR 2012). The search is exact, except that crowded coarse hashes are sampled (`LARGEST_BUCKET`).

    Parameters
    ----------
    hashes
        Hashes of all views.
    max_bits, confirm_bits
        Largest Hamming distances of two coarse hashes and of two fine hashes, in bits.

    Returns
    -------
    pair of arrays
        Images `first < second`, int64, both of shape `(pairs,)`; every pair once, in ascending order.
    """
    kept = [_confirmed(hashes, *candidates, confirm_bits) for candidates in _candidates(hashes, max_bits)]
    if not kept:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    pairs = np.unique(np.concatenate(kept), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _candidates(hashes: PictureHashes, max_bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of (view, crop of a view) whose coarse hashes are within `max_bits`; a crop is `view * crops + crop`."""
    keys, members = _distinct(hashes.coarse[:, 0], np.argsort(hashes.fine[:, 0, 0], kind="stable"))
    crops = hashes.coarse.reshape(-1)
    queries, crop_members = _distinct(crops, np.arange(len(crops)))
    # There are fewer whole views than crops: they look up the crops.
    for query, key in _close_values(queries, keys, max_bits):
        yield from _expand(key, query, members, crop_members)


def _distinct(values: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Distinct values, the row numbers sorted by value, and where each value's rows start (with the end appended)."""
    order = order[np.argsort(values[order], kind="stable")]
    distinct, starts = np.unique(values[order], return_index=True)
    return distinct, (order, np.append(starts, len(values)))


def _close_values(keys: np.ndarray, queries: np.ndarray, max_bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of (index into keys, index into queries) within `max_bits` of one another."""
    for low, high, changes in min((_bands(bands, max_bits) for bands in BANDS), key=lambda b: _cost(b, len(keys))):
        mask = np.uint64((1 << (high - low)) - 1)
        key_order = np.argsort((keys >> np.uint64(low)) & mask, kind="stable")
        ordered_keys = keys[key_order]
        per_band = np.bincount(((ordered_keys >> np.uint64(low)) & mask).astype(np.int32), minlength=1 << (high - low))
        starts = np.concatenate([[0], np.cumsum(per_band)]).astype(np.int32)
        query_order = np.argsort((queries >> np.uint64(low)) & mask, kind="stable")  # similar queries read near memory
        ordered_queries = queries[query_order]
        query_band = ((ordered_queries >> np.uint64(low)) & mask).astype(np.int32)
        for change in changes:
            changed = query_band ^ np.int32(change)
            first = starts[changed]
            count = starts[changed + 1] - first
            hit = np.flatnonzero(count)
            for part, key in _in_blocks(first[hit], count[hit]):
                query = hit[part]
                near = np.flatnonzero(np.bitwise_count(ordered_keys[key] ^ ordered_queries[query]) <= max_bits)
                if len(near):
                    yield key_order[key[near]], query_order[query[near]]


def _bands(count: int, max_bits: int) -> list[tuple[int, int, list[int]]]:
    """First bit, end bit and the changes to look up, for each of `count` bands.

    Let `max_bits = count * most + rest`. Two close hashes differ in at most `most` bits in one of the first `rest + 1`
    bands, or in at most `most - 1` bits in one of the others. Otherwise they would differ in more than `max_bits`.
    """
    edges = [COARSE_BITS * band // count for band in range(count + 1)]
    most, rest = divmod(max_bits, count)
    return [
        (low, high, _changes(high - low, most if band <= rest else most - 1))
        for band, (low, high) in enumerate(itertools.pairwise(edges))
    ]


def _cost(bands: list[tuple[int, int, list[int]]], keys: int) -> float:
    """Steps per query: one look-up per change, and one comparison per key found."""
    return float(sum(len(changes) * (1 + keys / 2 ** (high - low)) for low, high, changes in bands))


def _changes(bits: int, most: int) -> list[int]:
    """Every `bits`-bit number with at most `most` bits set."""
    return [
        sum(1 << bit for bit in chosen)
        for size in range(most + 1)
        for chosen in itertools.combinations(range(bits), size)
    ]


def _in_blocks(first: np.ndarray, count: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """List the members of the ranges `first … first + count - 1`, each with its range's number, in bounded blocks."""
    ends = np.cumsum(count, dtype=np.int64)
    start = 0
    while start < len(count):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right")))
        counts = count[start:stop]
        part = np.repeat(np.arange(start, stop), counts)
        before = np.repeat(ends[start:stop] - counts - done, counts)
        yield part, np.repeat(first[start:stop], counts) + (np.arange(len(part)) - before)
        start = stop


def _expand(
    key: np.ndarray, query: np.ndarray, members: tuple[np.ndarray, np.ndarray], crops: tuple[np.ndarray, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Turn pairs of distinct values into pairs of the views and crops that have these values."""
    views, view_starts = members
    rows, row_starts = crops
    view_count = np.minimum(np.diff(view_starts)[key], LARGEST_BUCKET)
    row_count = np.minimum(np.diff(row_starts)[query], LARGEST_BUCKET)
    for part, offset in _in_blocks(np.zeros(len(key), dtype=np.int64), view_count * row_count):
        yield (
            views[view_starts[key[part]] + offset // row_count[part]],
            rows[row_starts[query[part]] + offset % row_count[part]],
        )


def _confirmed(hashes: PictureHashes, view: np.ndarray, crop: np.ndarray, confirm_bits: int) -> np.ndarray:
    """Keep the pairs of images whose fine hashes are close too; shape `(pairs, 2)`."""
    crops = hashes.fine.reshape(-1, FINE_WORDS)
    bits = np.bitwise_count(hashes.fine[view, 0] ^ crops[crop]).sum(axis=1)
    first, second = hashes.owner[view], hashes.owner[crop // len(CROPS)]
    near = (bits <= confirm_bits) & (first != second)
    near[near] = alike_in_colour(hashes.colours[view[near]], hashes.colours[crop[near] // len(CROPS)])
    return np.sort(np.column_stack([first[near], second[near]]), axis=1)


def alike_in_colour(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether views may be one picture by their colours; true where one of a pair has many shapes.

    Parameters
    ----------
    first, second
        Colours of `PictureHashes`, shape `(pairs, COLOUR_BYTES)`.

    Returns
    -------
    ndarray
        Shape `(pairs,)`, bool.
    """
    known = (first[:, 0] != NO_COLOURS) & (second[:, 0] != NO_COLOURS)
    first, second = (side.reshape(len(side), COLOUR_BYTES // 3, 3).astype(np.float32) for side in (first, second))
    differences = np.abs(first - second).mean(axis=2)
    # A grey copy of a coloured picture is the same picture.
    grey = _is_grey(first) | _is_grey(second)
    differences[grey] = np.abs((first[grey] - second[grey]) @ LUMA)
    alike: np.ndarray = differences.mean(axis=1) <= MEAN_DIFFERENCE
    alike &= differences.max(axis=1) <= LARGEST_DIFFERENCE
    alike |= ~known
    return alike


def _is_grey(colours: np.ndarray) -> np.ndarray:
    """Which of the views `(n, parts, 3)` have no colour."""
    chroma = colours.max(axis=2) - colours.min(axis=2)
    return np.asarray(chroma.max(axis=1) <= GREY_CHROMA)


def fine_distance(hashes: PictureHashes, centre: int, images: np.ndarray) -> np.ndarray:
    """Measure the Hamming distance of the fine hashes of each image and the centre, at the best pair of crops.

    Parameters
    ----------
    hashes
        Hashes of all views.
    centre
        An image.
    images
        Images, ascending, shape `(m,)`.

    Returns
    -------
    ndarray
        Bits, shape `(m,)`, int64; 256 for an image without hashes.
    """
    mine = np.arange(*np.searchsorted(hashes.owner, [centre, centre + 1]))
    starts, stops = np.searchsorted(hashes.owner, images), np.searchsorted(hashes.owner, images, side="right")
    theirs = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
    position = np.repeat(np.arange(len(images)), stops - starts)
    best = np.full(len(images), 64 * FINE_WORDS, dtype=np.int64)
    for view in mine:
        to_crops = np.bitwise_count(hashes.fine[view, 0] ^ hashes.fine[theirs]).sum(axis=-1)
        from_crops = np.bitwise_count(hashes.fine[view][None] ^ hashes.fine[theirs, :1]).sum(axis=-1)
        np.minimum.at(best, position, np.minimum(to_crops, from_crops).min(axis=1).astype(np.int64))
    return best
