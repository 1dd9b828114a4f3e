"""What a disk may hold after a power cut: of every file what was flushed, of every folder what was flushed or more.

In: the calls of a command, in order. Out: every state that some cut can leave, and breaches of the order that makes a
file durable. The model is the weakest that POSIX allows: a file's content is lost unless it was flushed after the last
write; each change of a folder that was not flushed may have happened or not, whatever the order. A rename happens
in full or not at all.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.system_calls import Call

# Of more changes than this that are not flushed, not every subset is tried.
ALL_SUBSETS_OF = 5

OLD, TORN, ABSENT = "old", "torn", "absent"


@dataclass
class Node:
    """A file or folder, whatever its name: `written` counts its writes, `flushed` those that are on the disk."""

    folder: bool = False
    existed: bool = False
    written: int = 0
    flushed: int = 0
    number: int = 0


@dataclass
class Change:
    """One call's change of names, not yet flushed."""

    names: dict[str, Node | None]
    folders: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.folders = {str(Path(name).parent) for name in self.names}


class Disk:
    """A disk during a command.

    Parameters
    ----------
    existing
        Paths that are on the disk before; folders with True.
    watched
        Paths of outputs.
    record
        The path of the record that lists them, or none.
    """

    def __init__(self, existing: Mapping[str, bool], watched: Iterable[str], record: str = "") -> None:
        self.names = {path: Node(folder=folder, existed=True) for path, folder in existing.items()}
        self.durable = dict(self.names)
        self.pending: list[Change] = []
        self.watched, self.record = list(watched), record
        self.breaches: list[str] = []
        self._numbers = itertools.count(1)
        self._folders = {path for path, folder in existing.items() if folder}
        self._decisive = {*self.watched, *(str(parent) for path in self.watched for parent in Path(path).parents)}

    def replay(self, calls: Iterable[Call]) -> Iterator[dict[str, str]]:
        """Make the calls; yield what each watched path may be after a cut at any moment."""
        yield from self._states()
        for call in calls:
            if self._make(call):
                yield from self._states()

    def check_finished(self) -> None:
        """Note what is not durable although the command has ended; of what it has removed, nothing need be."""
        for path in self.watched:
            if path in self.names and not self._is_durable(path):
                self.breaches.append(f"{path} is not on the disk when the command ends")

    def _make(self, call: Call) -> bool:
        """Make one call; whether the states have changed."""
        node = self.names.get(call.path)
        if call.kind in ("write", "truncate"):
            return node is not None and self._write(node)
        if call.kind == "flush":
            return node is not None and self._flush(call.path, node)
        if call.kind == "mkdir":
            self._folders.add(call.path)
        if call.kind in ("create", "mkdir"):
            return node is None and self._change({call.path: self._new(folder=call.kind == "mkdir")})
        if call.kind == "unlink":
            return node is not None and self._change({call.path: None})
        if node is None:  # made outside the folder
            node = self._new(folder=False)
        self._check_order(call.other, node)
        return self._change({call.other: node} | ({call.path: None} if call.kind == "rename" else {}))

    def _new(self, *, folder: bool) -> Node:
        return Node(folder=folder, number=next(self._numbers))

    def _write(self, node: Node) -> bool:
        was_clean = node.written == node.flushed
        node.written += 1
        return was_clean

    def _flush(self, path: str, node: Node) -> bool:
        if not node.folder:
            node.flushed = node.written
            return True
        for change in [change for change in self.pending if path in change.folders]:
            self._apply(change)
        return True

    def _apply(self, change: Change) -> None:
        """Put a change on the disk; earlier ones of the same names have no effect any more."""
        place = self.pending.index(change)
        for earlier in self.pending[:place]:
            for name in change.names:
                earlier.names.pop(name, None)
        del self.pending[place]
        _set(self.durable, change)

    def _change(self, names: dict[str, Node | None]) -> bool:
        change = Change(names)
        _set(self.names, change)
        self.pending.append(change)
        return not self._decisive.isdisjoint(names)

    def _check_order(self, path: str, node: Node) -> None:
        if path not in self._decisive or node.folder:
            return
        if node.written != node.flushed:
            self.breaches.append(f"{path} gets its name before it is flushed")
        if path == self.record:
            for other in self.watched:
                if other != path and not self._is_durable(other):
                    self.breaches.append(f"{path} is in place before {other} is on the disk")

    def _is_durable(self, path: str) -> bool:
        """Whether no cut can change what is at a path, and its folders are on the disk too."""
        node = self.names.get(path)
        if node is not None and node.written != node.flushed:
            return False
        above = [path, *(str(parent) for parent in Path(path).parents)]
        return not any(name in change.names for change in self.pending for name in above)

    def _states(self) -> Iterator[dict[str, str]]:
        changes = [change for change in self.pending if not self._decisive.isdisjoint(change.names)]
        for chosen in _subsets(changes):
            names = dict(self.durable)
            for change in chosen:
                _set(names, change)
            yield {path: self._describe(path, names) for path in self.watched}

    def _describe(self, path: str, names: Mapping[str, Node]) -> str:
        node = names.get(path)
        reachable = all(str(parent) in names for parent in Path(path).parents if str(parent) in self._folders)
        if node is None or not reachable:
            return ABSENT
        if node.written != node.flushed:
            return TORN
        return OLD if node.existed and not node.written else f"{node.number}.{node.written}"


def _set(names: dict[str, Node], change: Change) -> None:
    for name, node in change.names.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _subsets(changes: list[Change]) -> Iterator[list[Change]]:
    """Subsets of the changes, in order: all of a few; of many, those that have at most one, or lack at most one."""
    if len(changes) <= ALL_SUBSETS_OF:
        sizes: Iterable[int] = range(len(changes) + 1)
    else:
        sizes = (0, 1, len(changes) - 1, len(changes))
    for size in sizes:
        yield from map(list, itertools.combinations(changes, size))
