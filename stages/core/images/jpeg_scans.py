"""The parts of a JPEG file: its frame, its scans and where their data end.

In: the file's bytes. Out: its segments, and whether scans and restart marks come in the order that the standard asks
for. libjpeg only warns where they do not, and Pillow hides the warning.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

SEGMENT = re.compile(rb"(?s)\xff+([\x01-\xfe])")
# What ends the data of a scan: any mark but a stuffed zero, a restart mark and a fill byte.
SCAN_END = re.compile(rb"(?s)\xff[^\x00\xff\xd0-\xd7]")
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
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


def single_scan(encoded: bytes) -> tuple[Frame, int, int] | None:
    """Find the scan of a JPEG whose pixels all stand in one: its frame, where its data begin, and the restart interval.

    None where pixels stand in several scans, or the parts of the file are not as they should be.
    """
    frame, interval = None, 0
    for segment in segments(encoded):
        if segment.marker in FRAMES:
            frame = read_frame(segment)
        elif segment.marker == RESTART_INTERVAL:
            interval = int.from_bytes(segment.content[:2], "big")
        elif segment.marker == START_OF_SCAN:
            alone = frame and frame.marker != PROGRESSIVE and segment.content[:1] == bytes([len(frame.components)])
            return (frame, segment.end, interval) if frame and alone else None
    return None


def restart_problem(encoded: bytes) -> str:
    """What is wrong with the restart marks of a single scan: they are numbered, and as many as the frame asks for."""
    found = single_scan(encoded)
    if found is None:
        return ""
    frame, start, interval = found
    marks = [mark[0] - 0xD0 for mark in RESTART.findall(encoded, start, scan_end(encoded, start))]
    wanted = -(-frame.units // interval) - 1 if interval else 0
    if marks != [number % 8 for number in range(wanted)]:
        return f"{len(marks)} restart marks stand in its pixels, {wanted} belong there, numbered in turn"
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
