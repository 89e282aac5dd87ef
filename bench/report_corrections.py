"""Correctors beside none: the end of docs/corrections.md, of the rows of bench/corrections.py."""

from clusca_ext.lab import metrics
from clusca_ext.lab.comparison import Over
from clusca_ext.lab.section import BEGIN, END, put
from clusca_ext.lab.tables import difference, plus_minus
from clusca_ext.lab.times import is_timed, time_ratio
from clusca_ext.quiet import QUIET
from corrections import (
    INTERVAL,
    NONE,
    RATIO,
    REUSE,
    SAMPLES,
    SETTINGS,
    STEPS,
    TAYLOR,
    Setting,
)
from digit_rows import threads_of
from report_cases import MISSING
from report_operators import lines_of

NAME = "corrections"
COMMAND = "`OMP_NUM_THREADS=1 taskset -c 0 python bench/corrections.py`"
HEADER = ["corrector", "beside", "PSNR, dB", "over none, dB", "operations", "time"]
INTRODUCTION = f"""\
## What it gives

{COMMAND}
draws {SAMPLES} digits by the embedded model (256 tokens): DDIM, {STEPS} steps,
`EvenSchedule(interval={INTERVAL})`, which has 12 full ones, `ratio={RATIO}` and, in the scores,
`interval={INTERVAL}`. Tokens that scores choose count at their step only beside Taylor (order 1,
bounded), and replace what is cached (`persistent=True`) beside reuse. PSNR is to the full sampler
with the same seeds, the mean over samples with its standard error; "over none" is paired by
sample, at as many full steps and more operations, in **bold** beyond two standard errors.
Operations and time are the full sampler's over the run's; time is left out where the machine was
busy: where the full sampler, timed right before and right after, or the median and the fastest run
lie more than {QUIET - 1:.0%} apart.
"""


def over_none(rows: dict[Setting, dict], setting: Setting) -> Over | None:
    """What a corrector gains over none beside the same forecaster."""
    none = rows.get(Setting(NONE, setting.forecaster))
    if none is None or setting not in rows:
        return None
    return Over(metrics.paired(rows[setting]["psnr_db"], none["psnr_db"]), interpolated=False)


def cells(rows: dict[Setting, dict], setting: Setting) -> list[str]:
    row = rows.get(setting)
    if row is None:
        return [setting.corrector, setting.forecaster, *[MISSING] * 4]
    over = "" if setting.corrector == NONE else difference(over_none(rows, setting))
    time = f"{plus_minus(time_ratio(row))}x" if is_timed(row) else MISSING
    psnr = plus_minus(metrics.mean_of(row["psnr_db"]))
    operations = f"{row['operations']:.2f}x"
    return [setting.corrector, setting.forecaster, psnr, over, operations, time]


def findings(rows: dict[Setting, dict]) -> list[str]:
    lines = []
    for forecaster in (TAYLOR, REUSE):
        beside = [
            each for each in SETTINGS if each.forecaster == forecaster and each.corrector != NONE
        ]
        overs = [over for each in beside if (over := over_none(rows, each)) is not None]
        gains = sum(over.is_beyond and over.value.mean > 0 for over in overs)
        losses = sum(over.is_beyond and over.value.mean < 0 for over in overs)
        lines.append(
            f"- Beside {forecaster}, {gains} of {len(overs)} correctors gain and {losses} lose, "
            "beyond two standard errors."
        )
    return lines


def section(rows: list[dict]) -> str:
    """What the page says of all machines."""
    rows = [row for row in rows if row.get("bench") == NAME]
    lines = [BEGIN.format(name=NAME), INTRODUCTION]
    if not rows:
        lines += [f"{COMMAND}: {MISSING}.", ""]
    for device in sorted({row["device"] for row in rows}):
        by_impl = {row["impl"]: row for row in rows if row["device"] == device}
        here = {
            each: by_impl[each.key()["impl"]] for each in SETTINGS if each.key()["impl"] in by_impl
        }
        commits = f"commit {', '.join(sorted({row['commit'] for row in here.values()}))}"
        lines += [*findings(here), ""]
        lines += [
            f"{device}, {threads_of(here.values())}; float32; {COMMAND}; {commits}.",
            "",
        ]
        lines += [*lines_of(HEADER, [cells(here, each) for each in SETTINGS]), ""]
    return "\n".join([*lines, END.format(name=NAME)]) + "\n"


def page(text: str, rows: list[dict]) -> str:
    """The page with what was measured in its place."""
    return put(text, [(NAME, section(rows))])
