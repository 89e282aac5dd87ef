"""``clusca bench``: operators against plain torch, or a pipeline with caches against itself."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from clusca_ext.commands.arguments import words
from clusca_ext.commands.checks import device_of, require_folder
from clusca_ext.commands.endings import Failed, Stopped

if TYPE_CHECKING:  # --help does not need it
    from clusca_ext.measuring.run import Measured

app = typer.Typer(no_args_is_help=True, help="Measure operators, or a pipeline.")
TIMED_ON_CPU = "Ratios of medians of one run: a CPU that others use has no times to tell."


@app.command()
def operators(
    names: Annotated[
        str, typer.Option("--operators", help="Names with commas between, or all.")
    ] = "all",
    shapes: Annotated[
        str,
        typer.Option(
            help="What names of shapes begin with, such as flux,dit,hunyuan; default: all that the "
            "device has time for."
        ),
    ] = "",
    dtype: Annotated[
        str, typer.Option(help="With commas between; default: bfloat16.")
    ] = "bfloat16",
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:N; default: the GPU, if there is one.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Also torch.compile's, which takes seconds each.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three rounds: does everything run?")
    ] = False,
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Rows, as JSON; those of a file are replaced.")
    ] = None,
) -> None:
    """Measure the operators against plain torch and a copy of as many bytes.

    Example: clusca bench operators --operators cluster_propagate --shapes digits --quick
    """
    from rich.console import Console

    from clusca_ext.commands.progress import Bar
    from clusca_ext.demo.allocator import keep_freed_memory
    from clusca_ext.drawing.sources import DTYPES
    from clusca_ext.measuring import operators as known
    from clusca_ext.measuring.rows import Recorder
    from clusca_ext.measuring.run import chosen_cases, measure
    from clusca_ext.measuring.timing import caches

    if output is not None:
        require_folder(output)
    on = device_of(device)
    try:
        dtypes = words("dtype", dtype)
        if unknown := [each for each in dtypes if each not in DTYPES]:
            raise ValueError(f"dtype must be some of {list(DTYPES)}, got {unknown}")
        cases = chosen_cases(
            known.names() if names == "all" else words("operators", names),
            words("shapes", shapes) if shapes else [""],
            [DTYPES[each] for each in dtypes],
            on,
        )
        recorder = None if output is None else Recorder(output, device=on)
        if recorder is not None:
            recorder.flush()  # refuses a file of something else before anything is measured
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    keep_freed_memory()
    console, found = Console(highlight=False, soft_wrap=True), []
    total = len(cases) * len(caches(on))
    try:
        with Bar(console, total) as bar:
            for each in measure(cases, compiled, quick, bar.begin):
                found.append(each)
                for row in each.rows():
                    if recorder is not None:
                        recorder.record(**row)
                bar.step()
    except KeyboardInterrupt:
        _show(found, compiled)
        raise Stopped(f"Stopped; {len(found)} of {total} cases are measured.") from None
    except (AssertionError, RuntimeError) as error:
        raise Failed(f"an operator and plain torch: {error}") from error
    _show(found, compiled)
    if output is not None:
        console.print(f"Rows: {output}", markup=False)


def _show(found: "list[Measured]", compiled: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from clusca_ext.measuring.timing import is_gpu

    console = Console(highlight=False, soft_wrap=True)
    if not found:
        return
    on_gpu = is_gpu(found[0].case.device)
    table = Table(box=SIMPLE_HEAD, padding=0)
    for heading in ("operator", "shape", "dtype"):
        table.add_column(heading)
    peers = ["torch", *(("compile",) if compiled else ())]
    timed = ["us", "GB/s"] if on_gpu else []
    for heading in (*timed, *(f"{peer} / ours" for peer in peers), "of copy speed"):
        table.add_column(heading, justify="right")
    for each in found:
        shape = each.case.model.name + (f", {each.cache}" if on_gpu else "")
        cells = [each.operator, shape, each.case.dtype_name]
        if on_gpu:
            ours, rate = each.times.get("clusca"), each.gigabytes_a_second
            cells += [f"{ours:.1f}" if ours else "does not fit", f"{rate:.0f}" if rate else ""]
        ratios = [each.over(peer) for peer in peers]
        cells += ["" if ratio is None else f"{ratio:.2f}x" for ratio in ratios]
        copy = each.over("copy")
        table.add_row(*cells, "" if copy is None else f"{copy:.0%}")
    console.print(table)
    if not on_gpu:
        console.print(TIMED_ON_CPU)
    busy = sum(not each.quiet for each in found)
    if busy:
        console.print(
            f"The machine was not quiet at {busy} of {len(found)} cases: plain torch's own times "
            "differ there before and after ours."
        )
