"""What is run on a GPU machine, most valuable first. gpu.py runs it."""

import pathlib
import sys
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).parent.parent
PYTEST = (sys.executable, "-m", "pytest", "-q")
KERNELS = {  # and their shares of the time; others come after them
    "collapse_forecasts": 20,
    "collapsed_residual": 16,
    "lean_accumulate": 12,
    "lean_output": 16,
    "carry_representatives": 8,
    "propagate_residual": 20,
    "kmeans_fit": 20,
    "kmeans_step": 16,
    "cluster_propagate": 14,
    "forecast_residual": 10,
    "kmeans_assign": 10,
    "taylor_update": 8,
    "gather_representatives": 6,
    "propagate_factors": 6,
    "taylor_forecast": 6,
    "select_representatives": 4,
    "select_nearest": 4,
}
OTHER = 4  # the share of an operator that is not named
COMPARED = "compared"  # the mark of cases to which every peer belongs
METRICS = (
    "gpu__time_duration.sum",
    "dram__bytes.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "lts__t_sector_hit_rate.pct",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "launch__registers_per_thread",
)


@dataclass(frozen=True)
class Step:
    name: str
    share: float  # of the time that is left, against the steps after it
    command: tuple[str, ...]
    file: str = ""  # the step exists only where this does, relative to the project's root
    needs: str = ""  # a step that must have succeeded
    env: dict[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return (ROOT / self.file).exists()


def tests(cpu: bool) -> list[Step]:
    selection = ("-k", "not cuda") if cpu else ("-k", "cuda")
    env = {} if cpu else {"CLUSCA_REQUIRE_CUDA": "1"}
    command = (*PYTEST, "tests", "--maxfail=20", *selection)
    return [Step("tests", 20, command, "tests", env=env)]


def sanitizers(cpu: bool) -> list[Step]:
    """First whether the tool runs here at all; then each check on the tests made for it."""
    tool, file = "compute-sanitizer", "tests/test_every_kernel.py"
    allocate = "import torch; torch.ones(8, device='cuda').sum().item()"
    steps = [Step("sanitizer-probe", 2, (tool, sys.executable, "-c", allocate))]
    selection = "sanitize" if cpu else "sanitize and cuda"
    for check in ("memcheck", "racecheck", "initcheck", "synccheck"):
        command = (tool, "--tool", check, "--error-exitcode", "3", *PYTEST, file)
        command = (*command, "-k", selection)
        # torch's caching allocator would hide accesses beyond a tensor.
        env = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        steps.append(Step(check, 4, command, file, "sanitizer-probe", env))
    return steps


def profiles() -> list[Step]:
    """Hardware counters of every kernel; the clocks are left as they are."""
    ncu = ("ncu", "--clock-control", "none", "--csv", "--page", "raw", "--metrics")
    allocate = "import torch; torch.ones(8, device='cuda').sum().item()"
    probe = (*ncu, METRICS[0], "--launch-count", "1", sys.executable, "-c", allocate)
    ours = ("--kernel-name-base", "demangled", "--kernel-name", "regex:clusca")
    command = (*ncu, ",".join(METRICS), *ours, sys.executable, "bench/one_call.py")
    return [
        Step("ncu-probe", 2, probe),
        Step("ncu", 6, command, "bench/one_call.py", "ncu-probe"),
    ]


def operators() -> list[str]:
    found = {path.stem.removeprefix("bench_") for path in (ROOT / "bench").glob("bench_*.py")}
    return [*KERNELS, *sorted(found - set(KERNELS))]


def kernels(cpu: bool) -> list[Step]:
    """One op after the other, where all its peers are: on a GPU bfloat16."""
    quick = ("--quick",) if cpu else ()
    files = {op: f"bench/bench_{op}.py" for op in operators()}
    return [
        Step(f"bench_{op}", KERNELS.get(op, OTHER), (*PYTEST, file, "-m", COMPARED, *quick), file)
        for op, file in files.items()
    ]


def grid(cpu: bool) -> Step:
    """The other numbers of clusters and dtypes, of ours, plain torch and the copy."""
    share, quick = (20, ("--quick",)) if cpu else (120, ())
    return Step("bench_grid", share, (*PYTEST, "bench", "-m", f"not {COMPARED}", *quick))


def demo(cpu: bool) -> list[Step]:
    """End to end: the embedded model, every cache against the full sampler; then every storage."""
    few = ("--samples", "2", "--steps", "8") if cpu else ()
    once = ("--samples", "2", "--repeats", "1", "--busy") if cpu else ("--repeats", "5")
    demo, lean = "bench/demo.py", "bench/lean.py"
    return [
        Step("demo", 15, (sys.executable, demo, *few), demo),
        Step("demo_lean", 8, (sys.executable, lean, *once), lean),
    ]


def loops(cpu: bool) -> list[Step]:
    """Denoising loops of models of real size, with random weights: the goal's interval first.

    Of HunyuanVideo and Wan at 720p few steps are run and loops composed of them, lean storage
    first: what they have not come to when their time is over costs more memory, or is worth less.
    """
    file = "bench/end_to_end.py"
    if cpu:
        models = ("tiny", "tiny-dit", "tiny-wan", "tiny-composed")
        few = ("--models", *models, "--intervals", "5", "--steps", "8", "--repeats", "1")
        return [Step("loop_tiny", 10, (sys.executable, file, *few), file)]

    def loop(model: str, share: float, intervals: str, repeats: str) -> Step:
        how = ("--models", model, "--intervals", *intervals.split(), "--repeats", repeats)
        name = f"loop_{model}_{intervals.replace(' ', '_')}"
        return Step(name, share, (sys.executable, file, *how), file)

    return [
        loop("flux-1024", 110, "6", "2"),
        loop("hunyuan-720p129", 150, "6 5 7 4", "1"),
        loop("dit-xl-512", 40, "6", "3"),
        loop("wan-14b-720p81", 100, "6 5 7 4", "1"),
        loop("hunyuan-480p65", 150, "6", "1"),
        loop("flux-1024", 120, "5 7 4", "1"),
        loop("dit-xl-512", 40, "5 7 4", "2"),
        loop("hunyuan-480p65", 100, "5 7 4", "1"),
    ]


def steps(cpu: bool) -> list[Step]:
    """That it works, then the two models and the operators that matter most, then the rest.

    Sanitizers come before the operators: what they find would void their numbers.
    """
    whole = loops(cpu)
    listed = [
        *tests(cpu),
        *whole[:2],
        *demo(cpu),
        *sanitizers(cpu),
        *kernels(cpu),
        *whole[2:],
        *profiles(),
        grid(cpu),
    ]
    return [step for step in listed if step.exists]
