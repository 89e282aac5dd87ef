"""The laboratory's rows as markdown, put between markers of a page."""

import pathlib
import re
from collections.abc import Callable, Iterable

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.comparison import Baseline, Group, Over, counted, is_timed, time_ratio
from clusca_ext.lab.journal import Row
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER, METHODS
from clusca_ext.quiet import QUIET

BEGIN, END = "<!-- clusca lab: {name} -->", "<!-- end of clusca lab: {name} -->"
MISSING = "not measured"
INTRODUCTION = f"""\
PSNR is to the full sampler with the same seeds, the mean over samples with its standard error;
after it the difference to `{BASELINE}`, order {BASELINE_ORDER}, at the same number of full steps,
paired by sample (`~`: interpolated between two numbers of full steps), in **bold** beyond two
standard errors; of twenty that are chance alone, one would be. Time is the full sampler's over the
median of runs, the full sampler timed right before and after them: where those two lie more than
{QUIET - 1:.0%} apart the machine was busy, and the time is left out. Operations are counted.
Feature distance is LPIPS-like, to the full sampler; the standard
error of the Frechet distance is a jackknife's."""

Cell = Callable[[Row], str]


def name_of(group: Group) -> str:
    """What the files and markers of a group are called."""
    words = f"{pathlib.Path(group.model).name} {group.machine}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def plus_minus(value: Estimate, form: str = ".2f") -> str:
    if value.error != value.error:
        return format(value.mean, form)
    return f"{value.mean:{form}} ± {value.error:{form.lstrip('+')}}"


def difference(over: Over | None) -> str:
    if over is None:
        return MISSING
    text = plus_minus(over.value, "+.2f").replace("-0.00", "+0.00")
    text = f"~{text}" if over.interpolated else text
    return f"**{text}**" if over.is_beyond else text


def quality_of(baseline: Baseline) -> Cell:
    """PSNR, and above the baseline's."""

    def cell(row: Row) -> str:
        psnr = plus_minus(metrics.mean_of(row["psnr_db"]))
        if (row["method"], row["order"]) == (BASELINE, BASELINE_ORDER):
            return psnr
        return f"{psnr}, {difference(baseline.over(row))}"

    return cell


def perceived(row: Row) -> str:
    """Feature distance and Frechet distance."""
    if row["distance"] is None:
        return MISSING
    if row["frechet"] is None:
        return f"{plus_minus(metrics.mean_of(row['distance']), '.3g')}; {MISSING}"
    mean, error = row["frechet"]
    frechet = Estimate(mean, float("nan") if error is None else error)
    return f"{plus_minus(metrics.mean_of(row['distance']), '.3g')}; {plus_minus(frechet, '.3g')}"


def cost_of(row: Row) -> str:
    """Steps, measured time where the machine was quiet, counted operations."""
    steps = " + ".join(f"{row[kind]:g}" for kind in ("full", "partial", "cached") if row[kind])
    operations = f"{row['operations']:.2f}x" if row["operations"] else MISSING
    time = f"{plus_minus(time_ratio(row))}x" if is_timed(row) else MISSING
    return f"{steps or MISSING}; {time}; {operations}"


def lines_of(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows]]


def table(group: Group, cell: Cell) -> list[str]:
    """A line a method and order, a column an interval."""
    # The baseline alone stands at more of them, for what chooses its own number of full steps.
    others = {row["interval"] for row in group.rows if row["method"] != BASELINE}
    intervals = sorted(others or {row["interval"] for row in group.rows})
    known = list(METHODS)
    by_place = {(row["method"], row["order"], row["interval"]): row for row in group.rows}
    names = sorted(
        {place[:2] for place in by_place},
        key=lambda name: (known.index(name[0]) if name[0] in known else len(known), name),
    )
    rows = []
    for method, order in names:
        found = [by_place.get((method, order, interval)) for interval in intervals]
        cells = [MISSING if r is None else "failed" if r["error"] else cell(r) for r in found]
        rows.append([f"`{method}`", str(order), *cells])
    return lines_of(["method", "order", *(f"interval {each}" for each in intervals)], rows)


def origin(group: Group) -> str:
    """Device, model, command and commits."""
    devices = ", ".join(sorted({row["device"] for row in group.rows}))
    commits = ", ".join(sorted({row["commit"] for row in group.rows}))
    torches = ", ".join(sorted({row["torch"] for row in group.rows}))
    steps = "" if group.steps is None else f", {group.steps} steps"
    what = f"{group.model}{steps}, n = {group.samples}"
    return f"{devices}; {what}; `clusca lab`; commit {commits}, torch {torches}."


def findings(group: Group) -> list[str]:
    """What lies furthest above the baseline at each interval, and how often it is beaten."""
    baseline, lines = Baseline(group), []
    for interval in sorted({row["interval"] for row in group.good if row["method"] != BASELINE}):
        rows = [row for row in group.good if row["interval"] == interval]
        compared = [(over, row) for row in rows if (over := baseline.over(row)) is not None]
        if not compared:
            continue
        over, best = max(compared, key=lambda pair: pair[0].value.mean)
        lines.append(
            f"- Interval {interval}, {len(rows)} settings: furthest above the baseline at as many "
            f"full steps is `{best['method']}`, order {best['order']}, by {difference(over)} dB, "
            f"at {plus_minus(metrics.mean_of(best['psnr_db']))} dB{_speed_of(best)}."
        )
    others = [row for row in group.good if row["method"] != BASELINE]
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


def _speed_of(row: Row) -> str:
    found, by = (time_ratio(row), "") if is_timed(row) else (counted(row), ", by operations")
    return "" if found is None else f" and {plus_minus(found)}x the full sampler's speed{by}"


def section(group: Group, picture: str | None = None) -> str:
    """All that a page says of a group."""
    name = name_of(group)
    model = pathlib.Path(group.model).name
    lines = [BEGIN.format(name=name), f"## Laboratory: {model}", "", INTRODUCTION, ""]
    if picture is not None:
        lines += [f"![Quality against time, {model}]({picture})", ""]
    lines += [*findings(group), ""]
    tables: dict[str, Cell] = {"PSNR, dB, and over the baseline": quality_of(Baseline(group))}
    if any(row["distance"] is not None for row in group.good):
        tables["Feature distance; Frechet distance"] = perceived
    else:
        lines += [f"Feature distance and Frechet distance: {MISSING}.", ""]
    tables["Full + cached steps; speed in time; in operations"] = cost_of
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
