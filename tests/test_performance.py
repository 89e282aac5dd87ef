"""The pages of docs/ are what bench/report.py makes of bench/results, and hide nothing."""

import re

import report
from clusca_ext.measuring.models import MODELS
from clusca_ext.measuring.shapes import cases
from loop_rows import baseline, composed_rows, rows_of
from report_cases import MISSING
from steps import operators


def test_the_page_is_made_of_the_results():
    rows = report.results()
    made = {report.PAGE: report.document(rows), report.OPERATORS_PAGE: report.operators(rows)}
    for page, text in made.items():
        assert page.read_text() == text, "run: python bench/report.py --write"
        assert text.count("\n") <= 300
    assert made[report.PAGE].count("\n") <= 250


def row(**measured):
    origin = {"device": "NVIDIA H200", "commit": "abc", "torch": "2.13"}
    return {"dtype": "bfloat16", **origin, **measured}


def lines_with(page, *words):
    return [line for line in page.splitlines() if all(f" {word} |" in line for word in words)]


def test_what_has_no_result_says_so():
    page = report.document([])
    for operator in operators():
        assert lines_with(page, f"`{operator}`", MISSING)
    for name in [name for name in MODELS if not name.startswith("tiny")]:
        table = page.partition(f"A GPU; {name} ")[2].partition("A GPU; ")[0]
        model = MODELS[name]
        expected = composed_rows(model) if "720p" in name else rows_of(model, 6, 50, True)
        for each in (baseline(50), *expected):
            assert lines_with(table, each.name, MISSING)
        assert ("composed of three full and five cached steps" in table) == ("720p" in name)


def test_what_was_measured_on_a_gpu_is_shown():
    shape, loop = "flux-1024 B1 N4096 D3072 K16 O1", "flux-1024 B1 N4096, 50 steps"
    kernel = {"bench": "propagate_residual", "shape": f"{shape} cold"}
    refused, doubt = "not measured: refuses it", "other full steps than given: 5, not 10"
    at_6 = {"bench": "end_to_end", "shape": f"{loop}, interval 6"}
    rows = [
        row(**kernel, impl="clusca", median_us=10.0),
        row(**kernel, impl="graph", median_us=25.0),
        row(bench="end_to_end", shape=loop, impl="no cache", seconds=8.5, speedup=1.0),
        row(
            **at_6,
            impl="clusca",
            seconds=2.5,
            speedup=3.4,
            cached_ms=3.25,
            cached_graph_ms=2.75,
        ),
        row(
            bench="end_to_end",
            shape=f"{loop}, interval 5",
            impl="clusca",
            seconds=3.0,
            speedup=2.83,
        ),
        row(**at_6, impl="fewer steps", note=refused),
        row(**at_6, impl="diffusers, TaylorSeer", seconds=9.875, speedup=0.9, doubt=doubt),
    ]
    assert lines_with(report.operators(rows), f"{shape} cold", "10.0", "25.0", "2.50x")
    page = report.document(rows)
    assert lines_with(page, "`propagate_residual`", MISSING, "2.50x")
    assert lines_with(page, "clusca", "10 + 40", "2.5", "3.4", "3.25", "2.75", "2.83", MISSING)
    assert lines_with(page, "fewer steps", refused)
    assert lines_with(page, "diffusers, TaylorSeer", doubt) and "9.875" not in page
    assert "commit abc" in page


def test_a_shape_says_how_many_iterations():
    shape = cases(metric=("l2",), I=(10,))[0].shape
    assert "K16 I10 l2" in shape
    row_of = {"bench": "kmeans_fit", "impl": "clusca", "median_us": 10.0}
    page = report.operators([row(**row_of, shape=f"{s} cold") for s in (shape, "flux-1024 K16 l2")])
    assert lines_with(page, f"{shape} cold", "10.0")
    assert lines_with(page, "flux-1024 K16 l2 cold", "10.0")  # from before it was said


def test_of_cpus_only_ratios_are_shown():
    """No table of a CPU has a column of times."""
    pages = [report.PAGE.read_text(), report.OPERATORS_PAGE.read_text()]
    for text in (*pages, report.everything(report.results())):
        for table in re.split(r"\n(?=\S.* cores; )", text)[1:]:
            header = next(line for line in table.splitlines() if line.startswith("| "))
            assert not re.search(r"\b(us|ms|s|seconds)\b", header)


def test_every_table_names_its_command():
    blocks = (report.PAGE.read_text() + report.OPERATORS_PAGE.read_text()).split("\n\n")
    tables = [i for i, block in enumerate(blocks) if block.startswith("| ")]
    assert tables
    for i in tables:
        assert re.search(r"`python .*`", blocks[i - 1]), blocks[i - 1]
        assert re.search(rf"commit |{MISSING}", blocks[i - 1])
