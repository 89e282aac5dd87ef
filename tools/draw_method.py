"""docs/how-it-works.svg: a run of full and cached steps, and what a cached step does.

    python tools/draw_method.py          # writes it
    python tools/draw_method.py --check  # says whether the file is what this script draws

The steps are those of ``EvenSchedule()``, the clusters those of ``ops.kmeans_fit``. One picture for
light and dark pages: it has a ground of its own, and colours that follow the reader's.
"""

import argparse
from pathlib import Path

import torch

from clusca_ext import EvenSchedule, ops

PICTURE = Path(__file__).parents[1] / "docs/how-it-works.svg"
WIDTH, HEIGHT, STEPS = 1000, 512, 24
SIDE, CELL, CLUSTERS = 12, 13, 7
HUES = ("#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#e15759", "#76b7b2", "#c9a227")
STYLE = """
svg { color-scheme: light dark; }
.ground { fill: #ffffff; stroke: #d0d7de; } .card { fill: #f6f8fa; stroke: #d0d7de; }
text { font: 15px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.head { font-weight: 650; font-size: 17px; } .small { font-size: 13.5px; fill: #59636e; }
.math { font: italic 17px "STIX Two Math", Cambria, Georgia, serif; }
.full { fill: #3f51b5; } .cached { fill: #e08a00; } .line { stroke: #59636e; fill: none; }
.kept { fill: #3f51b5; } .ahead { stroke: #e08a00; stroke-dasharray: 5 4; fill: none; }
.true { stroke: #8c959f; fill: none; } .on { fill: #ffffff; }
.chosen { fill: none; stroke: #1f2328; stroke-width: 2.4; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; stroke: #3d444d; } .card { fill: #161b22; stroke: #3d444d; }
  text { fill: #f0f6fc; } .small { fill: #9da7b3; } .full, .kept { fill: #8c9eff; }
  .cached { fill: #ffb74d; } .ahead { stroke: #ffb74d; } .line { stroke: #9da7b3; }
  .true { stroke: #6e7681; } .on { fill: #0d1117; } .chosen { stroke: #ffffff; }
}
"""
ALT = (
    "Above, a run of 24 steps: tall bars are full steps, evenly spread, low bars cached ones. "
    "Below, what happens: a full step computes all and keeps what every module returned, and "
    "clusters the tokens; a cached step forecasts each module from what was kept, computes one "
    "token of every cluster, and corrects its cluster by how far its forecast was off."
)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def box(x: float, y: float, w: float, h: float, kind: str, radius: float = 3) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{radius:g}" class="{kind}"/>'
    )


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
    return f'<line {ends} class="line" stroke-width="1.6" marker-end="url(#tip)"/>'


def timeline() -> list[str]:
    """Bars of a run's steps."""
    full, width = EvenSchedule().full_steps(STEPS), (WIDTH - 80) / STEPS
    drawn = [text(40, 42, "A run", "head")]
    drawn += [box(112, 30, 13, 13, "full"), text(131, 42, f"{len(full)} full steps: every module")]
    drawn += [box(340, 30, 13, 13, "cached")]
    drawn += [
        text(359, 42, f"{STEPS - len(full)} cached steps: a token of each cluster, no attention")
    ]
    for step in range(STEPS):
        kind, height = ("full", 74) if step in full else ("cached", 7)
        drawn.append(box(40 + step * width, 134 - height, width - 5, height, kind))
    return [
        *drawn,
        text(40, 154, "from noise", "small"),
        text(960, 154, "to the picture", "small", "end"),
    ]


def clusters() -> tuple[list[int], list[int]]:
    """Labels of a grid of tokens, and a representative of each cluster."""
    at = torch.linspace(-1, 1, SIDE)
    y, x = torch.meshgrid(at, at, indexing="ij")
    ring = torch.sin(4.2 * torch.hypot(x + 0.25, y - 0.1))
    tokens = torch.stack([x, y, 1.5 * ring], dim=-1).reshape(1, SIDE * SIDE, 3).contiguous()
    start = tokens[:, torch.linspace(5, SIDE * SIDE - 8, CLUSTERS).long()].contiguous()
    labels, distances, *_ = ops.kmeans_fit(tokens, start, max_iters=50)
    return labels[0].tolist(), ops.select_nearest(labels, distances, CLUSTERS)[0].tolist()


def grid(x: float, y: float, labels: list[int], chosen: list[int], faint: float) -> list[str]:
    drawn = []
    for token, label in enumerate(labels):
        row, column = divmod(token, SIDE)
        opacity = 1 if token in chosen else faint
        place = f'x="{x + column * CELL:g}" y="{y + row * CELL:g}"'
        size = f'width="{CELL - 1.5:g}" height="{CELL - 1.5:g}" rx="2"'
        drawn.append(f'<rect {place} {size} fill="{HUES[label]}" opacity="{opacity:g}"/>')
        if token in chosen:
            drawn.append(f'<rect {place} {size} class="chosen"/>')
    return drawn


