"""Only the own layout is read: what another program has made of a file, or chance, is refused by name or read right.

CACHE_FUZZ=20000 uv run pytest tests/cache/test_foreign_files.py    mutates more than the default 1,000 of each kind
"""

import collections
import os
import random
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache import CacheError, DamagedFileError, FeatureCache, FeatureDataset
from cache.structure import hash_lookup3
from tests.cache.extraction import SHAPE, extract, features_of, keys_of, same_bits, store_at
from tests.cache.files import KEYS, publish_all

FUZZ = int(os.environ.get("CACHE_FUZZ", "1000"))
MOST_BYTES = 8 * 2**20  # that reading a file of 8 kB may take, whatever it claims to hold


def replace_features(file: h5py.File, **options: object) -> None:
    content = file["features"][:]
    del file["features"]
    dtype = options.pop("dtype", content.dtype)
    file.create_dataset("features", data=content.astype(dtype), dtype=dtype, **options)


def use_external_file(file: h5py.File) -> None:
    """The features lie in a file of somebody else's."""
    content = file["features"][:]
    outside = Path(file.filename).with_name("outside.raw")
    content.tofile(outside)
    del file["features"]
    file.create_dataset("features", content.shape, content.dtype, external=[(str(outside), 0, content.nbytes)])


def use_virtual_dataset(file: h5py.File) -> None:
    content = file["features"][:]
    outside = Path(file.filename).with_name("outside.h5")
    with h5py.File(outside, "w") as other:
        other["features"] = content
    del file["features"]
    layout = h5py.VirtualLayout(content.shape, content.dtype)
    layout[:] = h5py.VirtualSource(str(outside), "features", content.shape)
    file.create_virtual_dataset("features", layout)


def use_external_link(file: h5py.File) -> None:
    outside = Path(file.filename).with_name("outside.h5")
    with h5py.File(outside, "w") as other:
        other["features"] = file["features"][:]
    del file["features"]
    file["features"] = h5py.ExternalLink(str(outside), "/features")


def use_soft_link(file: h5py.File) -> None:
    file["elsewhere"] = file["features"]
    del file["features"]
    file["features"] = h5py.SoftLink("/elsewhere")


def use_committed_type(file: h5py.File) -> None:
    file["type"] = np.dtype("<f2")
    content = file["features"][:]
    del file["features"]
    file.create_dataset("features", data=content, dtype=file["type"])
    del file["type"]


def keep_two_names(file: h5py.File) -> None:
    del file["key"]
    file["key"] = file["checksum"]


FOREIGN = {
    "external storage": (use_external_file, "external files"),
    "virtual": (use_virtual_dataset, "virtual"),
    "compressed": (lambda file: replace_features(file, compression="gzip"), "compressed"),
    "chunked": (lambda file: replace_features(file, chunks=(1, *SHAPE)), "chunked"),
    "shuffled": (lambda file: replace_features(file, chunks=(1, *SHAPE), shuffle=True), "filtered"),
    "extendable": (lambda file: replace_features(file, maxshape=(None, *SHAPE)), "chunked"),
    "soft link": (use_soft_link, "soft link"),
    "external link": (use_external_link, "external link"),
    "committed type": (use_committed_type, "committed|header version 1"),
    "float32": (lambda file: replace_features(file, dtype="<f4"), "float16|header version 1"),
    "big-endian": (lambda file: replace_features(file, dtype=">f2"), "float16|header version 1"),
    "another dataset": (lambda file: file.create_dataset("notes", data=[1]), "holds 'notes', which is not in the"),
    "a group": (lambda file: file.create_group("more"), "holds 'more', which is not in the layout"),
    "one dataset by two names": (keep_two_names, "'checksum' has a second name"),
}


def rewrite(path: Path, change, libver: str) -> None:
    """Change a file in place, as a script does; new objects are written as `libver` says."""
    with h5py.File(path, "r+", libver=libver) as file:
        change(file)


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_another_program_makes_of_a_file_is_refused_by_name(published, name, libver):
    change, reason = FOREIGN[name]
    rewrite(published, change, libver)
    with pytest.raises(DamagedFileError, match=rf"features\.h5 is damaged: .*({reason})"):
        FeatureCache(published)


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_a_file_that_another_program_has_copied_is_refused_or_the_same(published, libver):
    """HDF5 1.8 and later can write the same layout; older formats have no checksums."""
    expected = read_everything(published)
    copy = published.with_name("copy.h5")
    with h5py.File(published) as source, h5py.File(copy, "w", libver=libver) as target:
        for name in source:
            source.copy(name, target)
        for name, value in source.attrs.items():
            target.attrs.create(name, value, dtype=source.attrs.get_id(name).dtype)
    os.replace(copy, published)
    if libver == "earliest":
        with pytest.raises(DamagedFileError, match=r"another program has written it .HDF5 superblock version 0"):
            FeatureCache(published)
    else:
        assert read_everything(published) == expected


