"""The Tally: what became of the captured lines, and which bodies were only half understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmon_ray.core.codec import Coded

__all__ = ["Tally", "Unclear"]

_COUNTED = ("requests", "rows", "failed", "rejected", "unmatched", "spoiled", "skipped", "unclear", "bad_times")
_EXAMPLES = 3
_MANY = 0.1  # a larger share of requests that are no predictions is said in the report


@dataclass(frozen=True)
class Unclear(Coded, kind="unclear_body"):
    """Bodies of which something was not understood.

    reason   what
    count    of how many requests
    body     the beginning of the first such body, on one line
    """

    reason: str
    count: int
    body: str


@dataclass(frozen=True)
class Tally(Coded, kind="tally"):
    """What became of the captured lines.

    requests   lines read
    rows       typed rows made of them
    failed     requests that the deployment answered with an error or did not answer
    rejected   lines that could not be read, or of whose answered request the monitor's `pre` hook could make nothing;
               kept in `rejected-*.jsonl`
    unmatched  requests whose answer could not be split like its instances; their predictions are empty
    spoiled    rows of which a preparation could not make something; what it could not make is empty
    skipped    requests that the monitor's `pre` hook has left out by returning None or no rows
    reasons    a few of the reasons for rejections and spoiled rows, for people
    unclear    requests, not failed ones, whose body fits no rule: their rows are not those of the baseline
    bodies     a few of the reasons why requests are unclear or unmatched, each with its first body
    left_out   requests that are no predictions, by reason: `redirect`, `health or metrics`, `no input`, `not chosen`
               ...
    renamed    those of the names that the monitor renames that some request had
    bad_times  requests that said when they happened in a form that is no time; they are in the hour of their arrival
    """

    requests: int = 0
    rows: int = 0
    failed: int = 0
    rejected: int = 0
    unmatched: int = 0
    spoiled: int = 0
    skipped: int = 0
    reasons: tuple[str, ...] = ()
    unclear: int = 0
    bodies: tuple[Unclear, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    bad_times: int = 0
    renamed: tuple[str, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        counts: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _COUNTED}
        reasons = tuple(dict.fromkeys(self.reasons + other.reasons))[:_EXAMPLES]
        left = {
            name: self.left_out.get(name, 0) + other.left_out.get(name, 0)
            for name in {**self.left_out, **other.left_out}
        }
        renamed = tuple(dict.fromkeys(self.renamed + other.renamed))
        return Tally(
            **counts, reasons=reasons, bodies=_together(self.bodies, other.bodies), left_out=left, renamed=renamed
        )

    @property
    def asked(self) -> int:
        """Requests without those that are no predictions: of these a share is lost, however often a probe looks in."""
        return self.requests - sum(self.left_out.values())

    @property
    def left_out_words(self) -> str:
        """How many requests are no predictions and why, and what to do when they are; "" when there are none."""
        if not self.left_out:
            return ""
        reasons = ", ".join(
            f"{reason}: {count:,}" for reason, count in sorted(self.left_out.items(), key=lambda item: -item[1])
        )
        what = f"{self.requests - self.asked:,} of {self.requests:,} requests are left out ({reasons})"
        return (
            f"{what}; routes=('/...',) of the monitor, `--route` or the routes in checks.json say which ones are "
            f"predictions"
        )

    def notes(self) -> Iterator[str]:
        """What people should know, a sentence each."""
        if self.rejected:
            yield (
                f"{self.rejected:,} of {self.asked:,} captured lines could not be read and are kept beside the "
                f"records, in rejected-*.jsonl: {'; '.join(self.reasons)}"
            )
        for one in self.bodies:
            yield (
                f"{one.count:,} of {self.asked:,} requests were only half understood: {one.reason}, such as {one.body}"
            )
        if self.requests - self.asked > _MANY * self.requests:
            yield self.left_out_words
        if self.bad_times:
            yield f"the event time of {self.bad_times:,} requests could not be read; they are in the hour they came in"


def _together(some: tuple[Unclear, ...], more: tuple[Unclear, ...]) -> tuple[Unclear, ...]:
    if not more:
        return some
    by_reason = {one.reason: one for one in some}
    for one in more:
        known = by_reason.get(one.reason)
        by_reason[one.reason] = one if known is None else replace(known, count=known.count + one.count)
    return tuple(by_reason.values())[:_EXAMPLES]
