"""What a calibration says: numbers with standard errors, and what was not measured."""

from typing import Any

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.calibrate import Effort, Found
from clusca_ext.lab.tables import plus_minus
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Trial, Trials
from clusca_ext.quiet import QUIET

BUSY = (
    "The machine was not quiet: times of the full sampler differ by more than "
    f"{QUIET - 1:.0%}, and times are not to be trusted."
)


def over_baseline(found: Found) -> Estimate | None:
    """PSNR above bounded Taylor's on the held-out seeds, paired by sample, dB."""
    return _over(found.best_held_out, found.baseline_held_out)


def over_unmoved(found: Found) -> Estimate | None:
    """The same above the configuration before its full steps were moved."""
    return _over(found.best_held_out, found.unmoved_held_out)


def _over(ours: Trial, theirs: Trial | None) -> Estimate | None:
    if theirs is None:
        return None
    return metrics.paired(ours.row["psnr_db"], theirs.row["psnr_db"])


def words(found: Found, target: Target, trials: Trials, effort: Effort) -> list[str]:
    """Sentences, one idea each."""
    best, seen, timed = found.best_held_out, found.best, _is_told(target, trials)
    lines = [
        f"Target: {target}.",
        f"Chosen of {trials.count} trials: {best.candidate.name}.",
        f"On {effort.held_out} seeds that the search has not seen: {_numbers(best, timed)}.",
    ]
    if not target.meets(seen):
        lines.append(
            "Nothing that was tried on as many seeds meets the target; this one is the nearest."
        )
    elif not target.meets(best):
        lines.append(
            f"It meets the target on the search's seeds ({_numbers(seen, timed)}) but not on these."
        )
    lines += [*_beside(found, target, timed), *_moves(found, target, effort)]
    return [*lines, *_limits(best, trials)]


def _is_told(target: Target, trials: Trials) -> bool:
    """Whether times are told: the machine was quiet, or its user takes them as they are."""
    return trials.is_quiet or target.cost == "time"


def _beside(found: Found, target: Target, timed: bool) -> list[str]:
    """Bounded Taylor at the same target."""
    theirs, over = found.baseline_held_out, over_baseline(found)
    if theirs is None or over is None:
        return ["Bounded Taylor, evenly placed, could not be measured beside it."]
    if theirs.candidate.config == found.best_held_out.candidate.config:
        return ["That is bounded Taylor itself, evenly placed: nothing that was tried beats it."]
    meets = "meets" if target.meets(theirs) else "does not meet"
    ratio = found.best_held_out.speed(target.cost) / (theirs.speed(target.cost) or float("nan"))
    beyond = "beyond" if abs(over.mean) > 2 * over.error else "within"
    return [
        f"Bounded Taylor, evenly placed ({theirs.candidate.name}), {meets} the target there: "
        f"{_numbers(theirs, timed)}.",
        f"Paired by sample, the chosen one's PSNR differs by {plus_minus(over, '+.2f')} dB, "
        f"{beyond} two standard errors; its speed by {target.cost} is {ratio:.2f}x that one's.",
    ]


def _moves(found: Found, target: Target, effort: Effort) -> list[str]:
    """What it gained that full steps were moved, or why they were not."""
    before, over = found.unmoved_held_out, over_unmoved(found)
    if found.unmoved_for:
        return [f"Its full steps were not moved: {found.unmoved_for}."]
    if not effort.tries:
        return ["Its full steps were not moved: no tries were asked for."]
    if before is None or over is None:
        return [
            f"Moving its full steps, {effort.tries} tries, gained nothing on the search's seeds."
        ]
    ratio = found.best_held_out.speed(target.cost) / (before.speed(target.cost) or float("nan"))
    return [
        f"Its full steps were moved, from {before.candidate.name}: on the unseen seeds its PSNR "
        f"differs by {plus_minus(over, '+.2f')} dB, paired by sample; its speed by {target.cost} "
        f"is {ratio:.2f}x that one's."
    ]


def _limits(best: Trial, trials: Trials) -> list[str]:
    """What it could not say."""
    steps = "the function's own steps" if trials.model.steps is None else trials.model.steps
    lines = []
    if not trials.is_quiet:
        lines.append(BUSY)
    if best.row["operations"] is None:
        lines.append("Operations could not be counted.")
    if best.row["distance"] is None:
        lines.append("Feature distance: not measured, nothing here judges this model's pictures.")
    lines.append(
        f"Measured with {steps} steps in batches of up to {best.row['batch']} on "
        f"{best.row['device']}, {best.row['threads']} threads; other numbers of steps, batches, "
        "sizes, conditions and machines: not measured."
    )
    lines += [f"Failed: {name}: {error}" for name, error in trials.failed.items()]
    return lines


def _numbers(trial: Trial, timed: bool) -> str:
    parts = [f"PSNR {plus_minus(trial.quality)} dB"]
    if timed:
        parts.append(f"{plus_minus(trial.time)}x in time")
    if trial.row["operations"] is not None:
        parts.append(f"{trial.row['operations']:.2f}x in operations")
    if trial.row["distance"] is not None:
        parts.append(
            f"feature distance {plus_minus(metrics.mean_of(trial.row['distance']), '.3g')}"
        )
    return ", ".join(parts)


def report(found: Found, target: Target, trials: Trials, effort: Effort) -> dict[str, Any]:
    """The same as data, for a JSON file."""
    over, gained, timed = over_baseline(found), over_unmoved(found), _is_told(target, trials)
    before = found.unmoved_held_out
    return {
        "target": {"speedup": target.speedup, "psnr": target.psnr, "cost": target.cost},
        "met_on_held_out_seeds": target.meets(found.best_held_out),
        "met_in_search": target.meets(found.best),
        "words": words(found, target, trials, effort),
        "chosen": _data(found.best_held_out, timed),
        "baseline": found.baseline_held_out and _data(found.baseline_held_out, timed),
        "over_baseline_db": over and _pair(over),
        "unmoved": before and _data(before, timed),
        "over_unmoved_db": gained and _pair(gained),
        "held_out_seeds": found.best_held_out.row["seeds"],
        "batch": found.best_held_out.row["batch"],
        "threads": found.best_held_out.row["threads"],
        "trials": trials.count,
        "failed": trials.failed,
        "origin": trials.journal.origin,
    }


def _data(trial: Trial, timed: bool) -> dict[str, Any]:
    distance = trial.row["distance"]
    return {
        "name": trial.candidate.name,
        "config": trial.candidate.config.to_dict(),
        "psnr_db": _pair(trial.quality),
        "time": _pair(trial.time) if timed else None,
        "operations": trial.row["operations"],
        "distance": distance and _pair(metrics.mean_of(distance)),
    }


def _pair(value: Estimate) -> list[float | None]:
    """Mean and standard error; NaN, which JSON does not know, is None."""
    return [None if each != each else round(each, 4) for each in (value.mean, value.error)]
