"""The objects of labels that were read last, kept in memory: the hours of a week are joined one after another with the
same new objects."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import pyarrow as pa

from mmon_ray.labels.match import Hashes, hashed, known_among
from mmon_ray.labels.store import ID, read_labels
from mmon_ray.storage.store import Entry, Store

__all__ = ["LabelsObject", "labels_object"]

_MOST_BYTES = 256_000_000


@dataclass(frozen=True, eq=False)
class LabelsObject:
    """One object of labels, read.

    labels    in the form of `labels.read_labels`
    hashes    of their ids
    unusable  how many of its rows are no labels
    """

    labels: pa.Table
    hashes: Hashes
    unusable: int

    def own(self, ids: Hashes) -> pa.Table:
        """The labels whose ids are among some, which are sorted."""
        mask = known_among(self.hashes, ids)
        return self.labels if mask.all() else self.labels.filter(pa.array(mask))


@dataclass
class _Recent:
    """Objects by store, key and version, the one used last at the end; no more than some bytes of them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    objects: OrderedDict[tuple[str, str, str], LabelsObject] = field(default_factory=OrderedDict)
    size_bytes: int = 0

    def get(self, key: tuple[str, str, str]) -> LabelsObject | None:
        with self.lock:
            found = self.objects.get(key)
            if found is not None:
                self.objects.move_to_end(key)
            return found

    def put(self, key: tuple[str, str, str], made: LabelsObject) -> None:
        with self.lock:
            if key not in self.objects:
                self.objects[key] = made
                self.size_bytes += _size(made)
            while self.size_bytes > _MOST_BYTES:
                self.size_bytes -= _size(self.objects.popitem(last=False)[1])


_recent = _Recent()


def labels_object(store: Store, entry: Entry) -> LabelsObject:
    """The labels of one object in the version that the entry names.

    errors   InputError names an object that cannot be read
    """
    key = (store.uri, entry.key, entry.version)
    found = _recent.get(key)
    if found is None:
        labels, bad = read_labels(store, entry)
        found = LabelsObject(labels, hashed(labels[ID]), len(bad))
        _recent.put(key, found)
    return found


def _size(one: LabelsObject) -> int:
    return int(one.labels.nbytes + one.hashes.nbytes)
