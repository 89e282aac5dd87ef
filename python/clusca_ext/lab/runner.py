"""Measures a grid: the same seeds through the full sampler and through every setting."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from clusca_ext.config import ClusCaConfig
from clusca_ext.digests import digest_of
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.grid import Setting
from clusca_ext.lab.journal import Journal, Row
from clusca_ext.lab.operations import Operations
from clusca_ext.lab.rows import Plan, Rows
from clusca_ext.lab.times import fastest, is_timed
from clusca_ext.schedule import EvenSchedule, ExplicitSchedule

Key = dict[str, Any]
COUNTED = 2  # samples whose operations are counted


@dataclass(frozen=True)
class Outcome:
    """How far it came.

    Attributes:
        rows: Of every setting that has one, in the grid's order.
        measured: How many were measured now.
        renewed: How many were timed now, their pictures being those of an earlier row.
        left: How many are still to be measured, the limit being reached.
    """

    rows: list[Row]
    measured: int
    renewed: int
    left: int


class Watch(Protocol):
    """What is told how it goes."""

    def begin(self, setting: Setting) -> None: ...

    def batch(self) -> None: ...

    def end(self, row: Row) -> None: ...


def key_of(model: Model, plan: Plan, setting: Setting) -> Key:
    """What a row is found by."""
    config = setting.config
    return {
        "bench": "lab",
        "model": model.name,
        "weights": model.weights,
        "steps": model.steps,
        "samples": plan.samples,
        "batch": plan.batch,
        "method": setting.method,
        "interval": setting.interval,
        "order": setting.order,
        "config": config if isinstance(config, str) else config.to_dict(),
    }


def run(
    model: Model,
    settings: Sequence[Setting],
    plan: Plan,
    journal: Journal,
    full: FullSampler,
    watch: Watch,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
    times: bool = False,
    missing: bool = False,
) -> Outcome:
    """Measure what the journal does not hold yet; a setting that fails is a row with its error.

    Args:
        model: What draws.
        settings: The grid.
        plan: How many samples.
        journal: Where rows go as they come. What other sources or another machine measured is
            kept where the first batch is drawn as it was then.
        full: The full sampler of the model.
        watch: Told of every setting and batch.
        seconds: No setting is begun later than that.
        clock: Seconds that pass.
        times: Time those anew that have no time of this machine while it was quiet.
        missing: Leave a row of other sources or another machine as it is, if it has numbers.
    """
    end = clock() + seconds
    operations = Operations(model, range(min(COUNTED, plan.samples)))
    make = Rows(model, plan, full, operations, journal.origin["commit"], watch.batch)
    keys = [key_of(model, plan, setting) for setting in settings]
    draws = [_draws(model, key, setting) for setting, key in zip(settings, keys, strict=True)]

    beside = [
        row
        for row in journal.rows
        if (row.get("bench"), row.get("error")) == ("lab", None)
        and (row["model"], row["weights"], row["steps"]) == (model.name, model.weights, model.steps)
    ]
    quickest = fastest(beside)

    def timed(row: Row) -> bool:
        return row["machine"] == journal.origin["machine"] and is_timed(row, quickest)

    def done(key: Key) -> Row | None:
        row = journal.find(key)
        if row is None and missing:
            row = journal.earlier(key)
            row = row if row and not row["error"] else None
        return row if row and (timed(row) or row["error"] or not times) else None

    rows: list[Row] = []
    measured = renewed = 0
    for index, (setting, key) in enumerate(zip(settings, keys, strict=True)):
        row = done(key)
        twin = journal.alike(draws[index], earlier=missing)
        if row is None and twin is not None and not twin["error"] and (timed(twin) or not times):
            who = {name: twin[name] for name in journal.origin if name in twin}  # older: fewer
            row = journal.add(key, _of_twin(twin), who)
        if row is None:
            if clock() > end:
                left = sum(done(other) is None for other in keys[index:])
                return Outcome(rows, measured, renewed, left)
            watch.begin(setting)
            numbers, is_new = _numbers(make, setting.config, journal.earlier(key))
            row = journal.add(key, {"draws": draws[index], **numbers})
            measured, renewed = measured + is_new, renewed + (not is_new)
        rows.append(row)
        watch.end(row)
    return Outcome(rows, measured, renewed, 0)


def _draws(model: Model, key: Key, setting: Setting) -> str:
    """What settings have in common that draw the same: even placements of two intervals may."""
    config = setting.config
    if isinstance(config, str):
        return ""
    if isinstance(config.schedule, EvenSchedule) and model.steps is not None:
        steps = ExplicitSchedule(steps=config.schedule.full_steps(model.steps))
        config = replace(config, schedule=steps)
    of = {name: key[name] for name in ("model", "weights", "steps", "samples", "batch")}
    said = json.dumps([of, config.to_dict()], sort_keys=True)
    return digest_of([said.encode()])


def _of_twin(twin: Row) -> dict[str, Any]:
    """The numbers of a row that another setting has measured."""
    numbers = {name: twin[name] for name in twin if name not in twin["key"]}
    return numbers | {"same_as": [twin["method"], twin["interval"], twin["order"]]}


def _numbers(
    make: Rows, config: ClusCaConfig | str, earlier: Row | None
) -> tuple[dict[str, Any], bool]:
    """A setting's numbers or its error, and whether all of it was measured."""
    try:
        if isinstance(config, str):
            raise ValueError(config.removeprefix("ValueError: "))
        if earlier is not None and not earlier["error"]:
            numbers = make.renewed(config, earlier)
            if numbers is not None:
                return numbers, False
        return make.measured(config), True
    except Exception as error:  # of one setting, whatever it is; the others go on
        return {"error": f"{type(error).__name__}: {error}"}, True
