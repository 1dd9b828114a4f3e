"""Duplicates are found whatever clothes they wear, and only they; chains do not run away."""

import io
import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps

from stages.clean import near
from stages.clean.check_image import CheckedImage
from stages.clean.duplicates import group_duplicates
from stages.clean.findings import Findings
from stages.clean.hashes import BYTES_PER_VIEW, CROPS, WORDS_PER_VIEW, describe_picture, hash_picture
from stages.clean.near import LARGEST_BUCKET, PictureHashes, near_pairs
from stages.clean.settings import CleanSettings
from tests.conftest import picture

LIMITS = {"max_bits": CleanSettings().near_duplicate_bits, "confirm_bits": CleanSettings().confirm_bits}


def detailed(seed: int, size: tuple[int, int] = (420, 320)) -> Image.Image:
    """Shapes of several sizes, as paintings have."""
    fine = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.blend(picture(seed + 1000, size), Image.fromarray(fine).resize(size, Image.Resampling.BICUBIC), 0.4)


def hashes_of(images: list[Image.Image]) -> PictureHashes:
    found = [hash_picture(image) for image in images]
    owner = np.repeat(np.arange(len(images)), [len(one) // BYTES_PER_VIEW for one in found])
    words = np.frombuffer(b"".join(found), dtype=np.uint64).reshape(-1, WORDS_PER_VIEW)
    return PictureHashes.from_words(owner, words)


def groups_of(images: list[Image.Image]) -> list[str]:
    """The duplicate groups that clean's own description of the images gives."""
    findings = Findings(len(images))
    for row, image in enumerate(images):
        hashes, colours = describe_picture(image, lambda image=image: image.convert("RGB"))
        findings.put(row, CheckedImage(digests(row + 1)[row], *image.size, image.mode, hashes.hex(), colours.hex()))
    return group_duplicates(digests(len(images)), findings.hashes(), **LIMITS).names


def colour_field(seed: int) -> Image.Image:
    """Three fields of smooth edges and slight grain, of any hues and proportions."""
    rng = np.random.default_rng(seed)
    ground, above, below = (tuple(int(value) for value in rng.integers(20, 236, 3)) for _ in range(3))
    image, margin, edge = Image.new("RGB", (400, 560), ground), int(rng.integers(18, 45)), int(rng.integers(200, 380))
    image.paste(above, (margin, margin, 400 - margin, edge))
    image.paste(below, (margin, edge + int(rng.integers(8, 24)), 400 - margin, 560 - margin))
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(6))) + rng.normal(0, 3, (560, 400, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def test_colour_fields_of_other_hues_are_not_one_picture() -> None:
    assert len(set(groups_of([colour_field(seed) for seed in range(60)]))) == 60


@pytest.mark.parametrize("variant", ["re-encoded", "grey", "black bars above and below"])
def test_a_variant_of_a_colour_field_is_the_same_picture(variant: str) -> None:
    originals = [colour_field(seed) for seed in range(12)]
    groups = groups_of([*originals, *map(VARIANTS[variant], originals)])
    assert groups[:12] == groups[12:]


def test_two_fields_of_one_grey_and_other_hues_differ() -> None:
    """Hues of equal luma: the hashes, which see grey, are equal."""

    def fields(hue: int) -> Image.Image:
        image = Image.new("RGB", (200, 200), "black")
        image.paste((150, 60, 60) if hue else (60, 106, 60), (20, 20, 180, 90))
        image.paste((90, 90, 200) if hue else (104, 100, 104), (20, 110, 180, 180))
        return image

    assert len(set(groups_of([fields(0), fields(1)]))) == 2


def digests(count: int) -> list[str]:
    return [f"{i:016x}" * 4 for i in range(count)]


def reencoded(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


VARIANTS = {
    "re-encoded": lambda image: reencoded(image, 40),
    "smaller": lambda image: image.resize((160, 122)),
    "larger": lambda image: image.resize((900, 686)),
    "grey": lambda image: image.convert("L"),
    "cropped all round": lambda image: image.crop((10, 8, 410, 312)),
    "cropped at one edge": lambda image: image.crop((0, 0, 420, 312)),
    "black bars above and below": lambda image: ImageOps.expand(image, (0, 60), "black"),
    "a white frame": lambda image: ImageOps.expand(image, 40, "white"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_the_same_picture(variant: str) -> None:
    originals = [detailed(seed) for seed in range(12)]
    images = [*originals, *map(VARIANTS[variant], originals)]
    names = group_duplicates(digests(24), hashes_of(images), **LIMITS).names
    assert names[:12] == names[12:]
    assert len(set(names)) == 12


def test_pictures_of_one_colour_are_not_compared() -> None:
    flat = [Image.new("RGB", (90, 90), colour) for colour in ("black", "white", "blue")]
    assert len(set(group_duplicates(digests(3), hashes_of(flat), **LIMITS).names)) == 3


def test_equal_bytes_are_one_group_even_where_nothing_can_be_compared() -> None:
    flat = [Image.new("RGB", (90, 90), "black")] * 4
    names = group_duplicates(["a" * 64, "b" * 64, "a" * 64, "a" * 64], hashes_of(flat), **LIMITS).names
    assert names == ["a" * 16, "b" * 16, "a" * 16, "a" * 16]


def random_hashes(count: int, bases: int, most_flips: int, seed: int) -> PictureHashes:
    """Hashes in clusters of a few bits' width; every crop's is another few bits away."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2, (bases, 64 * WORDS_PER_VIEW // len(CROPS)), dtype=np.uint8)
    bits = np.repeat(base[rng.integers(0, bases, count)][:, None], len(CROPS), axis=1)
    for view, crop in itertools.product(range(count), range(len(CROPS))):
        bits[view, crop, rng.integers(0, bits.shape[-1], rng.integers(0, most_flips + 1))] ^= 1
    words = np.packbits(bits.reshape(count, -1), axis=1).view(np.uint64)
    owner = np.sort(rng.integers(0, count, count))
    return PictureHashes.from_words(owner, words)


def every_pair(hashes: PictureHashes, max_bits: int, confirm_bits: int) -> set[tuple[int, int]]:
    """The same pairs, by trying all."""
    found = set()
    views = range(len(hashes.owner))
    for a, b, crop in itertools.product(views, views, range(len(CROPS))):
        coarse = np.bitwise_count(hashes.coarse[a, 0] ^ hashes.coarse[b, crop])
        fine = np.bitwise_count(hashes.fine[a, 0] ^ hashes.fine[b, crop]).sum()
        if coarse <= max_bits and fine <= confirm_bits and hashes.owner[a] != hashes.owner[b]:
            found.add(tuple(sorted((int(hashes.owner[a]), int(hashes.owner[b])))))
    return found


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 24), st.integers(1, 4), st.integers(0, 60), st.integers(0, 10**6), st.integers(0, 11),
    st.sampled_from(near.BANDS),
)  # fmt: skip
def test_near_pairs_are_those_that_trying_every_pair_finds(
    count: int, bases: int, most_flips: int, seed: int, max_bits: int, bands: int
) -> None:
    hashes = random_hashes(count, bases, most_flips, seed)
    with mock.patch.object(near, "BANDS", (bands,)):
        pairs = zip(*near_pairs(hashes, max_bits=max_bits, confirm_bits=40), strict=True)
    assert {(int(a), int(b)) for a, b in pairs} == every_pair(hashes, max_bits, 40)


@pytest.mark.parametrize("bands", near.BANDS)
@pytest.mark.parametrize("max_bits", [0, 5, 8, 10, 11])
def test_values_that_differ_in_any_bits_up_to_the_limit_are_found(bands: int, max_bits: int) -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**64, 4000, dtype=np.uint64)
    flips = [sum(1 << int(bit) for bit in rng.choice(64, size, False)) for size in rng.integers(0, 13, len(keys))]
    queries = keys ^ np.array(flips, dtype=np.uint64)
    with mock.patch.object(near, "BANDS", (bands,)):
        blocks = list(near._close_values(keys, queries, max_bits))
    found = {(int(a), int(b)) for block in blocks for a, b in zip(*block, strict=True)}
    assert found == {(i, i) for i, flip in enumerate(flips) if flip.bit_count() <= max_bits}


def chain(length: int, step_bits: int) -> PictureHashes:
    """Pictures that each differ from the last in `step_bits` other bits of the fine hash, and in none of the coarse."""
    bits = np.zeros((length, 256), dtype=np.uint8)
    for link in range(1, length):
        bits[link:, (link - 1) * step_bits : link * step_bits] ^= 1
    fine = np.packbits(bits, axis=1).view(np.uint64)
    words = np.tile(np.column_stack([np.zeros(length, dtype=np.uint64), fine]), (1, len(CROPS)))
    return PictureHashes.from_words(np.arange(length), words)


def test_a_chain_that_drifts_is_cut_and_a_short_one_is_not() -> None:
    short = group_duplicates(digests(3), chain(3, 30), max_bits=8, confirm_bits=40)
    assert (len(set(short.names)), short.chains_cut) == (1, 0)
    long = group_duplicates(digests(8), chain(8, 30), max_bits=8, confirm_bits=40)
    assert (len(set(long.names)), long.chains_cut) == (3, 1)


def test_a_crowd_of_equal_hashes_is_one_group() -> None:
    crowd = 5 * LARGEST_BUCKET
    words = np.zeros((crowd, WORDS_PER_VIEW), dtype=np.uint64)
    hashes = PictureHashes.from_words(np.arange(crowd), words)
    assert len(set(group_duplicates(digests(crowd), hashes, **LIMITS).names)) == 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 20))
def test_groups_and_their_names_do_not_depend_on_the_order_of_images(seed: int, count: int) -> None:
    hashes = random_hashes(count, 2, 50, seed)
    hashes = PictureHashes(np.arange(count), hashes.coarse, hashes.fine, hashes.colours)
    names = group_duplicates(digests(count), hashes, max_bits=8, confirm_bits=24).names
    order = np.random.default_rng(seed).permutation(count)
    shuffled = PictureHashes(np.arange(count), hashes.coarse[order], hashes.fine[order], hashes.colours[order])
    again = group_duplicates([digests(count)[i] for i in order], shuffled, max_bits=8, confirm_bits=24).names
    assert again == [names[i] for i in order]
