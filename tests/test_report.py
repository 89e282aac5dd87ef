"""What bench/report.py concludes from rows: goals, paragraphs, peers, the roofline."""

import json

import pytest
from PIL import Image

import report
import report_cases
import report_operators
import report_reasons
import report_roofline
from report_cases import results_of

CPU, GPU = "A CPU, 2 cores", "NVIDIA H200"
SHAPE = "flux-1024 B1 N4096 D3072 K16 O1"
KMEANS = "flux-1024 B1 N4096 D3072 K16 I10 l2 cold"


def rows(times, bench="forecast_residual", shape=SHAPE, dtype="bfloat16", device=CPU, **more):
    origin = {"device": device, "commit": "abc", "torch": "2.13"}
    common = {"bench": bench, "shape": shape, "dtype": dtype, **origin}
    measured = [{**common, "impl": impl, "median_us": time} for impl, time in times.items()]
    return measured + [{**common, "impl": impl, "note": note} for impl, note in more.items()]


def result(times, **case):
    (found,) = results_of(rows(times, **case))
    return found


# ---- goals


@pytest.mark.parametrize(
    "dtype, ours, meets",
    [
        ("bfloat16", 10, True),
        ("bfloat16", 11, False),
        ("float32", 20, True),
        ("float32", 21, False),
    ],
)
def test_a_cpu_goal_is_of_the_best_peer(dtype, ours, meets):
    times = {"clusca": ours, "torch": 40, "compile": 30, "copy": 15}
    assert result(times, dtype=dtype).meets == meets


def test_a_roof_is_the_slower_one():
    each = result({"clusca": 10, "torch": 40, "copy": 4, "gemm": 8})
    assert each.roof == "gemm" and each.at_roof == 5 and each.over("copy") == 0.4


@pytest.mark.parametrize(
    "ours, graph, copy, meets",
    [(10, 14, 9, True), (10, 13.9, 9, False), (10, 14, 8.9, False)],
)
def test_a_gpu_goal_is_of_the_copy_and_of_the_graph(ours, graph, copy, meets):
    times = {"clusca": ours, "graph": graph, "copy": copy}
    assert result(times, shape=f"{SHAPE} cold", device=GPU).meets == meets


@pytest.mark.parametrize(
    "ours, flash, meets", [(110, 330, True), (111, 400, False), (110, 329, False)]
)
def test_k_means_has_a_goal_in_microseconds_and_over_flash_kmeans(ours, flash, meets):
    times = {"clusca": ours, "torch-graph": 2 * ours, "flash": flash}
    each = result(times, bench="kmeans_fit", shape=KMEANS, device=GPU)
    assert each.meets == meets
    other = KMEANS.replace("K16", "K256")
    assert result(times, bench="kmeans_fit", shape=other, device=GPU).meets is None


@pytest.mark.parametrize("ours, meets", [(109, None), (111, False)])
def test_a_goal_is_not_met_by_what_was_not_measured(ours, meets):
    """But it is missed by one thing alone."""
    each = result({"clusca": ours, "torch": 900}, bench="kmeans_fit", shape=KMEANS, device=GPU)
    assert each.meets is meets
    assert each.best_peer is None  # a graph is what would be


@pytest.mark.parametrize("device, shown", [(CPU, {"value", "delta"}), (GPU, {"delta"})])
def test_the_page_has_the_first_rule(device, shown):
    def shows(bench, rule):
        shape = f"{SHAPE} {rule}" + " cold" * (device == GPU)
        return result({"clusca": 1}, bench=bench, shape=shape, device=device).is_typical

    assert {rule for rule in ("value", "delta") if shows("propagate_residual", rule)} == shown
    assert shows("cluster_propagate", "value") and not shows("cluster_propagate", "delta")


# ---- peers and kernels that only k-means has


def test_a_peer_counts_wherever_it_is_fastest():
    times = {"clusca": 100, "torch": 400, "graph": 300, "flash-graph": 250, "vector": 90}
    assert result(times, device=GPU).best_peer == "flash-graph"


def test_notes_stand_where_numbers_would():
    times = {"clusca": 100, "matrix": 123.4, "torch": 400, "copy": 10}
    measured = rows(times, "kmeans_fit", KMEANS, device=GPU, flash="not installed")
    page = report.operators(measured)
    (line,) = [line for line in page.splitlines() if "not installed" in line]
    assert "| 123 |" in line and "not measured" in line


def test_whole_runs_are_no_operators():
    run = {"bench": "end_to_end", "shape": "x", "dtype": "y", "impl": "clusca", "note": "refuses"}
    assert results_of([{**run, "device": CPU, "commit": "abc", "torch": "2.13"}]) == []


# ---- paragraphs


