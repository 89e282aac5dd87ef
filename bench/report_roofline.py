"""The roofline as a picture: how near every operator is to its roof, and the best peer beside it.

A roof is the time of a copy of the same bytes or of a matrix product of the same multiply-adds in
the same run, whichever is longer; speeds are shares of the roof's, so that no time of a shared CPU
is drawn. The numbers drawn are kept in the picture, as text.
"""

import json
import pathlib

from report_cases import Result
from steps import operators

PICTURE = pathlib.Path(__file__).parents[1] / "docs" / "roofline.png"
KEY = "points"
COLORS = {"copy": "#1f6fb4", "gemm": "#d1661b"}
ROOF_NAMES = {"copy": "a copy of its bytes", "gemm": "a product of its multiply-adds"}
MARKERS = {"flux-1024": "o", "dit-xl-512": "s", "hunyuan-720p-129": "^", "wan-14b-720p-81": "D"}
ROW, BELOW, WIDTH = 0.3, 1.7, 5.2  # inches: an operator's row, what is not rows, a panel


def points(results: list[Result]) -> list[dict]:
    """What is drawn, of typical results."""
    found = []
    for each in results:
        peer, roof = each.best_peer, each.roof
        if not (each.is_typical and each.ours and peer and roof):
            continue
        words = each.shape.split()
        found.append(
            {
                "panel": panel(each),
                "operator": each.operator + (", K256" if "K256" in words else ""),
                "model": words[0],
                "roof": roof,
                "ours": round(each.times[roof] / each.ours, 4),
                "peer": round(each.times[roof] / each.times[peer], 4),
            }
        )
    return sorted(found, key=lambda p: (p["panel"], rank(p["operator"]), p["model"]))


def panel(each: Result) -> str:
    """Operators on labels alone have no other type: they stand beside the last one."""
    if not each.on_cpu:
        return "GPU, bfloat16 and int32"
    return "CPU, bfloat16" if each.dtype == "bfloat16" else "CPU, float32 and int32"


def rank(operator: str) -> tuple[int, str]:
    word = operator.partition(",")[0]
    return operators().index(word), operator


def figure(drawn: list[dict]):
    from matplotlib.figure import Figure  # of those who write pages, not of those who measure

    panels = sorted({point["panel"] for point in drawn})
    names = sorted({point["operator"] for point in drawn}, key=rank, reverse=True)
    models = sorted({point["model"] for point in drawn})
    size = (1.6 + WIDTH * len(panels), BELOW + ROW * len(names))
    picture = Figure(figsize=size, dpi=110, facecolor="white", layout="constrained")
    every = picture.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for axes, panel in zip(every, panels, strict=True):
        axes.set_title(panel)
        axes.set_xscale("log")
        axes.axvline(1, color="black", linewidth=1.2)
        axes.text(1.03, len(names) - 0.45, "the roof", va="top")
        axes.grid(axis="x", which="both", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("speed / the roof's speed (1 = as fast as the roof)")
        for below in range(len(names) - 1):
            axes.axhline(below + 0.5, color="#f0f0f0", linewidth=0.6, zorder=0)
        for point in drawn:
            if point["panel"] == panel:
                place = names.index(point["operator"])
                place += 0.4 * ((models.index(point["model"]) + 0.5) / len(models) - 0.5)
                _draw(axes, place, point)
    ticks = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
    every[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    every[0].set_xticks([], minor=True)
    every[0].set_yticks(range(len(names)), names)
    every[0].set_ylim(-0.6, len(names) - 0.3)
    picture.legend(handles=_legend(models), loc="outside lower center", ncols=4, frameon=False)
    return picture


def _draw(axes, place: float, point: dict) -> None:
    color, marker = COLORS[point["roof"]], MARKERS.get(point["model"], "v")
    axes.plot([point["peer"], point["ours"]], [place] * 2, color="#b8b8b8", linewidth=1, zorder=1)
    how = {"marker": marker, "s": 30, "edgecolors": color, "zorder": 2}
    axes.scatter(point["peer"], place, facecolors="white", **how)
    axes.scatter(point["ours"], place, facecolors=color, **how)


def _legend(models: list[str]) -> list:
    from matplotlib.lines import Line2D

    def mark(label: str, marker: str, edge: str, face: str) -> Line2D:
        how = {"markeredgecolor": edge, "markerfacecolor": face, "linestyle": ""}
        return Line2D([], [], label=label, marker=marker, **how)

    grey = "#555555"
    filled = [mark(f"roof: {ROOF_NAMES[r]}", "p", color, color) for r, color in COLORS.items()]
    who = [mark("ours", "p", grey, grey), mark("best peer", "p", grey, "white")]
    return [*who, *filled, *(mark(m, MARKERS.get(m, "v"), grey, grey) for m in models)]


def write(results: list[Result], path: pathlib.Path = PICTURE) -> None:
    drawn = points(results)
    metadata = {KEY: json.dumps(drawn), "Software": None}
    figure(drawn).savefig(path, metadata=metadata)


def lines(results: list[Result]) -> list[str]:
    """The picture in a page, which says what it does not show."""
    drawn = points(results)
    found = []
    if drawn:
        alt = "How near operators are to the speed of a copy or a matrix product, and the best peer"
        found += [f"![{alt}]({PICTURE.name})", ""]
    for device in ("CPU", "GPU"):
        if not any(point["panel"].startswith(device) for point in drawn):
            found += [f"The roofline of a {device}: not measured.", ""]
    return found
