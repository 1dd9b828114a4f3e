"""The parts of a JPEG file: its frame, its scans and where their data end.

In: the file's bytes. Out: its segments, and whether scans and restart marks come in the order that the standard asks
for. libjpeg only warns where they do not, and Pillow hides the warning.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

SEGMENT = re.compile(rb"\xff+([\x01-\xfe])")
# What ends the data of a scan: any mark but a stuffed zero, a restart mark and a fill byte.
SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
MARK = re.compile(rb"\xff[^\x00\xff]")
WITHOUT_LENGTH = (0x01, 0xD8, *range(0xD0, 0xD8))
START_OF_SCAN, END_OF_IMAGE, RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
FRAMES = (0xC0, 0xC1, 0xC2)
PROGRESSIVE = 0xC2


@dataclass(frozen=True)
class Segment:
    """A marker, the content of its segment, and where the content ends: a scan's data begin there."""

    marker: int
    content: bytes
    end: int


@dataclass(frozen=True)
class Frame:
    """A frame's kind, size in pixels, and per component its name and sampling factors."""

    marker: int
    height: int
    width: int
    components: dict[int, tuple[int, int]]

    @property
    def units(self) -> int:
        """How many units (MCUs) a scan of all components has."""
        if len(self.components) == 1:
            return -(-self.width // 8) * -(-self.height // 8)
        across, down = (max(factors[side] for factors in self.components.values()) for side in (0, 1))
        return -(-self.width // (8 * across)) * -(-self.height // (8 * down))


def segments(encoded: bytes) -> Iterator[Segment]:
    """Give the segments of the first image in a file; the data of scans are passed over."""
    place = 0
    while (found := SEGMENT.match(encoded, place)) and found[1][0] != END_OF_IMAGE:
        marker, place = found[1][0], found.end()
        if marker in WITHOUT_LENGTH:
            continue
        end = place + int.from_bytes(encoded[place : place + 2], "big")
        yield Segment(marker, encoded[place + 2 : end], end)
        place = scan_end(encoded, end) if marker == START_OF_SCAN else end


def scan_end(encoded: bytes, start: int) -> int:
    """Where the data of a scan end that begin at a place."""
    found = SCAN_END.search(encoded, start)
    return found.start() if found else len(encoded)


def read_frame(segment: Segment) -> Frame | None:
    """Read a frame; None if it is damaged."""
    try:
        _, height, width, count = struct.unpack_from(">BHHB", segment.content)
        parts = [struct.unpack_from(">BBB", segment.content, 6 + 3 * number) for number in range(count)]
    except struct.error:
        return None
    components = {name: (factors >> 4, factors & 15) for name, factors, _ in parts}
    whole = height and width and all(all(factors) for factors in components.values())
    return Frame(segment.marker, height, width, components) if whole and components else None


@dataclass(frozen=True)
class SingleScan:
    """The only scan of a JPEG: where its data begin and end, and the numbers of its restart marks."""

    frame: Frame
    interval: int
    start: int
    end: int
    restarts: list[int]


def single_scan(encoded: bytes) -> SingleScan | None:
    """Find the only scan; None where pixels stand in several, or the parts of the file are not as they should be."""
    frame, interval = None, 0
    for segment in segments(encoded):
        if segment.marker in FRAMES:
            frame = read_frame(segment)
        elif segment.marker == RESTART_INTERVAL:
            interval = int.from_bytes(segment.content[:2], "big")
        elif segment.marker == START_OF_SCAN:
            if frame is None or frame.marker == PROGRESSIVE or segment.content[:1] != bytes([len(frame.components)]):
                return None
            return _read_scan(encoded, segment.end, frame, interval)
    return None


def _read_scan(encoded: bytes, start: int, frame: Frame, interval: int) -> SingleScan:
    restarts: list[int] = []
    for mark in MARK.finditer(encoded, start):
        code = encoded[mark.start() + 1]
        if not 0xD0 <= code <= 0xD7:
            return SingleScan(frame, interval, start, mark.start(), restarts)
        restarts.append(code - 0xD0)
    return SingleScan(frame, interval, start, len(encoded), restarts)


def restart_problem(scan: SingleScan) -> str:
    """What is wrong with the restart marks: they are numbered in turn, and as many as the frame asks for."""
    wanted = -(-scan.frame.units // scan.interval) - 1 if scan.interval else 0
    if scan.restarts != [number % 8 for number in range(wanted)]:
        return f"{len(scan.restarts)} restart marks stand in its pixels, {wanted} belong there, numbered in turn"
    return ""


def progression_problem(encoded: bytes) -> str:
    """What is wrong with the scans of a progressive JPEG: each refines what an earlier one gave, by one bit."""
    frame: Frame | None = None
    known: dict[tuple[int, int], int] = {}
    for segment in segments(encoded):
        if segment.marker in FRAMES:
            frame = read_frame(segment)
        is_scan = segment.marker == START_OF_SCAN and frame and frame.marker == PROGRESSIVE
        if is_scan and (problem := _scan_problem(segment.content, known)):
            return problem
    if frame and frame.marker == PROGRESSIVE and any((name, 0) not in known for name in frame.components):
        return "a component has no scan: the file is truncated"
    return ""


def _scan_problem(header: bytes, known: dict[tuple[int, int], int]) -> str:
    """Whether a scan fits those before it, and add it to them: the lowest known bit by component and coefficient."""
    count = header[0] if header else 0
    if len(header) != 4 + 2 * count:
        return "a scan's header is damaged"
    first, last, bits = header[-3:]
    before, after = bits >> 4, bits & 15
    for name in header[1 : 1 + 2 * count : 2]:
        for coefficient in range(first, min(last, 63) + 1):
            wanted = known.get((name, coefficient), 0)
            if before != wanted or (before and after != before - 1) or ((name, coefficient) in known and not before):
                return "a scan is there twice, or one before it is missing"
            known[name, coefficient] = after
    return ""