def test_every_missed_goal_has_its_paragraph():
    found = report_reasons.mismatches(report.typical(report.results()))
    assert not found


def test_a_missing_and_a_needless_paragraph_are_found(monkeypatch):
    missing = rows({"clusca": 10, "torch": 11, "copy": 9})
    met = rows({"clusca": 10, "torch": 40, "copy": 9}, bench="taylor_update")
    monkeypatch.setattr(report_reasons, "CPU", {"taylor_update": "why"})
    monkeypatch.setattr(report_reasons, "GPU", {})
    assert report_reasons.mismatches(results_of(missing + met)) == [
        "forecast_residual misses a goal on a CPU: why?",
        "taylor_update misses no goal on a CPU",
    ]
    on_gpu = rows({"clusca": 10, "graph": 11, "copy": 9}, shape=f"{SHAPE} cold", device=GPU)
    assert "forecast_residual misses a goal on a GPU: why?" in report_reasons.mismatches(
        results_of(on_gpu)
    )


def test_a_paragraph_has_the_numbers_of_its_rows():
    measured = rows({"clusca": 10, "torch": 12, "copy": 8})
    measured += rows({"clusca": 10, "torch": 14, "copy": 9}, dtype="float32")
    lines = report_reasons.paragraphs(results_of(measured))
    text = " ".join(line.strip() for line in lines)
    assert (
        "`forecast_residual`: best peer / ours 1.20x to 1.40x, 1.50x to 1.56x at the roof" in text
    )
    assert "(in 1 of 2 a kernel there" in text
    assert "80% to 90% of copy speed" in text


# ---- the roofline


def test_the_picture_is_made_of_the_results():
    drawn = report_roofline.points(report.typical(report.results()))
    with Image.open(report_roofline.PICTURE) as picture:
        kept = json.loads(picture.text[report_roofline.KEY])
    assert drawn and kept == drawn, "run: python bench/report.py --write"


def test_writing_keeps_what_is_drawn(tmp_path):
    results = report.typical(report.results())
    report_roofline.write(results, tmp_path / "roofline.png")
    with Image.open(tmp_path / "roofline.png") as made:
        assert json.loads(made.text[report_roofline.KEY]) == report_roofline.points(results)
        with Image.open(report_roofline.PICTURE) as committed:
            # Fonts may make them differ by a little.
            assert all(abs(a - b) < 20 for a, b in zip(made.size, committed.size, strict=True))


def test_every_point_is_drawn_where_its_numbers_are():
    points = report_roofline.points(report.typical(report.results()))
    picture = report_roofline.figure(points)
    names = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    for axes in picture.axes:
        places = [each.get_offsets()[0] for each in axes.collections]
        found = sorted((names[round(float(y))], round(float(x), 4)) for x, y in places)
        of_panel = [point for point in points if point["panel"] == axes.get_title()]
        assert found == sorted(
            (p["operator"], p[who]) for p in of_panel for who in ("ours", "peer")
        )
        low, high = axes.get_xlim()
        assert all(low < x < high for _, x in found) and "roof" in axes.get_xlabel()


def test_the_legend_covers_no_point():
    picture = report_roofline.figure(report_roofline.points(report.typical(report.results())))
    picture.canvas.draw()
    (legend,) = picture.legends
    box = legend.get_window_extent()
    for axes in picture.axes:
        assert not box.overlaps(axes.get_window_extent())


def test_a_gpu_has_a_panel_as_soon_as_it_has_rows():
    on_cpu = rows({"clusca": 10, "torch": 12, "copy": 8})
    shape = KMEANS.replace("K16", "K256")
    times = {"clusca": 10, "graph": 40, "copy": 4, "gemm": 5}
    on_gpu = rows(times, bench="kmeans_fit", shape=shape, device=GPU)
    assert "The roofline of a GPU: not measured." in report.document(on_cpu)
    assert "The roofline of a GPU" not in report.document(on_cpu + on_gpu)
    points = report_roofline.points(results_of(on_cpu + on_gpu))
    assert [p["panel"] for p in points] == ["CPU, bfloat16", "GPU, bfloat16 and int32"]
    assert points[1]["operator"] == "kmeans_fit, K256" and points[1]["ours"] == 0.5
    assert len(report_roofline.figure(points).axes) == 2


def test_a_row_of_the_summary_is_the_range_of_its_rows():
    measured = rows({"clusca": 10, "torch": 31, "copy": 8})
    measured += rows({"clusca": 10, "torch": 14, "copy": 9}, dtype="float32")
    (line,) = [
        line
        for line in report_operators.summary(results_of(measured))
        if line.startswith("| `forecast_residual`")
    ]
    assert "| 1.40x to 3.10x | 80% to 90% | 1 of 2 | not measured |" in line
    assert report_cases.MISSING in line
