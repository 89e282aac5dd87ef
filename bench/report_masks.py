"""Masks beside even full steps: the end of docs/learning.md, of the rows of bench/masks.py."""

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.comparison import Curve, Over, counted
from clusca_ext.lab.section import BEGIN, END, put
from clusca_ext.lab.tables import difference, plus_minus
from clusca_ext.lab.times import is_timed, time_ratio
from clusca_ext.quiet import QUIET
from digit_rows import threads_of
from masks import CORRECTORS, EVEN, FORECASTERS, SAMPLES, STEPS, settings
from report_cases import MISSING
from report_operators import lines_of

NAME = "masks"
COMMAND = "`OMP_NUM_THREADS=1 taskset -c 0 python bench/masks.py`"
HEADER = ["masks", "forecast", "left out", "PSNR, dB", "over even, dB", "operations", "time"]
INTRODUCTION = f"""\
## Measured

{COMMAND} draws {SAMPLES} digits that no training has seen by the embedded model (8 blocks, 16
modules), {STEPS} DDIM steps, guidance 1.25. PSNR is to the full sampler with the same seeds, the
mean over samples with its standard error. "Over even" is paired by sample, against full steps that
are spread evenly from the first to the last, with the same forecast: as many as the masks' counted
operations amount to, interpolated between two numbers of full steps, or fewer, whichever does
best, for more are not always better. In **bold** it lies beyond two standard errors. Operations
and time are the full sampler's over the masks'; time is left out where the full sampler, timed
right before and right after, or the median and the fastest run lie more than {QUIET - 1:.0%} apart.
SmoothCache's error bounds are those that leave out what comes nearest to the shares that stand
beside its name; `random` has as many modules at each step as
Learning-to-Cache's.
"""


def by_impl(rows: list[dict]) -> dict[str, dict]:
    """Rows by setting, as the settings there are."""
    found = {row["impl"]: row for row in rows}
    names = [setting.key()["impl"] for setting in settings()]
    return {name: found[name] for name in names if name in found}


def even_of(rows: dict[str, dict], forecaster: str) -> Curve:
    """PSNR of even full steps, by their number."""
    return Curve(
        (STEPS / row["operations"], row["psnr_db"])
        for name, row in rows.items()
        if name.startswith(EVEN) and name.endswith(f", {forecaster}")
    )


def over_even(rows: dict[str, dict], name: str) -> Over | None:
    """What a row gains, with the forecaster it has."""
    forecaster = next(each for each in FORECASTERS if f", {each}" in name)
    return even_of(rows, forecaster).under(STEPS / rows[name]["operations"], rows[name]["psnr_db"])


def efficiency(row: dict) -> Estimate | None:
    """Measured over counted speed: 1 where what is left out costs nothing."""
    ratio, operations = time_ratio(row), counted(row)
    if operations is None or not is_timed(row):
        return None
    return Estimate(ratio.mean / operations.mean, ratio.error / operations.mean)


def cells(rows: dict[str, dict], name: str) -> list[str]:
    row = rows[name]
    masks, _, forecast = name.rpartition(", ")
    if f", {forecast}" in CORRECTORS:
        masks, forecast = masks.rpartition(", ")[0], name.partition(", ")[2]
    removed = row["removed"]
    if removed is None:
        removed = 1 - row["full"] / STEPS
    over = "" if masks.startswith(EVEN) else difference(over_even(rows, name))
    time = f"{plus_minus(time_ratio(row))}x" if is_timed(row) else MISSING
    psnr = plus_minus(metrics.mean_of(row["psnr_db"]))
    return [masks, forecast, f"{removed:.1%}", psnr, over, f"{row['operations']:.2f}x", time]


def findings(rows: dict[str, dict]) -> list[str]:
    """Who gains and who loses, and what time makes of the operations that are left out."""
    kinds: dict[str, list[str]] = {"gain over": [], "lose to": [], "are not told apart from": []}
    for name in rows:
        over = None if name.startswith(EVEN) else over_even(rows, name)
        if over is not None:
            kind = "gain over" if over.value.mean > 0 else "lose to"
            kind = kind if over.is_beyond else "are not told apart from"
            kinds[kind].append(f"{name} ({difference(over)} dB)")
    lines = [f"- They {kind} even steps: {'; '.join(of)}." for kind, of in kinds.items() if of]
    return lines + shares(rows)


def shares(rows: dict[str, dict]) -> list[str]:
    """How much of the counted speed is measured: of masks, and of even full steps."""
    lines = []
    for words, is_even in (("masks", False), ("even full steps", True)):
        found = [efficiency(row) for name, row in rows.items() if name.startswith(EVEN) == is_even]
        known = [each.mean for each in found if each is not None]
        if known:
            lines.append(
                f"- Of the speed that operations promise, {words} reach {min(known):.0%} to "
                f"{max(known):.0%} in time ({len(known)} of {len(found)} settings timed)."
            )
    return lines


def section(rows: list[dict]) -> str:
    """What the page says of all machines."""
    rows = [row for row in rows if row.get("bench") == "masks"]
    lines = [BEGIN.format(name=NAME), INTRODUCTION]
    if not rows:
        lines += [f"{COMMAND}: {MISSING}.", ""]
    for device in sorted({row["device"] for row in rows}):
        here = by_impl([row for row in rows if row["device"] == device])
        commits = f"commit {', '.join(sorted({row['commit'] for row in here.values()}))}"
        missing = [s.key()["impl"] for s in settings() if s.key()["impl"] not in here]
        lines += [*findings(here)]
        lines += [f"- {MISSING.capitalize()}: {'; '.join(missing)}."] if missing else []
        lines += [
            "",
            f"{device}, {threads_of(here.values())}; float32; {COMMAND}; {commits}.",
            "",
        ]
        lines += [*lines_of(HEADER, [cells(here, name) for name in here]), ""]
    return "\n".join([*lines, END.format(name=NAME)]) + "\n"


def page(text: str, rows: list[dict]) -> str:
    """The page with what was measured in its place."""
    return put(text, [(NAME, section(rows))])
