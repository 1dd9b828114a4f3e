"""Group images that show the same picture: equal bytes, or perceptual hashes that are close.

In: a digest and perceptual hashes per image. Out: a group name per image, equal for duplicates, and the label
disagreements inside groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.clean.near import PictureHashes, alike_in_colour, fine_distance, near_pairs
from stages.core.tables.columns import CONFLICTS

# How far from the centre of its group an image may be, in multiples of what makes a pair. Chains that drift further
# are cut: without this, one blurred picture could join two that nobody would call alike.
REACH = 1.5


@dataclass(frozen=True)
class Groups:
    """What was grouped.

    Attributes
    ----------
    names
        The group of every image: the first 16 digits of the smallest digest in it.
    near_pairs
        How many pairs of different bytes are close.
    chains_cut
        How many groups were cut in two or more because their members drifted apart.
    """

    names: list[str]
    near_pairs: int
    chains_cut: int


def group_duplicates(digests: Sequence[str], hashes: PictureHashes, *, max_bits: int, confirm_bits: int) -> Groups:
    """Name the duplicate group of every image; the names do not depend on the order of images.

    Parameters
    ----------
    digests
        SHA-256 of each file's bytes, hexadecimal.
    hashes
        Of the same images.
    max_bits, confirm_bits
        Largest Hamming distances of two coarse and of two fine hashes of one picture, in bits.
    """
    count = len(digests)
    # As bytes: text would take four times the memory.
    _, digest_codes = np.unique(np.asarray(digests, dtype=np.bytes_), return_inverse=True)
    exact = _chain(digest_codes)
    near = near_pairs(hashes, max_bits=max_bits, confirm_bits=confirm_bits)
    alike = _alike_chains(hashes)
    first, second = (np.concatenate(side) for side in zip(exact, near, alike, strict=True))
    links = first, second
    graph = coo_array((np.ones(len(links[0]), dtype=bool), links), shape=(count, count))
    parts, component = connected_components(graph, directed=False)
    component, cut = _cut_chains(component, parts, links, digest_codes, hashes, int(REACH * confirm_bits))
    smallest: dict[int, str] = {}
    for part, digest in zip(component, digests, strict=True):
        smallest[part] = min(digest, smallest.get(part, digest))
    different = digest_codes[near[0]] != digest_codes[near[1]]
    return Groups([smallest[part][:16] for part in component], int(different.sum()), cut)


def _chain(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Link each image to the next one of equal code."""
    order = np.argsort(codes, kind="stable")
    equal = codes[order][1:] == codes[order][:-1]
    return order[:-1][equal], order[1:][equal]


def _alike_chains(hashes: PictureHashes) -> tuple[np.ndarray, np.ndarray]:
    """Link views of equal fine hashes, of which a crowded bucket of the index knows only some."""
    order = np.lexsort((*hashes.colours.T[::-1], *hashes.fine[:, 0].T))
    equal = (hashes.fine[order, 0][1:] == hashes.fine[order, 0][:-1]).all(axis=1)
    equal &= hashes.coarse[order, 0][1:] == hashes.coarse[order, 0][:-1]
    equal &= alike_in_colour(hashes.colours[order[1:]], hashes.colours[order[:-1]])
    return hashes.owner[order[:-1][equal]], hashes.owner[order[1:][equal]]


def _cut_chains(
    component: np.ndarray,
    parts: int,
    links: tuple[np.ndarray, np.ndarray],
    codes: np.ndarray,
    hashes: PictureHashes,
    reach: int,
) -> tuple[np.ndarray, int]:
    """Keep in each group what is within reach of its centre; the other images form new groups.

    `codes` number the digests in their order. The cost: a cut may leave two close pictures in two groups.
    """
    component = component.copy()
    degree = np.bincount(np.concatenate(links), minlength=len(component))
    order = np.argsort(component, kind="stable")
    bounds = np.searchsorted(component[order], np.arange(parts + 1))
    following, cut = parts, 0
    for part in np.flatnonzero(np.diff(bounds) > 2):
        rest = np.sort(order[bounds[part] : bounds[part + 1]])
        whole = True
        while True:
            centre = min(rest, key=lambda image: (-degree[image], codes[image]))
            far = (fine_distance(hashes, centre, rest) > reach) & (codes[rest] != codes[centre])
            if not far.any():
                break
            whole = False
            rest = rest[far]
            component[rest] = following
            following += 1
        cut += not whole
    return component, cut


def label_conflicts(table: pd.DataFrame, attributes: Sequence[str]) -> pd.DataFrame:
    """List the labels on which duplicates disagree.

    Parameters
    ----------
    table
        Rows with `image`, `group` and the attributes' columns; empty cells are unlabelled.
    attributes
        Label columns.

    Returns
    -------
    pandas.DataFrame
        `attribute`, `group`, `image`, `label`: every labelled image of a group that has more than one label.
    """
    parts = []
    for attribute in attributes:
        labelled = table.loc[table[attribute] != "", ["group", "image", attribute]]
        disagree = labelled.groupby("group")[attribute].transform("nunique") > 1
        part = labelled[disagree].rename(columns={attribute: "label"})
        parts.append(part.assign(attribute=attribute)[CONFLICTS.names])
    empty = pd.DataFrame(columns=CONFLICTS.names)
    return pd.concat([empty, *parts]).sort_values(["attribute", "group", "image"], ignore_index=True)
