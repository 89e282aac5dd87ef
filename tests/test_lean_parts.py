"""The parts of lean storage one by one: components of gates, courses of runs, places, cells."""

import numpy
import pytest
import torch

from clusca_ext import EvenSchedule, HermiteForecaster, IntervalSchedule, TaylorForecaster
from clusca_ext.storage.feature import Feature
from clusca_ext.storage.lean.arena import Arena, size_of
from clusca_ext.storage.lean.cells import cells
from clusca_ext.storage.lean.course import Course, Places
from clusca_ext.storage.lean.fit import AUTO_ERROR, AUTO_RANK, Fit, gram, ranks_of

STEPS = 30
FORECASTERS = [
    TaylorForecaster(order=0),
    TaylorForecaster(order=1),
    TaylorForecaster(order=3, bounded=False),
    HermiteForecaster(),
]


def gates(W=6, B=3, M=5, D=7):
    """Smooth in time, of other amplitudes for every row."""
    time = torch.linspace(0, 1, W).view(-1, 1, 1, 1)
    waves = torch.randn(3, 1, B, M, D)
    return waves[0] + time * waves[1] + 0.1 * (5 * time).sin() * waves[2]


@pytest.mark.parametrize("rank", [1, 2, 3, 6, 8])
def test_components_are_those_of_a_singular_value_decomposition(rank):
    given = gates()
    fit = Fit.of(gram(given))
    found, errors = fit.first(ranks_of(rank, [fit]))
    for row in range(given.shape[1]):
        matrix = given[:, row].flatten(1).double().numpy()
        values = numpy.linalg.svd(matrix, compute_uv=False)
        V = found[row].numpy()
        left = numpy.linalg.norm(matrix - V @ V.T @ matrix) / numpy.linalg.norm(matrix)
        best = numpy.sqrt((values[rank:] ** 2).sum() / (values**2).sum())
        numpy.testing.assert_allclose(left, best, atol=1e-6)
        numpy.testing.assert_allclose(errors[row], best, atol=1e-6)


def test_rows_are_fitted_apart_and_windows_alike():
    """As many components as the hardest window of a row needs; other rows do not matter."""
    given = gates()
    given[:, 0] = given[0, 0]  # stands still: one will do
    fits = [Fit.of(gram(given[:4])), Fit.of(gram(given))]
    ranks = ranks_of("auto", fits)
    assert ranks[0] == 1 and ranks[1] > 1 and int(ranks.max()) <= AUTO_RANK
    for fit in fits:
        found, errors = fit.first(ranks)
        assert not found[0, :, 1:].any()
        assert (errors[ranks < AUTO_RANK] <= AUTO_ERROR).all()
    alone = [Fit.of(gram(given[:4, 1:2])), Fit.of(gram(given[:, 1:2]))]
    assert ranks_of("auto", alone)[0] == ranks[1]


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=str)
@pytest.mark.parametrize(
    "schedule", [EvenSchedule(interval=5), IntervalSchedule(interval=4, warmup=3)], ids=str
)
def test_a_course_forecasts_as_features_do(schedule, forecaster):
    decide = schedule.start(STEPS)
    course, feature = Course(decide, 0, STEPS, forecaster), Feature(forecaster.order)
    for step in range(STEPS):
        if decide.is_full(step):
            feature.clock.tick(step)
            continue
        expected = feature.weights_at(step, forecaster)
        got = [0.0] * len(expected)
        for index, share in course.shares(step).items():
            got[index % len(got)] = share
        assert got == pytest.approx(expected)
        assert step in course.interval(course.index(step))


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=str)
def test_a_sum_for_every_step_begins_once_and_is_whole_when_it_is_read(forecaster):
    course = Course(EvenSchedule(interval=5).start(STEPS), 0, STEPS, forecaster)
    most = max(len(course.begun(index)) for index in range(len(course.full)))
    assert most <= (forecaster.order + 1) * 4
    places, begun, parts = Places(most), {}, {}
    for index, now in enumerate(course.full):
        for place in places.assign(now, course.begun(index)):
            step = next(s for s, p in places.of.items() if p == place)
            assert step not in begun
            begun[step] = place
        assert len(set(places.of.values())) == len(places.of)
        for step in course.served(index):
            parts.setdefault(step, set()).add(index)
        for step in course.interval(index):
            assert parts[step] == set(course.shares(step))
    assert set(begun) == {s for s in range(STEPS) if s not in course.full}


@pytest.mark.parametrize(
    "grid, count", [((8, 8), 16), ((3, 4, 4), 8), ((64,), 5), ((3, 5), 7), ((2, 2), 4), ((1,), 1)]
)
def test_cells_divide_a_grid(grid, count):
    ids = cells(grid, count)
    sizes = torch.bincount(ids.long(), minlength=count)
    assert len(ids) == numpy.prod(grid) and len(sizes) == count
    assert sizes.min() >= 1 and sizes.max() <= 2 * sizes.min() + 1


def test_cells_of_a_square_are_squares():
    ids = cells((8, 8), 16).view(8, 8)
    assert all(len(ids[y : y + 2, x : x + 2].unique()) == 1 for y in (0, 2) for x in (4, 6))


def test_an_arena_is_one_piece_that_stays():
    wanted = {"a": ((3, 5), torch.float32), "b": ((2,), torch.bfloat16), "c": ((0, 4), torch.int32)}
    arena, cpu = Arena(), torch.device("cpu")
    first = arena.take(wanted, cpu)
    assert [(name, tuple(t.shape), t.dtype) for name, t in first.items()] == [
        (name, *each) for name, each in wanted.items()
    ]
    assert len({t.untyped_storage().data_ptr() for t in first.values()}) == 1
    assert arena.bytes() == size_of(wanted)
    assert arena.take(wanted, cpu)["a"].data_ptr() == first["a"].data_ptr()
    with torch.inference_mode():
        arena.release()
        inside = arena.take(wanted, cpu)["a"]
    arena.take(wanted, cpu)["a"].zero_()  # memory of inference mode is not written outside
    assert inside.is_inference()
