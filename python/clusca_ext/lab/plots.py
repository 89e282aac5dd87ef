"""Pareto plots: PSNR, feature distance and Frechet distance against time and operations."""

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.comparison import Group, counted
from clusca_ext.lab.journal import Row
from clusca_ext.lab.times import time_ratio

# Colour-blind safe (Okabe and Ito's, without yellow), then repeated with another marker.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444")
MARKERS = "os^Dv*PX"
INK, GRID = "#222222", "#dddddd"  # on white, which a dark page shows as a card


@dataclass(frozen=True)
class Panel:
    """A measure of quality.

    Attributes:
        title: What its axis says.
        value: A row's; None where it was not measured.
        higher: Whether more is better.
    """

    title: str
    value: Callable[[Row], Estimate | None]
    higher: bool


def _psnr(row: Row) -> Estimate:
    return metrics.mean_of(row["psnr_db"])


def _distance(row: Row) -> Estimate | None:
    return None if row["distance"] is None else metrics.mean_of(row["distance"])


def _frechet(row: Row) -> Estimate | None:
    if row["frechet"] is None:
        return None
    mean, error = row["frechet"]
    return Estimate(mean, float("nan") if error is None else error)


PANELS = (
    Panel("PSNR to the full sampler, dB", _psnr, True),
    Panel("feature distance to the full sampler", _distance, False),
    Panel("Frechet distance to the full sampler", _frechet, False),
)


def _speeds(group: Group) -> dict[str, Callable[[Row], Estimate | None]]:
    """What a row of panels has along its axis. Time was not measured while the machine was busy."""
    return {
        "speed: the full sampler's time / measured time": lambda row: (
            time_ratio(row) if group.is_timed(row) else None
        ),
        "speed: the full sampler's operations / those counted": counted,
    }


def front(points: Sequence[tuple[float, float]], higher: bool) -> list[int]:
    """Indices of the points that none other beats in speed and quality, fastest first."""
    sign = 1 if higher else -1
    order = sorted(range(len(points)), key=lambda i: (-points[i][0], -sign * points[i][1]))
    best, found = float("-inf"), []
    for i in order:
        if sign * points[i][1] > best:
            best = sign * points[i][1]
            found.append(i)
    return found


def figure(group: Group) -> Any:
    """A column of panels for every measure that has rows, a line of them for time and operations.

    Raises:
        ValueError: matplotlib is not installed, or there is nothing to draw.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError(
            "plots need matplotlib, which is not installed: pip install 'clusca_ext[lab]'"
        ) from None
    panels = [p for p in PANELS if any(p.value(row) is not None for row in group.good)]
    if not panels:
        raise ValueError(f"rows must hold a measured setting to draw, got {len(group.rows)} rows")
    methods = list(dict.fromkeys(row["method"] for row in group.good))
    known = list(_speeds(group).items())
    speeds = [how for how in known if any(how[1](row) for row in group.good)]
    speeds = speeds or known[:1]  # with nothing in it
    size = (5.4 * len(panels), 5.0 * len(speeds) + 0.2 * (len(methods) / (2 * len(panels))))
    picture = Figure(figsize=size, dpi=110, facecolor="white", layout="constrained")
    places = picture.subplots(len(speeds), len(panels), squeeze=False)
    for line, (label, speed) in zip(places, speeds, strict=True):
        for axes, panel in zip(line, panels, strict=True):
            found = [(row, speed(row), panel.value(row)) for row in group.good]
            _draw(axes, panel, found, methods)
            axes.set_xlabel(label)
    handles, labels = picture.axes[-1].get_legend_handles_labels()
    columns = 2 * len(panels)
    picture.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )
    return picture


Point = tuple[Row, Estimate | None, Estimate | None]  # of a row, its speed and its quality


def _draw(axes: Any, panel: Panel, found: list[Point], methods: list[str]) -> None:
    points = [(r, at, value) for r, at, value in found if at is not None and value is not None]
    named: set[str] = set()  # the legend has each method once
    for row, speed, value in points:
        place = methods.index(row["method"])
        how = {
            "color": COLORS[place % len(COLORS)],
            "marker": MARKERS[place // len(COLORS) % len(MARKERS)],
            "markersize": 4.5,
            "elinewidth": 0.7,
            "linestyle": "",
        }
        label = None if row["method"] in named else row["method"]
        named.add(row["method"])
        axes.errorbar(
            speed.mean,
            value.mean,
            xerr=_finite(speed.error),
            yerr=_finite(value.error),
            label=label,
            **how,
        )
    best = front([(speed.mean, value.mean) for _, speed, value in points], panel.higher)
    line = [(points[i][1].mean, points[i][2].mean) for i in best]
    axes.plot(*zip(*line, strict=True), color=INK, linewidth=0.9, alpha=0.6, zorder=0)
    for i in best:
        row, speed, value = points[i]
        words = f"{row['method']}, {row['interval']}, order {row['order']}"
        axes.annotate(
            words,
            (speed.mean, value.mean),
            (4, 4),
            textcoords="offset points",
            fontsize=6.5,
            color=INK,
        )
    axes.set_ylabel(panel.title)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if points and not panel.higher and min(value.mean for _, _, value in points) > 0:
        axes.set_yscale("log")


def write(group: Group, path: pathlib.Path) -> None:
    """Draw a group's rows into a file, PNG or SVG by its name.

    Raises:
        ValueError: As ``figure``.
    """
    drawn = figure(group)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)


def _finite(error: float) -> float | None:
    return None if error != error else error
