"""Where a found placement holds: docs/placement.md, of the rows of bench/placement_search.py."""

from collections.abc import Iterable

from clusca_ext.presets.placements import load_placement, placement_presets
from clusca_ext.search import SearchSettings
from placement_settings import STUDIES, Setting, Study
from report_cases import MISSING
from report_operators import lines_of
from report_quality import is_beyond, shown

HEADER = ["setting", "steps", "even placement, PSNR", "found placement, PSNR", "over even, dB"]

INTRODUCTION = """\
# Which steps should be full

`EvenSchedule`, the default, spreads full steps evenly. For a model, a sampler, a number of steps
and a number of full ones a search tries others. It starts from the even placement, moves one or two
full steps by one to three steps at random, or one and all others in proportion, draws a few
pictures, and keeps what comes nearer to the full sampler's (mean PSNR). What it found is judged on
seeds it has not seen.

    clusca search --steps 50 --full-steps 10 --tries 100 --output placement.json

searches on the embedded digits model and writes a configuration. `--model pictures` searches on
the larger embedded one, `--model FOLDER` on another of their kind, by default with that model's
number of steps. A search of any other pipeline is given a function that draws a picture for each
seed:

```python
import torch
from diffusers import DiTPipeline
from clusca_ext import ClusCaConfig, NoCorrection
from clusca_ext.search import PipelineDraw, SearchSettings, find_placement

pipe = DiTPipeline.from_pretrained("facebook/DiT-XL-2-256", torch_dtype=torch.bfloat16).to("cuda")


def call(seeds):  # one at a time; as many as fit would do
    pictures = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        labels = [seed % 1000]
        drawn = pipe(labels, num_inference_steps=12, generator=generator, output_type="np")
        pictures.append(torch.from_numpy(drawn.images))
    return torch.cat(pictures)


settings = SearchSettings(
    num_steps=12,
    full_steps=4,
    config=ClusCaConfig(corrector=NoCorrection()),
    training=range(4),
    held_out=range(100, 104),
    objective="DiT-XL/2, class seed % 1000",
)
found = find_placement(PipelineDraw(pipe, call, 12), settings, tries=3, journal="search.jsonl")
print(found.steps, found.held_out_gain)
found.save("placement.json")
found.config().save("clusca.json")  # ClusCaConfig.load("clusca.json")
```

Every try is a line of the journal. Stopped at any time, the same call goes on where it was, and
gives what it would have given; more `tries` go on from a finished search; with other settings it is
refused. The even placement is drawn again first, and if its PSNR is another one, by 0.1 dB of any
seed, so is what goes on: with another model, sampler or prompt, or where it rounds otherwise. For
steps, samples and tries as small as these the gain means nothing: take 8 seeds or more to score, 64
to judge, and 100 tries. Of two transformers (Wan 2.2) each counts its own steps, so that a
placement of the whole run is refused.

A configuration names steps (`ExplicitSchedule`). `found.schedule` places the same full steps at
fractions of a run of any length (`PlacedSchedule`); its `with_count` interpolates to another number
of full steps.
"""
STUDY = """\
## Where what was found holds

The presets on the models they were found for, one thing changed at a time, and what a search on
some of the pictures is worth on the others. PSNR is to the full
sampler of the same setting, the mean over 64 samples whose seeds the search has not seen, with its
standard error. "Over even" is paired by sample, against as many full steps evenly from the first
step to the last; more of these are not always better, so that beside fewer a gain may be smaller,
as at 15 of the digits ([laboratory](quality.md)). In **bold** it lies beyond two standard errors.
Where length or number differ, full steps lie at the found fractions of the run. These are two small
models, each with one sampler: on others placement may matter more or less, and lie elsewhere.
"""
PRESETS = """\
## Presets

`load_placement(name)` of `clusca_ext.presets.placements` gives what a search found: its `config()`
for as many steps, its `schedule` for others. Over even: on held-out seeds, against as many full
steps evenly from the first step to the last; all on a CPU, in float32. Each is made for one model
and sampler; whether it holds on another, the [laboratory](quality.md) measures (`placed-digits` and
`placed-pictures`).
"""


def command_of(model: str) -> str:
    which = "" if model == "digits" else f" --study {model}"
    return f"`python bench/placement_search.py{which}`"


