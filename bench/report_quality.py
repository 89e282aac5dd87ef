"""Lean storage's pictures beside per block's: docs/quality.md, of the rows of bench/quality.py."""

import re
from collections.abc import Iterable

from quality import (
    CLUSTERS,
    EXACT,
    GATED,
    INTERVALS,
    PARTS,
    PER_BLOCK,
    PLAIN,
    RANK_1,
    SAMPLES,
    STEPS,
    STORAGES,
    WINDOW,
    Part,
    Setting,
)
from report_cases import MISSING
from report_operators import between, lines_of

GOAL = 0.15  # dB that "window" may lose to per block
SEEN = 0.005  # dB; what is smaller is shown as 0.00
COMMAND = "`python bench/quality.py`"
WHAT = f"digits-demo B{SAMPLES}, DDIM {STEPS} steps"
OVER, OVER_PLAIN = "over_per_block_db", "over_no_clusters_db"
Rows = dict[Setting, dict]

INTRODUCTION = """\
# Quality

Lean storage against per-block storage comes first, then the [laboratory](laboratory.md): every
method, interval and order on [the digits](#laboratory-digits) and on
[the pictures](#laboratory-pictures).

## Lean storage

`python bench/quality.py` samples the embedded model, a DiT that draws digits, with the same seeds
through the full sampler and through every setting below, and leaves rows in `bench/results/`.
`python bench/report.py --write` makes of them this section.

PSNR is to the full sampler, the mean over samples with its standard error. A difference is paired
by sample, with the standard error of its mean, which is much smaller than those of the two PSNRs.
In **bold** it lies beyond two standard errors; of twenty that are chance alone, one would. All is
computed in float32, with one seed for the choice of representatives. A storage that gains adds an
error that happens to offset one of the forecast. This bench measures one small model: on others
differences may be larger, and of the other sign.

Storages: `per block` keeps every module's outputs. The others are lean and keep sums over modules,
with the gates of coming steps: all of them (`exact`), in a few components (`window`; by default one
more than the order, at least two; `rank auto` as many as keep gates to 0.02; `rank 1` is there to
show that one does not do), or frozen (`gated`). Schedules: `even` is the default, `warm-up of 3` is
`IntervalSchedule`. Clusters are those of the default configuration.
"""


def by_setting(rows: Iterable[dict]) -> Rows:
    names = Setting.__dataclass_fields__
    return {Setting(**{name: row[name] for name in names}): row for row in rows}


def is_beyond(pair: list[float]) -> bool:
    """Whether a difference is more than two standard errors, and large enough to be seen."""
    return abs(pair[0]) > 2 * pair[1] and abs(pair[0]) >= SEEN


def shown(pair: list[float]) -> str:
    text = f"{pair[0]:+.2f} ± {pair[1]:.2f}".replace("-0.00", "+0.00")
    return f"**{text}**" if is_beyond(pair) else text


# ---- tables


def of_part(part: Part, rows: Rows) -> list[str]:
    """PSNR, and what is above per block's."""
    cells = []
    for storage in part.storages:
        found = [rows.get(each) for each in part.settings() if each.storage == storage]
        cells.append([storage, *map(_quality, found)])
        if part.corrector == CLUSTERS:
            over = [shown(row[OVER_PLAIN]) if row else MISSING for row in found]
            cells.append([f"{storage}, over no clusters", *over])
    return cells


def _quality(row: dict | None) -> str:
    if row is None:
        return MISSING
    mean, error = row["psnr_db"]
    is_first = row["storage"] == PER_BLOCK
    return f"{mean:.2f} ± {error:.2f}" if is_first else f"{mean:.2f}, {shown(row[OVER])}"


def of_costs(part: Part, rows: Rows) -> list[str]:
    """Steps, the gates' error and memory."""
    found = [rows.get(each) for each in part.settings() if each.storage == PER_BLOCK]
    steps = [f"{row['full']} + {row['cached']}" if row else MISSING for row in found]
    cells = [["full + cached steps", *steps]]
    for storage in part.storages:
        found = [rows.get(each) for each in part.settings() if each.storage == storage]
        cells.append([storage, *map(_cost, found)])
    return cells


def _cost(row: dict | None) -> str:
    if row is None:
        return MISSING
    memory = f"{row['cache_mib']:.1f} MiB"
    if row["gate_error"] is None:
        return memory
    components = re.search(r"window of (\d+)", row["words"])
    return f"{components[1] if components else '?'}, {row['gate_error']:.3f}, {memory}"


def origin(rows: Iterable[dict]) -> str:
    """Device, command and commits of what a table shows."""
    found = list(rows)
    devices = sorted({row["device"] for row in found})
    commits = sorted({row["commit"] for row in found})
    commit = f"commit {', '.join(commits)}" if commits else MISSING
    return "; ".join([*devices, f"{WHAT}, float32", COMMAND, commit]) + "."


