"""The end of docs/corrections.md is what bench/report.py makes of bench/results."""

import pytest

import report
import report_corrections
from clusca_ext import ClusterCorrector, NoCorrection, TokenCorrector
from corrections import ALTERNATING, CLUSTERS, NONE, RATIO, REUSE, SETTINGS, TAYLOR, Setting
from report_cases import MISSING

ORIGIN = {"device": "A CPU, 2 cores", "commit": "abc", "torch": "2.13"}


def row(setting, psnr, seconds=(0.25, 0.25)):
    numbers = {"operations": 4.0, "psnr_db": list(psnr), "error": None}
    times = {"seconds": list(seconds), "full_seconds": [1.0, 1.0], "threads": 1}
    return setting.key() | numbers | times | ORIGIN


def test_the_page_is_of_the_results():
    page = report.CORRECTIONS_PAGE.read_text()
    assert page == report_corrections.page(page, report.results())


def test_correctors_are_set_against_none_beside_the_same_forecaster():
    none, clusters = Setting(NONE, TAYLOR), Setting(CLUSTERS, TAYLOR)
    other = Setting(CLUSTERS, REUSE)
    rows = {none: row(none, (40.0, 44.0)), clusters: row(clusters, (38.0, 43.0), (0.2, 0.4, 0.5))}
    assert report_corrections.cells(rows, none)[2:] == ["42.00 ± 2.00", "", "4.00x", "4.00 ± 0.00x"]
    cells = report_corrections.cells(rows, clusters)
    assert cells[2:] == ["40.50 ± 2.50", "**-1.50 ± 0.50**", "4.00x", MISSING]  # a busy machine
    assert report_corrections.cells(rows, other)[2:] == [MISSING] * 4
    rows[other] = row(other, (41.0, 45.0))
    assert report_corrections.over_none(rows, other) is None  # none beside reuse was not drawn
    assert report_corrections.findings(rows) == [
        "- Beside Taylor 1, 0 of 1 correctors gain and 1 lose, beyond two standard errors.",
        "- Beside reuse, 0 of 0 correctors gain and 0 lose, beyond two standard errors.",
    ]


@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda each: f"{each.corrector}, {each.forecaster}"
)
def test_settings_are_what_the_page_says(setting):
    config = setting.config()
    assert config.forecaster.order == (setting.forecaster == TAYLOR)
    if setting.corrector == NONE:
        assert config.corrector == NoCorrection()
    elif setting.corrector == CLUSTERS:
        assert config.corrector == ClusterCorrector()
    else:
        assert isinstance(config.corrector, TokenCorrector)
        assert config.corrector.ratio == RATIO
        assert config.corrector.persistent == (setting.forecaster == REUSE)
        assert config.corrector.every == 1 + (setting.corrector == ALTERNATING)
