"""The settings of a grid: methods x intervals x orders."""

from collections.abc import Iterable
from dataclasses import dataclass

from clusca_ext.checks import integers
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.forecast import MAX_ORDER
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER, COUNTS, all_methods, configured


@dataclass(frozen=True)
class Setting:
    """A method at an interval and an order.

    Attributes:
        method: Its entry in ``METHODS`` or ``FITTED``.
        interval: Interval of the schedule; of ``COUNTS`` the number of full steps.
        order: Order of the forecaster.
        config: The configuration, or why there is none.
    """

    method: str
    interval: int
    order: int
    config: ClusCaConfig | str

    def __str__(self) -> str:
        return f"{self.method}, interval {self.interval}, order {self.order}"


# What is measured where nothing else is asked for.
INTERVALS, ORDERS = (4, 5, 6, 7, 8), (1, 2, 3)
# Full steps of the baseline: others do as much work as any of them, and even placements of one more
# or one less do not lie on a line.
FULL_STEPS = tuple(range(3, 21))


def settings(
    methods: Iterable[str],
    intervals: Iterable[int] = INTERVALS,
    orders: Iterable[int] = ORDERS,
    baseline: Iterable[int] = (),
    model: str | None = None,
) -> list[Setting]:
    """All settings that exist, the baseline first; a method that has no order appears once.

    A configuration that cannot be made stays in the list with its error: running it fails alone.

    Args:
        methods: Entries of ``METHODS`` or ``FITTED``.
        intervals: Intervals of all of them.
        orders: Orders of their forecasters.
        baseline: Numbers of full steps of the baseline.
        model: The embedded model whose entries of ``FITTED`` there are, if any.

    Raises:
        ValueError: A method is not known, or a number is out of range.
    """
    chosen = list(dict.fromkeys(methods))
    unknown = [name for name in chosen if name not in all_methods()]
    if unknown or not chosen:
        raise ValueError(f"methods must be some of {all_methods()}, got {unknown or chosen}")
    chosen.sort(key=lambda name: name != BASELINE)
    intervals = integers("intervals", intervals, 1)
    orders = integers("orders", orders, 0, MAX_ORDER)
    found: dict[tuple[str, int, int], Setting] = {}
    for full_steps in integers("full steps of the baseline", baseline, 1):
        setting = _setting(COUNTS, full_steps, BASELINE_ORDER, model)
        if setting is not None:
            found[COUNTS, full_steps, BASELINE_ORDER] = setting
    for name in chosen:
        for order in orders:
            for interval in intervals:
                setting = _setting(name, interval, order, model)
                if setting is not None:
                    found.setdefault((name, interval, setting.order), setting)
    return list(found.values())


def described(name: str, interval: int = 5, order: int = 2, model: str | None = None) -> str:
    """The parts of a method there, or where it exists; those that do nothing are left out."""
    found = (configured(name, each, order, model) for each in (interval, *INTERVALS))
    config = next(filter(None, found), None)
    if config is None:
        return "of other models, or of runs of other steps"
    parts: list[object] = [config.schedule, config.forecaster]
    parts += [config.corrector] if config.corrector != NoCorrection() else []
    parts += [config.storage] if config.storage != "per_block" else []
    return ", ".join(map(str, parts))


def _setting(name: str, interval: int, order: int, model: str | None) -> Setting | None:
    try:
        config = configured(name, interval, order, model)
    except ValueError as error:
        return Setting(name, interval, order, f"ValueError: {error}")
    if config is None:
        return None
    return Setting(name, interval, config.forecaster.order, config)