def tables(rows: Rows) -> list[str]:
    header = ["storage", *(f"interval {interval}" for interval in INTERVALS)]
    lines = ["### PSNR, and over per block, dB", ""]
    for part in PARTS:
        found = [rows[each] for each in part.settings() if each in rows]
        if found:
            lines += [f"{part}; {origin(found)}", "", *lines_of(header, of_part(part, rows)), ""]
        else:
            lines += [f"{part}: {MISSING}.", ""]
    lines += ["### Components, the largest relative error of gates, memory", ""]
    costly = {}  # by the steps and the order, which say all
    for part in PARTS:
        if part.corrector == PLAIN and any(each in rows for each in part.settings()):
            costly.setdefault((part.schedule, part.forecaster[-1]), part)
    for part in costly.values():
        found = [rows[each] for each in part.settings() if each in rows]
        above = f"Order {part.forecaster[-1]}, {part.schedule}; {origin(found)}"
        if len({row["commit"] for row in found}) > 1:
            above += " Of several commits: between them memory may not compare."
        lines += [above, "", *lines_of(header, of_costs(part, rows)), ""]
    return lines


# ---- what they show


def findings(rows: Rows) -> list[str]:
    lines = []
    exact = [row for row in rows.values() if row["storage"] == EXACT and row["corrector"] == PLAIN]
    if exact:
        apart = max(row["relative_to_per_block"] for row in exact)
        over = between([row[OVER][0] for row in exact], "{:+.3f}")
        lines.append(
            f"- `{EXACT}`, no clusters, {_count(exact)}: {over} dB over per block; pictures "
            f"differ from its by at most {apart:.1e} (relative L2)."
        )
    for storage in (each for each in STORAGES if each not in (PER_BLOCK, EXACT)):
        for order in "12":
            lines += _losses(storage, order, rows)
    for name in (PER_BLOCK, EXACT, WINDOW):
        of = [r for s, r in rows.items() if s.storage == name and s.corrector == CLUSTERS]
        if of:
            lines.append(
                f"- Clusters in `{name}` storage, {_count(of)}: "
                f"{_range([row[OVER_PLAIN] for row in of])} over none in the same storage."
            )
    for name in (EXACT, WINDOW):
        of = [r for s, r in rows.items() if s.storage == name and s.corrector == CLUSTERS]
        if of:
            lines.append(
                f"- With clusters, `{name}`, {_count(of)}: {_range([r[OVER] for r in of])} "
                "over per block with clusters, which chooses representatives later."
            )
    return lines


def _losses(storage: str, order: str, rows: Rows) -> list[str]:
    """Of a storage and forecasters of an order, without clusters."""
    of = {
        setting: row[OVER]
        for setting, row in rows.items()
        if setting.storage == storage
        and setting.corrector == PLAIN
        and setting.forecaster.endswith(order)
    }
    if not of:
        return []
    within = [setting for setting, pair in of.items() if pair[0] >= -GOAL]
    line = (
        f"- `{storage}`, order {order}: {_range(list(of.values()))} over per block. "
        f"It loses at most {GOAL} dB in {len(within)} of {len(of)} settings"
    )
    lost = [setting for setting in of if setting not in within]
    if not lost or storage in (RANK_1, GATED):  # shown to fail
        return [f"{line}."]
    words = [
        f"{each.forecaster}, {each.schedule}, {each.interval}: {shown(of[each])}" for each in lost
    ]
    return [f"{line}; more in ({'; '.join(words)})."]


def _count(rows: list[dict]) -> str:
    return f"{len(rows)} setting{'s' * (len(rows) != 1)}"


def _range(pairs: list[list[float]]) -> str:
    beyond = [pair[0] for pair in pairs if is_beyond(pair)]
    losses = sum(value < 0 for value in beyond)
    return (
        f"{between([pair[0] for pair in pairs], '{:+.2f}')} dB, beyond two standard errors "
        f"{losses} losses and {len(beyond) - losses} gains"
    )


def document(rows: list[dict]) -> str:
    rows = [row for row in rows if row.get("bench") == "quality"]
    lines = [INTRODUCTION]
    for device in sorted({row["device"] for row in rows}) or [""]:
        of_device = [row for row in rows if row["device"] == device]
        here = by_setting(row for row in of_device if row["shape"].startswith(f"{WHAT},"))
        wanted = [setting for part in PARTS for setting in part.settings()]
        count = sum(setting in here for setting in wanted)
        lines += ["### What they show", ""]
        told = f"{count} of {len(wanted)} settings have been measured."
        lines += [f"{origin(here.values())} {told}", ""]
        lines += [*findings(here), "", *tables(here)]
    return "\n".join(lines).rstrip() + "\n"
