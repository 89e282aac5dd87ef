"""What pages say of the laboratory's rows is what quality.md has of them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
QUALITY = (ROOT / "docs" / "quality.md").read_text()
SCHEDULES = " ".join((ROOT / "docs" / "schedules.md").read_text().split())
README = " ".join((ROOT / "README.md").read_text().split())
ROW = r"\| `{method}` \| {order} \|[^|]*\| ([-+][\d.]+)(?: to ([-+][\d.]+))? \| (\d+), (\d+) \|"


def section(model):
    return QUALITY.split(f"## Laboratory: {model}")[1].split("<!-- end of clusca lab")[0]


def row_of(model, method, order):
    """Least and most over the baseline, in dB, and how many settings gain and lose."""
    found = re.search(ROW.format(method=method, order=order), section(model))
    least, most, gains, loses = found.groups()
    return float(least), float(most or least), int(gains), int(loses)


def over(model, method, orders):
    """Least and most over the baseline of these orders."""
    rows = [row_of(model, method, order) for order in orders]
    return min(row[0] for row in rows), max(row[1] for row in rows)


def cell(model, method, order, interval, column):
    """What a table has at an interval: PSNR, or the gain over the baseline."""
    line = next(
        line
        for line in section(model).splitlines()
        if line.startswith(f"| `{method}` | {order} |") and "dB" not in line and " ± " in line
    )
    values = re.findall(r"[-+]?[\d.]+(?= ± )", line.split("|")[3:][interval - 4])
    return float(values[column])


def test_what_schedules_that_adapt_are_said_to_be_worth():
    least, most = over("pictures", "speca", (1, 2, 3))
    assert f"SpeCa gains {least:.1f} to {most:.1f} dB over even steps" in SCHEDULES
    losing = ("teacache", "teacache-pictures", "teacache-taylor", "first-block")
    for method in (*losing, "first-block-taylor"):
        orders = (1, 2, 3) if "taylor" in method else (0,)
        assert all(row_of("pictures", method, order)[2] == 0 for order in orders)  # none gains
    gains = {
        (method, order): row_of("digits", method, order)[2]
        for method in (
            *("speca", "teacache-taylor", "first-block-taylor"),
            *("adacache", "teacache", "teacache-digits", "first-block"),
        )
        for order in ((1, 2, 3) if method in ("speca",) or "taylor" in method else (0,))
    }
    found = {key: count for key, count in gains.items() if count}
    assert found == {("speca", 2): 1, ("teacache-taylor", 2): 1, ("teacache-taylor", 3): 1}
    speca = cell("digits", "speca", 2, 5, 1)
    assert f"SpeCa of order 2 at interval 5 ({speca:.1f} dB gained)" in SCHEDULES
    taylor = [cell("digits", "teacache-taylor", order, 7, 1) for order in (2, 3)]
    assert f"at interval 7 ({taylor[0]:.1f} and {taylor[1]:.1f})" in SCHEDULES


@pytest.mark.parametrize(
    "words, method, interval, order",
    [
        ("{:.1f} with a warm-up of 2", "taylor", 5, 1),
        ("{:.1f} with AdaCache", "adacache", 6, 0),
        ("{:.1f} with the placement searched for them", "placed-pictures", 5, 1),
    ],
)
def test_what_six_full_steps_of_the_pictures_come_to(words, method, interval, order):
    assert words.format(cell("pictures", method, order, interval, 0)) in SCHEDULES


def test_what_placements_are_said_to_be_worth_on_the_other_model():
    digits = over("digits", "placed-pictures", (1, 2, 3))
    pictures = over("pictures", "placed-digits", (1, 2, 3))
    said = "{:.1f} to {:.1f} dB on the digits, {:.1f} to {:.1f} on the pictures"
    assert said.format(*digits, *pictures) in README


def test_what_masks_are_said_to_be_worth():
    learning = " ".join((ROOT / "docs" / "learning.md").read_text().split())
    kinds, modules = (
        over("pictures", name, (1,)) for name in ("smoothcache-taylor", "smoothcache-modules")
    )
    assert "by kind gains {:.1f} to {:.1f} dB, by module {:.1f} to {:.1f}".format(
        *kinds, *modules
    ) in (learning)
    run = [cell("pictures", "harmonica", 1, interval, 1) for interval in (4, 6, 8)]
    said = "HarmoniCa {:.1f}, {:.1f} and {:.1f} at intervals 4, 6 and 8, 2.7x, 3.3x and 3.8x fewer"
    assert said.format(*run) in learning
    least, _, *counts = row_of("digits", "harmonica", 1)
    middle = -cell("digits", "harmonica", 1, 6, 1)
    assert counts == [0, 2] and f"not told apart ({middle:.1f} and {-least:.1f} at 6" in learning
    gained = [cell("pictures", "learning-to-cache", 1, interval, 1) for interval in (4, 6, 8)]
    said = "Learning-to-Cache {:.1f} at interval 4, and loses {:.1f} and {:.1f} at 6 and 8"
    assert said.format(gained[0], -gained[1], -gained[2]) in learning
    names = ("learning-to-cache", "smoothcache-taylor", "smoothcache-modules")
    lost = [-value for name in names for value in reversed(over("digits", name, (1,)))]
    said = "Learning-to-Cache {:.1f} to {:.1f} dB, SmoothCache by kind {:.1f} to {:.1f}, by module"
    assert (said + " {:.1f} to {:.1f};").format(*lost) in learning