def test_a_shard_of_another_layout_is_set_aside_and_its_images_are_absent(tmp_path, caplog):
    extract(tmp_path, KEYS)
    (shard,) = store_at(tmp_path).shards()
    rewrite(shard.path, use_external_file, "latest")
    assert store_at(tmp_path).keys() == set()
    assert "is in external files, which are never opened" in caplog.text


@pytest.mark.parametrize("kind", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_refused_without_waiting_for_it(published, kind):
    published.unlink()
    kind(published)
    with pytest.raises(CacheError):
        FeatureCache(published)


def test_the_checksum_of_the_structure_is_that_of_hdf5(published):
    content = published.read_bytes()
    assert hash_lookup3(content[:44]) == int.from_bytes(content[44:48], "little")


# Mutations


def chunks_of(content: bytes) -> list[tuple[int, int]]:
    """The chunks with a checksum of their own: superblock, object headers and their continuations."""
    found, chunks = [(0, 44)], [content.find(b"OHDR")]
    while chunks[-1] >= 0:
        start = chunks[-1]
        width = 1 << (content[start + 5] & 3)
        length = int.from_bytes(content[start + 6 : start + 6 + width], "little") + 6 + width
        found.append((start, length))
        chunks.append(content.find(b"OHDR", start + 4))
    for start, length in list(found[1:]):
        at = start
        while (at := content.find(b"\x10\x10\x00", at, start + length)) >= 0:
            where, size = (int.from_bytes(content[at + n : at + n + 8], "little") for n in (4, 12))
            if content[where : where + 4] == b"OCHK":
                found.append((where, size - 4))
            at += 3
    return found


def change_structure(content: bytearray, chance: random.Random) -> None:
    for start, length in chance.choices(chunks_of(bytes(content)), k=chance.randint(1, 4)):
        content[start + chance.randrange(length)] = chance.randrange(256)


def forge_structure(content: bytearray, chance: random.Random) -> None:
    """Change a chunk and make its checksum right, as an attacker does."""
    for start, length in chance.choices(chunks_of(bytes(content)), k=chance.randint(1, 3)):
        position = start + chance.randrange(length)
        width = chance.choice([1, 1, 2, 4, 8])
        value = chance.choice([0, 1, 2**63, 2 ** (8 * width) - 1, chance.randrange(256), len(content)])
        end = start + length
        width = min(width, end - position)
        content[position : position + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
        content[end : end + 4] = hash_lookup3(bytes(content[start:end])).to_bytes(4, "little")


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def insert_or_remove(content: bytearray, chance: random.Random) -> None:
    position = chance.randrange(len(content))
    if chance.random() < 0.5:
        content[position:position] = chance.randbytes(chance.randint(1, 64))
    else:
        del content[position : position + chance.randint(1, 64)]


def claim_more_rows(content: bytearray, chance: random.Random) -> None:
    """Every dataset claims to hold up to 2**62 rows, with the right checksums; the test makes the file sparse."""
    rows = 30 * 2 ** chance.randint(1, 57)
    for start, length in chunks_of(bytes(content)):
        chunk = content[start : start + length]
        for factor in (1, 8, 64, 29, 96):
            old, new = ((30 * factor).to_bytes(8, "little"), (rows * factor % 2**64).to_bytes(8, "little"))
            chunk = chunk.replace(old, new)
        content[start : start + length] = chunk
        content[start + length : start + length + 4] = hash_lookup3(bytes(chunk)).to_bytes(4, "little")


def overwrite(content: bytearray, chance: random.Random) -> None:
    """As a disk does: a sector of zeros, of other bytes, or of another place."""
    start, size = chance.randrange(len(content)), chance.choice([1, 8, 64, 512, 4096])
    size = min(size, len(content) - start)
    other = chance.randrange(len(content) - size + 1)
    content[start : start + size] = chance.choice(
        [bytes(size), chance.randbytes(size), bytes(content[other : other + size])]
    )


MUTATIONS = [change_structure, forge_structure, forge_structure, cut, insert_or_remove, claim_more_rows, overwrite]


def read_everything(path: Path) -> list:
    """Read a file in every way that a `FeatureCache` has."""
    found: list = []
    with FeatureCache(path) as cache:
        rows = np.arange(len(cache))
        found += [cache.shape, cache.fingerprint, cache.description, cache.keys.tobytes()]
        found += [cache.take(rows, 1).tobytes(), cache.take(rows).tobytes(), cache.get(cache.keys).tobytes()]
        found += [np.stack(FeatureDataset(cache, cache.keys, view=0).__getitems__(list(range(len(cache))))).tobytes()]
        if path.name == "features.h5":
            found += [cache.images]
    return found


@pytest.fixture(params=["published", "shard"])
def file(request, tmp_path) -> Path:
    extract(tmp_path, KEYS)
    return publish_all(tmp_path) if request.param == "published" else store_at(tmp_path).shards()[0].path


def outcome_of(file: Path, expected: list) -> str:
    try:
        found = read_everything(file)
    except CacheError as error:
        return f"{type(error).__name__} in several lines" if "\n" in str(error) else type(error).__name__
    return "read right" if found == expected else "read wrong"


def test_a_mutated_file_is_refused_or_read_right_in_bounded_memory(file, capsys):
    original, expected = file.read_bytes(), read_everything(file)
    chance = random.Random(0)
    outcomes: collections.Counter[str] = collections.Counter()
    tracemalloc.start()
    for number in range(FUZZ):
        content = bytearray(original)
        mutate = MUTATIONS[number % len(MUTATIONS)]
        mutate(content, chance)
        file.unlink()
        file.write_bytes(content)
        if mutate is claim_more_rows or (mutate is forge_structure and number % 2):
            os.truncate(file, len(content) + 2 ** chance.randint(20, 40))
        tracemalloc.reset_peak()
        outcomes[outcome_of(file, expected)] += 1
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES, f"mutation {number} ({mutate.__name__})"
    tracemalloc.stop()
    with capsys.disabled():
        print(f"\n{FUZZ} mutations of {file.name[:8]}: {dict(outcomes)}")
    assert outcomes.keys() <= {"DamagedFileError", "CacheError", "read right"}
    assert outcomes["DamagedFileError"] > FUZZ / 2


def test_a_sparse_file_of_a_tebibyte_is_refused_at_once(published):
    content = bytearray(published.read_bytes())
    claim_more_rows(content, random.Random(1))
    published.write_bytes(content)
    os.truncate(published, 2**40)
    with pytest.raises(DamagedFileError):
        FeatureCache(published)


@pytest.mark.parametrize("check", ["first_touch", "opening"])
def test_no_damage_of_features_is_read_in_silence(file, check):
    """Of 300 damages to the features, each is refused; the other rows are still read."""
    with h5py.File(file) as source:
        offset, size = source["features"].id.get_offset(), source["features"].id.get_storage_size()
    original, expected = file.read_bytes(), {key: features_of([key]) for key in KEYS}
    chance = random.Random(2)
    row_bytes = size // len(KEYS)
    for _ in range(300):
        content = bytearray(original)
        position = chance.randrange(size)
        content[offset + position] ^= chance.randrange(1, 256)
        file.unlink()
        file.write_bytes(content)
        if check == "opening":
            with pytest.raises(DamagedFileError, match=f"row {position // row_bytes} "):
                FeatureCache(file, check="opening")
            continue
        with FeatureCache(file) as cache:
            damaged = cache.keys[position // row_bytes].decode()
            with pytest.raises(DamagedFileError, match=f"row {position // row_bytes} "):
                cache.get(KEYS)
            others = chance.sample([key for key in KEYS if key != damaged], 5)
            assert same_bits(cache.get(others), np.concatenate([expected[key] for key in others]))


def test_the_claims_of_more_rows_fit_the_files():
    """The mutations above count on 30 rows of 96 bytes and names of 29."""
    assert (len(KEYS), int(np.prod(SHAPE)) * 2) == (30, 96)
    assert keys_of(30) == KEYS
