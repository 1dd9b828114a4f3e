"""Group images that show the same picture: equal bytes, or perceptual hashes that differ in a few bits.

In: a digest and a 64-bit perceptual hash per image. Out: a group name per image, equal for duplicates.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 64
# A hash shared by more images than this (blank pictures, say) is linked in a chain instead of pair by pair.
LARGEST_BUCKET = 200


def group_duplicates(digests: Sequence[str], hashes: np.ndarray, *, max_bits: int) -> list[str]:
    """Name the duplicate group of every image.

    Two hashes of 64 bits that differ in at most `max_bits` agree in at least one of `max_bits + 1` bands (the
    pigeonhole principle), so only images that share a band are compared (multi-index hashing, Norouzi et al. 2012).

    Parameters
    ----------
    digests
        SHA-256 of each file's bytes, hexadecimal.
    hashes
        Perceptual hashes, shape `(n,)`, uint64.
    max_bits
        Largest Hamming distance, in bits, at which two hashes are one picture.

    Returns
    -------
    list of str
        The first 16 digits of the smallest digest in each image's group: it does not depend on the order of images.
    """
    count = len(digests)
    _, digest_codes = np.unique(np.asarray(digests), return_inverse=True)
    links = [_chain(digest_codes), *(_near_pairs(hashes, band) for band in _bands(max_bits, hashes))]
    links = [np.concatenate(side) for side in zip(*(_within(hashes, pair, max_bits) for pair in links), strict=True)]
    graph = coo_array((np.ones(len(links[0]), dtype=bool), tuple(links)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for part, digest in zip(component, digests, strict=True):
        smallest[part] = min(digest, smallest.get(part, digest))
    return [smallest[part][:16] for part in component]


def _bands(max_bits: int, hashes: np.ndarray) -> list[np.ndarray]:
    """Cut the hashes into `max_bits + 1` bands of bits, each shape `(n,)`, uint64."""
    edges = np.linspace(0, HASH_BITS, max_bits + 2).astype(np.uint64)
    return [(hashes >> low) & np.uint64((1 << int(high - low)) - 1) for low, high in itertools.pairwise(edges)]


def _chain(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Link each image to the next one of equal code."""
    order = np.argsort(codes, kind="stable")
    equal = codes[order][1:] == codes[order][:-1]
    return order[:-1][equal], order[1:][equal]


def _near_pairs(hashes: np.ndarray, band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs that share a band; in buckets that are too large, only neighbours in hash order."""
    order = np.lexsort((hashes, band))
    sorted_band = band[order]
    firsts, seconds = [], []
    for step in range(1, min(LARGEST_BUCKET, len(band))):
        equal = np.flatnonzero(sorted_band[step:] == sorted_band[:-step])
        if not len(equal):
            break
        firsts.append(order[equal])
        seconds.append(order[equal + step])
    if not firsts:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return np.concatenate(firsts), np.concatenate(seconds)


def _within(hashes: np.ndarray, pair: tuple[np.ndarray, np.ndarray], max_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep the pairs whose hashes differ in at most `max_bits`."""
    first, second = pair
    near = np.bitwise_count(hashes[first] ^ hashes[second]) <= max_bits
    return first[near], second[near]
