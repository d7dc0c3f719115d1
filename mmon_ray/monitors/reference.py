"""The Reference: what a window is compared with, the training data or windows of the past."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from mmon_ray.core.codec import Coded, kinds
from mmon_ray.core.window import Window
from mmon_ray.errors import InputError

__all__ = ["Earlier", "Reference", "Rolling", "Seasonal", "Training", "parse_reference"]


class Reference(Coded, ABC):
    """What a window's distances are measured from. Schema and constraints are those of the training baseline whatever
    it is.

    >>> import mmon_ray
    >>> isinstance(mmon_ray.Rolling(24), mmon_ray.Reference)
    True
    """

    @abstractmethod
    def earlier(self, window: Window) -> list[Window]:
        """The windows whose merged states a window is compared with, the oldest first; [] for the training data."""


@dataclass(frozen=True)
class Training(Reference, kind="training"):
    """The training data, always the same.

    >>> import mmon_ray
    >>> mmon_ray.Monitor("credit").reference == mmon_ray.Training()
    True
    """

    def earlier(self, window: Window) -> list[Window]:
        """None."""
        return []


@dataclass(frozen=True)
class Earlier(Reference, ABC):
    """Windows of the past. While there are too few of them, a window is compared with the training data, and its report
    says so.

    min_windows    how many of them must have rows; half of them when 0
    min_rows       how many rows they must have together
    skip_alarmed   True leaves out windows that alarmed. A fault then never becomes the norm, but neither does a change
                   that is here to stay: it alarms until so many windows are left out that the training data take over,
                   and a new baseline is due. False lets both fade into the reference: a change alarms for as long as
                   most of the reference is older than it
    """

    min_windows: int = field(default=0, kw_only=True)
    min_rows: int = field(default=200, kw_only=True)
    skip_alarmed: bool = field(default=False, kw_only=True)

    @property
    @abstractmethod
    def count(self) -> int:
        """How many windows it asks for."""

    @property
    @abstractmethod
    def words(self) -> str:
        """Which windows these are, for people."""

    @property
    def enough(self) -> int:
        """How many of them must have rows."""
        return self.min_windows or (self.count + 1) // 2

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.min_windows <= self.count:
            raise InputError(
                f"a reference of {self.count} windows of which {self.min_windows} are needed cannot be; ask for 1 or "
                f"more of them"
            )


@dataclass(frozen=True)
class Rolling(Earlier, kind="rolling"):
    """The last windows of the same length right before: for what changes slowly and is to be followed.

    windows   how many

    >>> import mmon_ray
    >>> mmon_ray.Monitor("credit", reference=mmon_ray.Rolling(windows=24)).reference.windows
    24
    """

    windows: int = 24

    def earlier(self, window: Window) -> list[Window]:
        """The windows right before."""
        return window.before(self.windows)

    @property
    def count(self) -> int:
        """How many windows it asks for."""
        return self.windows

    @property
    def words(self) -> str:
        """Which windows these are, for people."""
        return f"the last {self.windows} windows before"


@dataclass(frozen=True)
class Seasonal(Earlier, kind="seasonal"):
    """The same hours of the same weekday in earlier weeks: for what has days and nights, workdays and weekends.

    weeks   how many

    >>> import mmon_ray
    >>> mmon_ray.Monitor("credit", reference=mmon_ray.Seasonal(weeks=4)).reference.weeks
    4
    """

    weeks: int = 4

    def earlier(self, window: Window) -> list[Window]:
        """The same window, whole weeks before."""
        return window.weeks_before(self.weeks)

    @property
    def count(self) -> int:
        """How many windows it asks for."""
        return self.weeks

    @property
    def words(self) -> str:
        """Which windows these are, for people."""
        return f"the same weekday and hour of the last {self.weeks} weeks"


def parse_reference(text: str) -> Reference:
    """The reference that a text names: `training`, `rolling:24`, `seasonal:4`; without a number, its usual one.

    errors   InputError names those that there are
    """
    name, colon, number = text.strip().partition(":")
    known = kinds(Reference)
    if name not in known or (colon and not (issubclass(known[name], Earlier) and re.fullmatch(r"\d{1,6}", number))):
        raise InputError(f"'{text}' is not a reference; write training, rolling:24 (windows) or seasonal:4 (weeks)")
    made: Reference = known[name](int(number)) if colon else known[name]()
    return made
