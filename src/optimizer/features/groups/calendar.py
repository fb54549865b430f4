"""Where time t lies in the day, week, month and year of the fleet's time zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optimizer.core.errors import ConfigError
from optimizer.features.base import Array, Block, Feature, FeatureGroup, Layout, Planned


@dataclass(frozen=True)
class WallClock:
    """What the users' clock and calendar show, one entry per time."""

    hour: Array
    minute: Array
    weekday: Array
    day: Array
    month_length: Array
    day_of_year: Array
    date: NDArray[np.datetime64]

    @classmethod
    def at(cls, times: pd.DatetimeIndex, timezone: str) -> WallClock:
        """Return the clock of a time zone at ascending UTC times."""
        local = times.tz_convert(timezone).tz_localize(None)
        return cls(
            hour=np.asarray(local.hour),
            minute=np.asarray(local.minute),
            weekday=np.asarray(local.dayofweek),
            day=np.asarray(local.day),
            month_length=np.asarray(local.days_in_month),
            day_of_year=np.asarray(local.dayofyear),
            date=local.to_numpy().astype("datetime64[D]"),
        )


Reading = Callable[[WallClock], Any]


@dataclass(frozen=True)
class Calendar(FeatureGroup):
    """Cyclic encodings of the clock, working hours and public holidays.

    Leave the group out (``features=no_calendar``) for anonymised traces, whose clock is not
    true. Information at time t: t itself.

    Parameters
    ----------
    country : str
        ISO 3166 code of the holidays, as the ``holidays`` library knows it.
    timezone : str
        Time zone in which users live; cyclic encodings follow its wall clock.
    """

    country: str = "US"
    timezone: str = "UTC"
    name: ClassVar[str] = "calendar"
    view: ClassVar[str] = "temporal_features"
    scope: ClassVar[str] = "cluster"

    def __post_init__(self) -> None:
        """Check the time zone and country."""
        import zoneinfo

        import holidays

        if self.timezone not in zoneinfo.available_timezones():
            raise ConfigError(
                "features.groups.calendar.timezone",
                seen=repr(self.timezone),
                allowed="an IANA time zone",
                fix="set features.groups.calendar.timezone=UTC",
            )
        if self.country not in holidays.list_supported_countries():
            raise ConfigError(
                "features.groups.calendar.country",
                seen=repr(self.country),
                allowed="an ISO 3166 code known to the holidays library",
                fix="set features.groups.calendar.country=US",
            )

    def features(self, layout: Layout) -> Planned:
        """Return the calendar features; they need no metric."""
        cycles: dict[str, Reading] = {
            "hour": lambda t: (t.hour + t.minute / 60) / 24,
            "day_of_week": lambda t: (t.weekday + t.hour / 24) / 7,
            "day_of_month": lambda t: (t.day - 1) / t.month_length,
            "day_of_year": lambda t: (t.day_of_year - 1) / 366,
        }
        flags: dict[str, Reading] = {
            "is_weekend": lambda t: t.weekday >= 5,
            "is_working_hour": lambda t: (t.weekday < 5) & (t.hour >= 8) & (t.hour < 18),
            "is_night": lambda t: (t.hour < 6) | (t.hour >= 22),
            "is_month_start": lambda t: t.day <= 3,
            "is_month_end": lambda t: t.day > t.month_length - 3,
            "is_holiday": lambda t: self._is_holiday(t.date),
            "is_day_before_holiday": lambda t: self._is_holiday(t.date + 1),
        }
        found = []
        for name, cycle in cycles.items():
            found.append(self._feature(f"{name}_sin", _wave(cycle, np.sin)))
            found.append(self._feature(f"{name}_cos", _wave(cycle, np.cos)))
        found += [self._feature(name, flag) for name, flag in flags.items()]
        return found

    def _feature(self, name: str, reading: Reading) -> Feature:
        def row(block: Block) -> Array:
            clock = block.once(
                ("clock", self.timezone), lambda: WallClock.at(block.times, self.timezone)
            )
            return np.asarray(reading(clock), dtype=np.float32)[None, :]

        def compute(block: Block) -> Array:
            return block.once(("calendar", name), lambda: row(block))

        return Feature(self.spec(name, "1", "0h", ()), compute)

    def _is_holiday(self, date: NDArray[np.datetime64]) -> Array:
        first, last = (int(day.astype("datetime64[Y]").astype(int)) for day in (date[0], date[-1]))
        years = range(1970 + first, 1971 + last)
        return np.isin(date, np.concatenate([_holidays(self.country, year) for year in years]))


@cache
def _holidays(country: str, year: int) -> NDArray[np.datetime64]:
    """Return the public holidays of a year, as days."""
    import holidays

    return np.array(sorted(holidays.country_holidays(country, years=year)), "datetime64[D]")


def _wave(cycle: Reading, function: np.ufunc) -> Reading:
    return lambda clock: function(2 * np.pi * cycle(clock))