def full_step(labels: list[int]) -> list[str]:
    drawn = [text(58, 212, "A full step", "head")]
    for index, name in enumerate(("attention", "MLP", "attention", "MLP")):
        y = 230 + 40 * index
        drawn += [box(58, y, 92, 28, "full", 5)]
        drawn += [f'<text x="104" y="{y + 19}" class="on" text-anchor="middle">{name}</text>']
        drawn += [arrow(152, y + 14, 182, y + 14), box(188, y + 3, 40, 22, "kept", 11)]
    drawn += [
        text(208, 409, "kept", "small", "middle"),
        text(104, 409, "computed", "small", "middle"),
    ]
    drawn += grid(250, 230, labels, [], 0.85)
    drawn += [text(250 + SIDE * CELL / 2, 409, "tokens, clustered", "small", "middle")]
    drawn += [text(58, 442, "The untouched model. Hooks keep what its")]
    return [*drawn, text(58, 461, "modules return, before their gates.")]


def in_time() -> list[str]:
    def place(t: float, value: float) -> tuple[float, float]:
        return 470 + 190 * t, 382 - 150 * value

    def value(t: float) -> float:
        return 0.2 + 1.15 * t - 0.46 * t * t

    curve = " ".join(
        f"{a:.1f},{b:.1f}" for a, b in (place(i / 40, value(i / 40)) for i in range(41))
    )
    before, last, now = 0.12, 0.5, 0.84
    slope = (value(last) - value(before)) / (last - before)
    ahead = value(last) + slope * (now - last)
    points = [(before, value(before), "kept"), (last, value(last), "kept"), (now, ahead, "cached")]
    drawn = [text(456, 212, "A cached step: time", "head")]
    drawn += [f'<polyline points="{curve}" class="true" stroke-width="2"/>']
    (x1, y1), (x2, y2) = place(before, value(before)), place(now, ahead)
    straight = f"{x1:.1f},{y1:.1f} {x2:.1f},{y2:.1f}"
    drawn += [f'<polyline points="{straight}" class="ahead" stroke-width="2.4"/>']
    for t, v, kind in points:
        x, y = place(t, v)
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6.5" class="{kind}"/>']
    drawn += ['<line x1="460" y1="388" x2="672" y2="388" class="line" stroke-width="1.2"/>']
    for t, name in ((before, "full"), (last, "full"), (now, "now")):
        drawn += [text(place(t, 0)[0], 407, name, "small", "middle")]
    drawn += [text(456, 442, "Each output is forecast from"), text(456, 461, "what was kept:")]
    return [*drawn, text(456, 483, "F&#x302; = F + d F&#x2032;", "math")]


def in_space(labels: list[int], chosen: list[int]) -> list[str]:
    drawn = [text(724, 212, "A cached step: space", "head"), *grid(724, 230, labels, chosen, 0.35)]
    middle = 230 + SIDE * CELL / 2
    drawn += [
        arrow(724 + SIDE * CELL + 2, middle, 898, middle),
        box(902, middle - 17, 44, 34, "cached", 5),
    ]
    drawn += [f'<text x="924" y="{middle + 5:g}" class="on" text-anchor="middle">MLP</text>']
    drawn += [text(724 + SIDE * CELL / 2, 409, "one of each cluster", "small", "middle")]
    drawn += [
        text(724, 442, "It is computed, u, and its"),
        text(724, 461, "cluster corrected by it:"),
    ]
    return [*drawn, text(724, 483, "F&#x302; + &#x3b3; (u &#x2212; F&#x302;(r))", "math")]


def picture() -> str:
    labels, chosen = clusters()
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8" class="line" stroke-width="1.4"/></marker>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    cards = [box(x, 180, w, 314, "card", 8) for x, w in ((40, 386), (438, 256), (706, 254))]
    parts = [head, f"<title>How ClusCa works</title><desc>{ALT}</desc>", f"<style>{STYLE}</style>"]
    parts += [
        f"<defs>{tip}</defs>",
        box(1, 1, WIDTH - 2, HEIGHT - 2, "ground", 10),
        *timeline(),
        *cards,
    ]
    parts += [*full_step(labels), *in_time(), *in_space(labels, chosen), "</svg>"]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The figure of the README and of docs/method.md")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    if parser.parse_args().check:
        raise SystemExit(PICTURE.read_text() != picture())
    PICTURE.write_text(picture())