def by_setting(study: Study, rows: Iterable[dict]) -> dict[Setting, dict]:
    """What was measured of a study's settings with what was found for it, by their keys."""
    rows, samples = list(rows), len(search_of(study).held_out)
    if study.preset is not None:
        steps = list(load_placement(study.preset).steps)
    else:  # what its last search has found, which the first setting is measured of
        first = study.settings[0].key(samples)["shape"]
        steps = next((row["found"] for row in rows if row["shape"] == first), None)
    found = {row["shape"]: row for row in rows if row["found"] == steps}
    keys = {setting: setting.key(samples)["shape"] for setting in study.settings}
    return {setting: found[key] for setting, key in keys.items() if key in found}


def search_of(study: Study) -> SearchSettings:
    if study.search is not None:
        return study.search
    assert study.preset is not None
    return load_placement(study.preset).settings


def cells(setting: Setting, row: dict | None) -> list[str]:
    length = f"{setting.full_steps} of {setting.num_steps}"
    if row is None:
        return [setting.name, length, MISSING, MISSING, MISSING]
    psnrs = [f"{mean:.2f} ± {error:.2f}" for mean, error in (row["even_psnr_db"], row["psnr_db"])]
    return [setting.name, length, *psnrs, shown(row["over_even_db"])]


def searched(study: Study, row: dict) -> list[str]:
    """What a search found, and on what."""
    mean, error = row["training_gain_db"]
    search = search_of(study)
    return [
        f"Searched: {search.objective}; {search.num_steps} steps, {search.full_steps} full, Taylor "
        f"of order {search.config.forecaster.order}, no clusters; {row['tries']} tries on "
        f"{row['training']} samples, which gained {mean:+.2f} ± {error:.2f} dB on these. Found: "
        f"{', '.join(map(str, row['found']))}. Even: {', '.join(map(str, row['even']))}."
    ]


def findings(study: Study, rows: dict[Setting, dict]) -> list[str]:
    """Where it gains, where it loses, where neither can be seen."""
    kinds: dict[str, list[str]] = {"gains": [], "loses": [], "is not told apart from even": []}
    for setting, row in rows.items():
        over = row["over_even_db"]
        kind = "is not told apart from even"
        if is_beyond(over):
            kind = "gains" if over[0] > 0 else "loses"
        kinds[kind].append(f"{setting.name} ({shown(over)} dB)")
    lines = [
        f"- It {kind} in {len(which)} of {len(rows)} settings: {'; '.join(which)}."
        for kind, which in kinds.items()
        if which
    ]
    missing = [setting.name for setting in study.settings if setting not in rows]
    return lines + ([f"- {MISSING.capitalize()}: {'; '.join(missing)}."] if missing else [])


def section(model: str, study: Study, rows: dict[Setting, dict]) -> list[str]:
    title = f"### `{study.preset}`" if study.preset else "### Pictures that were not searched on"
    command = command_of(model)
    if not rows:
        return [title, "", f"{command}: {MISSING}.", ""]
    first = next(iter(rows.values()))
    commits = sorted({row["commit"] for row in rows.values()})
    origin = f"{first['device']}; float32; {command}; commit {', '.join(commits)}."
    base = rows.get(study.settings[0])
    said = [*searched(study, base), ""] if base else []
    table = lines_of(HEADER, [cells(setting, rows.get(setting)) for setting in study.settings])
    return [title, "", *said, *findings(study, rows), "", origin, "", *table, ""]


def presets() -> list[str]:
    """What ships, as the searches found it."""
    cells = []
    for name in placement_presets():
        found, settings = load_placement(name), load_placement(name).settings
        gain = [found.held_out_gain.mean, found.held_out_gain.error]
        cells.append(
            [
                f"`{name}`",
                settings.objective,
                f"{settings.full_steps} of {settings.num_steps}",
                ", ".join(map(str, found.steps)),
                f"{found.tries} tries on {len(settings.training)} samples",
                f"{shown(gain)} (n = {len(settings.held_out)})",
            ]
        )
    return lines_of(["preset", "of", "steps", "found", "search", "over even, dB"], cells)


def document(rows: list[dict]) -> str:
    """docs/placement.md"""
    rows = [row for row in rows if row.get("bench") == "search"]
    lines = [INTRODUCTION, PRESETS, *presets(), "", STUDY]
    for model, study in STUDIES.items():
        found = [
            here
            for device in sorted({row["device"] for row in rows})
            if (here := by_setting(study, (row for row in rows if row["device"] == device)))
        ]
        for here in found or [{}]:
            lines += section(model, study, here)
    return "\n".join(lines).rstrip() + "\n"
