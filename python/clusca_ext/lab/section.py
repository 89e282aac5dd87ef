"""What a page says of a group of rows, put between markers of its own."""

import pathlib
import re
from collections.abc import Iterable

from clusca_ext.demo.rows import WARMUP
from clusca_ext.lab import metrics
from clusca_ext.lab.comparison import Baseline, Group, counted
from clusca_ext.lab.grid import FULL_STEPS, settings
from clusca_ext.lab.journal import Row
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER, all_methods
from clusca_ext.lab.tables import (
    MISSING,
    Cell,
    cost_of,
    difference,
    name_of,
    perceived,
    plus_minus,
    quality_of,
    summary,
    table,
)
from clusca_ext.lab.times import HOSTS, time_ratio
from clusca_ext.quiet import QUIET

BEGIN, END = "<!-- clusca lab: {name} -->", "<!-- end of clusca lab: {name} -->"
INTRODUCTION = f"""\
PSNR is to the full sampler with the same seeds, the mean over samples with its standard error;
after it the difference to `{BASELINE}`, order {BASELINE_ORDER}, at as many counted operations or
fewer, whichever does best, for more full steps are not always better: paired by sample (`~`:
interpolated between two numbers of its full steps), in **bold** beyond two standard errors; of
twenty that are chance alone, one would be, and what does best of many is partly chance. Time is the
full sampler's over the median of runs, the full sampler timed by an eighth of its steps right
before and after them. Where those two, or the median and the fastest run, lie more than
{QUIET - 1:.0%} apart, or the full sampler took so much longer than beside another setting of that
commit, or {HOSTS} times as long as beside any, the machine was busy, and the time is left out. Of
several machines, pictures are compared and times are those of one. Operations are counted.
Intervals come after a warm-up of {WARMUP} steps, those of masks from the first step on;
SmoothCache's leave out as much as Learning-to-Cache's of that interval, whose routers were trained
briefly (laboratory.md). Feature distance is LPIPS's formula over what the model's judge sees
(models.md: layers of the pictures', one vector of the digits'), to the full sampler; the standard
error of the Frechet distance is a jackknife's."""


def origin(group: Group) -> str:
    """Device, model, command and commits."""
    devices = " and ".join(sorted({row["device"] for row in group.rows}))
    commits = ", ".join(sorted({str(row.get("drawn_by", row["commit"])) for row in group.rows}))
    torches = ", ".join(sorted({row["torch"] for row in group.rows}))
    steps = "" if group.steps is None else f", {group.steps} steps"
    what = f"{group.model}{steps}, n = {group.samples}"
    return f"{devices}; {what}; `clusca lab`; commit {commits}, torch {torches}."


def findings(group: Group) -> list[str]:
    """What does best against the baseline at each interval, and how often it is beaten."""
    baseline, lines = Baseline(group), [_how_many(group)]
    for interval in sorted({row["interval"] for row in group.good if row["method"] != BASELINE}):
        rows = [
            row
            for row in group.good
            if row["interval"] == interval and _name(row) != (BASELINE, BASELINE_ORDER)
        ]
        compared = [(over, row) for row in rows if (over := baseline.over(row)) is not None]
        if not compared:
            continue
        over, best = max(compared, key=lambda pair: pair[0].value.mean)
        lines.append(
            f"- Interval {interval}, {len(rows)} settings: against the baseline at as many "
            f"operations or fewer `{best['method']}`, order {best['order']}, does best: "
            f"{difference(over)} dB, at {plus_minus(metrics.mean_of(best['psnr_db']))} dB"
            f"{_speed_of(best, group)}."
        )
    others = [row for row in group.different if row["method"] != BASELINE]
    overs = [over for over in map(baseline.over, others) if over is not None]
    if overs:
        gains = sum(over.is_beyond and over.value.mean > 0 for over in overs)
        losses = sum(over.is_beyond and over.value.mean < 0 for over in overs)
        lines.append(
            f"- Of {len(overs)} settings of other methods, {gains} gain and {losses} lose against "
            "the baseline beyond two standard errors."
        )
    for row in group.failed:
        where = f"`{row['method']}`, order {row['order']}, interval {row['interval']}"
        lines.append(f"- {where} failed: {row['error'].splitlines()[0]}")
    return lines


def _name(row: Row) -> tuple[str, int]:
    return row["method"], row["order"]


def _how_many(group: Group) -> str:
    rows = [*group.rows, *group.counts]
    found = {(row["method"], row["interval"], row["order"]) for row in rows}
    whole = settings(all_methods(), baseline=FULL_STEPS, model=group.fitted_to)
    asked = {(each.method, each.interval, each.order) for each in whole}
    return (
        f"- {len(found & asked)} of the {len(asked)} settings of the whole grid are measured; "
        f"{len(group.timed)} of {len(group.good)} have a time{_timed_on(group)}."
    )


def _timed_on(group: Group) -> str:
    devices = sorted({row["device"] for row in group.timed})
    counts = sorted({row["threads"] for row in group.timed})
    return f" ({', '.join(devices)}; threads: {', '.join(map(str, counts))})" if counts else ""


def _speed_of(row: Row, group: Group) -> str:
    timed = group.is_timed(row)
    found, by = (time_ratio(row), "") if timed else (counted(row), ", by operations")
    return "" if found is None else f" and {plus_minus(found)}x the full sampler's speed{by}"


def section(group: Group, picture: str | None = None) -> str:
    """All that a page says of a group."""
    name = name_of(group)
    model = pathlib.Path(group.model).name
    lines = [BEGIN.format(name=name), f"## Laboratory: {model}", "", INTRODUCTION, ""]
    if picture is not None:
        lines += [f"![Quality against time, {model}]({picture})", ""]
    lines += [*findings(group), ""]
    lines += [f"All intervals in one line; {origin(group)}", "", *summary(group), ""]
    tables: dict[str, Cell] = {"PSNR, dB, and over the baseline": quality_of(Baseline(group))}
    if any(row["distance"] is not None for row in group.good):
        tables["Feature distance; Frechet distance"] = perceived
    else:
        lines += [f"Feature distance and Frechet distance: {MISSING}.", ""]
    tables["Steps, full + cached; speed in time; in operations"] = cost_of(group)
    for title, cell in tables.items():
        lines += [f"{title}; {origin(group)}", "", *table(group, cell), ""]
    return "\n".join([*lines, END.format(name=name)]) + "\n"


def put(page: str, sections: Iterable[tuple[str, str]]) -> str:
    """The page with each named section in its place: between its markers, or at the end."""
    for name, text in sections:
        begin, end = (re.escape(each.format(name=name)) for each in (BEGIN, END))
        found = re.search(f"{begin}.*?{end}\n", page, re.DOTALL)
        if found:
            page = page[: found.start()] + text + page[found.end() :]
        else:
            page = f"{page.rstrip()}\n\n{text}" if page.strip() else text
    return page
