"""Memory of a cache against the length of a video: python bench/memory.py [--write]

HunyuanVideo at 720p, every storage, by ``clusca_ext.estimate_memory`` of a model on the device
"meta": nothing is run. Prints the README's table, where measured rows of ``end_to_end.py`` stand
beside the estimates as soon as there are any; with --write it also draws docs/memory.png and puts
the table into the README.
"""

import argparse
import json
import pathlib
import re
from functools import lru_cache
from typing import Any

import torch

from clusca_ext import ClusCaConfig, EvenSchedule, estimate_memory
from clusca_ext.measuring.models import MODELS, make, video_size
from loop_rows import OURS
from report_cases import MISSING
from report_operators import lines_of
from results import FOLDER, read

ROOT = pathlib.Path(__file__).parents[1]
PICTURE, README, KEY = ROOT / "docs" / "memory.png", ROOT / "README.md", "memory"
BEGIN, END = "<!-- memory table: python bench/memory.py --write -->", "<!-- end of memory table -->"
MODEL, INTERVAL, STEPS = "hunyuan-720p129", 5, 50
FRAMES, SHOWN, HEIGHT, WIDTH = (1, 33, 65, 97, 129, 257), 129, 720, 1280
GPUS = (80, 141)  # GB, of which the model's weights take their part
GB = 1e9
STORAGES = {  # and what their rows are called in a loop
    "per block": "clusca",
    "lean, exact": "clusca, lean exact, forecast only",
    "lean, window": "clusca, lean, forecast only",
    "lean, window on the host": "clusca, lean on the host, forecast only",
    "lean, gated": "clusca, lean gated, forecast only",
}
DEFAULT = "lean, window"  # of LeanStorage
LIFTED = {"lean, window on the host": 5, "lean, gated": -7}  # points: their ends lie close
COLORS = ("#b3312c", "#7a4fa3", "#1f6fb4", "#3f9a8a", "#d1661b")


@lru_cache
def estimates(frames: tuple[int, ...] = FRAMES) -> dict[str, Any]:
    """Gigabytes, by storage, of every number of frames; and those of the model's weights."""
    model = make(MODELS[MODEL], "meta", torch.bfloat16)
    weights = sum(each.nbytes for each in model.parameters()) / GB
    shapes = [(1, 16, *video_size(each, HEIGHT, WIDTH)) for each in frames]
    found: dict[str, list[float]] = {}
    for name, row in STORAGES.items():
        config = ClusCaConfig(schedule=EvenSchedule(interval=INTERVAL), **OURS[row])
        totals = [estimate_memory(model, each, config, num_steps=STEPS).total for each in shapes]
        found[name] = [round(total / GB, 3) for total in totals]
    return {"frames": list(frames), "weights": round(weights, 1), "storages": found}


# ---- the table


def table(rows: list[dict[str, Any]]) -> str:
    """Estimates of every length and, of the longest the model is made for, what was measured."""
    found = estimates()
    shape = f"{MODEL} {MODELS[MODEL].size}, {STEPS} steps, interval {INTERVAL}"
    measured = {row["impl"]: row for row in rows if row.get("shape") == shape}
    header = ["storage", *(f"{frames} frame{'s' * (frames > 1)}" for frames in FRAMES)]
    header += [f"{SHOWN} measured: peak, GB", "cached step", "full step's overhead", "speed-up"]
    cells = [
        [name, *map(gigabytes, values), *_measured(measured.get(STORAGES[name], {}))]
        for name, values in found["storages"].items()
    ]
    return "\n".join(lines_of(header, cells))


def gigabytes(value: float) -> str:
    return f"{value:.3g}"


def _measured(row: dict[str, Any]) -> list[str]:
    if "seconds" not in row or "doubt" in row:
        return [row.get("doubt") or row.get("note", MISSING), "", "", ""]
    peak = gigabytes(row["peak_gib"] * 2**30 / GB)
    return [peak, f"{row['cached_ms']} ms", f"{row['full_overhead']:+.1%}", f"{row['speedup']}x"]


def put(text: str, made: str) -> str:
    """The README with the table in its place."""
    between = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
    return re.sub(between, lambda _: "\n".join([BEGIN, made, END]), text, flags=re.DOTALL)


# ---- the picture


def figure(found: dict[str, Any], between: dict[str, Any]):
    """Points of the table, and lines through lengths between them."""
    from matplotlib.figure import Figure  # of those who write pages
    from matplotlib.ticker import FuncFormatter, NullFormatter

    frames, weights = found["frames"], found["weights"]
    picture = Figure(figsize=(9.4, 5.4), dpi=110, facecolor="white", layout="constrained")
    axes = picture.subplots()
    for (name, values), color in zip(found["storages"].items(), COLORS, strict=True):
        is_default = name == DEFAULT
        line = between["storages"][name]
        width, size = (2.4, 46) if is_default else (1.5, 24)
        axes.plot(between["frames"], line, color=color, linewidth=width)
        axes.scatter(frames, values, color=color, s=size, zorder=3, clip_on=False)
        how = {"va": "center", "color": color, "weight": "bold" if is_default else "normal"}
        place = (10, LIFTED.get(name, 0))
        axes.annotate(name, (frames[-1], values[-1]), place, textcoords="offset points", **how)
    for gpu in GPUS:
        room = gpu - weights
        axes.axhline(room, color="#333333", linewidth=1.1, linestyle=(0, (5, 3)))
        words = f"a GPU of {gpu} GB, less {weights:g} GB of weights"
        how = {"va": "top", "ha": "right", "fontsize": 9.5, "color": "#333333"}
        axes.annotate(words, (frames[-1], room), (-8, -4), textcoords="offset points", **how)
    axes.set_yscale("log")
    axes.set_ylim(0.07, 400)
    axes.set_xlim(-6, frames[-1] + 1)
    axes.set_xticks(frames, [str(each) for each in frames])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(which="major", color="#dcdcdc", linewidth=0.7)
    axes.grid(which="minor", axis="y", color="#f1f1f1", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("frames")
    axes.set_ylabel("what the cache takes on the GPU, GB (estimated)")
    axes.set_title(f"HunyuanVideo 720p, bfloat16, interval {INTERVAL}, order 1")
    return picture


def draw(path: pathlib.Path = PICTURE) -> None:
    found = estimates()
    metadata = {KEY: json.dumps(found), "Software": None}
    figure(found, estimates(tuple(range(1, FRAMES[-1] + 1, 4)))).savefig(path, metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="the picture and the README, too")
    options = parser.parse_args()
    rows = [row for path in sorted(FOLDER.glob("*-end-to-end.json")) for row in read(path)]
    made = table(rows)
    print(made)
    if options.write:
        draw()
        README.write_text(put(README.read_text(), made))


if __name__ == "__main__":
    main()
