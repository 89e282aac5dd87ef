"""Rows of several machines: pictures are compared, times are those of one."""

from clusca_ext.lab.comparison import groups
from clusca_ext.lab.times import is_timed
from lab_cases import GRID, ORIGIN, measure


def test_times_are_those_of_one_machine(tmp_path):
    before, _ = measure(tmp_path, grid=GRID[:6])
    outcome, _ = measure(tmp_path, who=ORIGIN | {"machine": "other"}, missing=True)
    assert outcome.rows[:6] == before.rows and outcome.measured == len(GRID) - 6
    assert all(map(is_timed, outcome.rows))
    (group,) = groups(outcome.rows)
    assert group.machine == "a-cpu" and group.timed == before.rows
    (group,) = groups(outcome.rows[4:])
    assert group.machine == "other" and group.timed == outcome.rows[6:]


def test_a_setting_has_the_row_of_the_machine_whose_times_are_told(tmp_path):
    """Files are read by their names: whatever comes last there is not what is shown."""
    told, _ = measure(tmp_path / "a")
    who = ORIGIN | {"machine": "other"}
    others, _ = measure(tmp_path / "b", grid=GRID[1:], who=who)
    for rows_read in ([*told.rows, *others.rows], [*others.rows, *told.rows]):
        (group,) = groups(rows_read)
        assert group.machine == "a-cpu" and group.rows == tuple(told.rows)
    busy = [row | {"full_seconds": [40.0, 99.0]} for row in told.rows]  # then the other's are
    (group,) = groups([*others.rows, *busy])
    assert group.machine == "other" and group.timed == others.rows
    assert {row["machine"] for row in group.rows} == {"other", "a-cpu"}


def test_another_host_of_the_same_name_is_not_a_busy_machine(tmp_path):
    """Rows of a commit are compared with each other; those of one busy throughout have no times."""
    told = measure(tmp_path)[0].rows
    (full,) = {row["full_seconds"][0] for row in told}

    def timed(*factors):
        earlier = [{"commit": "earlier", "full_seconds": [f * full] * 2} for f in factors]
        mixed = [row | part for row, part in zip(told, earlier, strict=False)]
        (group,) = groups(mixed + told[len(factors) :])
        return [group.is_timed(row) for row in group.rows[: len(factors)]]

    assert timed(1.3, 1.4) == [True, True]
    assert timed(1.3, 1.3 * 1.2) == [True, False]
    assert timed(1.6, 1.6) == [False, False]
