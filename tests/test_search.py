"""The search for a placement: what it finds, that it goes on where it was, what it refuses."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clusca_ext import ClusCaConfig, EvenSchedule, HermiteForecaster
from clusca_ext.demo.judge import Estimate
from clusca_ext.search import SearchSettings, find_placement
from clusca_ext.search.moves import REACH, even_placement, neighbours, propose, stretches

BEST = (0, 2, 5, 9, 20)
SEARCH = SearchSettings(
    num_steps=24, full_steps=5, training=(0, 1, 2), held_out=(7, 8), objective="a known best"
)


class Known:
    """Pictures whose error grows with the distance of the full steps from ``BEST``."""

    def __init__(self, fail_at=None):
        self.drawn, self.fail_at = [], fail_at

    def __call__(self, config, seeds):
        pictures = torch.stack([torch.full((1, 2, 2), 0.1 * seed) for seed in seeds])
        if config is None:
            return pictures
        if len(self.drawn) == self.fail_at:
            raise KeyboardInterrupt
        steps = config.schedule.steps
        self.drawn.append((steps, tuple(seeds)))
        apart = sum(abs(a - b) for a, b in zip(steps, BEST, strict=True))
        scale = 0.01 + 0.001 * torch.tensor(seeds).view(-1, 1, 1, 1)
        return pictures + scale * (0.1 + apart)


# ---- moves


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_move_keeps_what_a_placement_is(data):
    num_steps = data.draw(st.integers(3, 30))
    inner = data.draw(st.sets(st.integers(1, num_steps - 1), min_size=1, max_size=6))
    steps = (0, *sorted(inner))
    for moved in (1, 2):
        for new in neighbours(steps, num_steps, moved):
            assert new != steps and len(new) == len(steps)
            assert new[0] == 0 and new[-1] < num_steps
            assert list(new) == sorted(set(new))
            gone, come = sorted(set(steps) - set(new)), sorted(set(new) - set(steps))
            assert 1 <= len(gone) <= moved
            assert all(abs(a - b) <= 2 * REACH for a, b in zip(gone, come, strict=True))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_stretch_keeps_what_a_placement_is(data):
    num_steps = data.draw(st.integers(3, 60))
    inner = data.draw(st.sets(st.integers(1, num_steps - 1), min_size=1, max_size=9))
    steps = (0, *sorted(inner))
    for new in stretches(steps, num_steps):
        assert new != steps and len(new) == len(steps)
        assert new[0] == 0 and new[-1] < num_steps and list(new) == sorted(set(new))
        assert max(abs(a - b) for a, b in zip(steps, new, strict=True)) <= REACH


def test_a_stretch_keeps_proportions():
    found = stretches((0, 4, 8, 12, 16), 20)
    assert (0, 3, 6, 11, 16) in found  # 8 moved to 6
    assert (0, 5, 10, 15, 19) not in found and (0, 5, 10, 14, 19) in found  # 16 to 19
    assert stretches((0, 1), 2) == set()


def test_one_full_step_moves_by_one_to_three():
    assert neighbours((0, 5), 8, 1) == {(0, i) for i in (2, 3, 4, 6, 7)}
    assert (0, 6, 9) in neighbours((0, 5, 10), 12, 2)
    assert (0, 5, 6) not in neighbours((0, 5, 10), 12, 1)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_no_proposal_was_tried(seed):
    rng, steps = random.Random(seed), (0, 2, 3)
    tried = {steps}
    while (new := propose(steps, 5, tried, rng)) is not None:
        assert new not in tried
        tried.add(new)
    assert len(tried) == 6  # all that two of the steps 1 to 4 can be


@pytest.mark.parametrize("num_steps, count", [(50, 10), (12, 5), (7, 6), (3, 2)])
def test_the_beginning_is_even(num_steps, count):
    steps = even_placement(num_steps, count)
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    assert len(steps) == count and (steps[0], steps[-1]) == (0, num_steps - 1)
    assert max(gaps) - min(gaps) <= 1
    assert EvenSchedule(interval=6).full_steps(50) == even_placement(50, 10)


# ---- the search


def test_it_finds_a_known_best():
    found = find_placement(Known(), SEARCH, tries=400)
    assert found.steps == BEST
    assert found.gain.mean > 20 and found.held_out_gain.mean > 20


def test_no_try_is_evaluated_twice():
    draw = Known()
    find_placement(draw, SEARCH, tries=80)
    assert len(draw.drawn) == len(set(draw.drawn)) == 80 + 1 + 2  # even; two on held-out seeds


def test_it_ends_where_all_was_tried():
    small = SearchSettings(num_steps=4, full_steps=2, training=(0, 1), held_out=(2, 3))

    def draw(config, seeds):
        steps = (3,) if config is None else config.schedule.steps
        return torch.tensor(seeds).view(-1, 1) * 0.0 + 0.1 * (3 - steps[-1])

    found = find_placement(draw, small, tries=50)
    assert found.tries == 2 and found.steps == (0, 3)
    assert found.gain == found.held_out_gain == Estimate(0.0, 0.0)


def test_a_placement_that_diverges_is_not_taken():
    known = Known()

    def draw(config, seeds):
        pictures = known(config, seeds)
        is_even = config is None or config.schedule.steps == even_placement(24, 5)
        return pictures if is_even else pictures * float("nan")

    found = find_placement(draw, SEARCH, tries=10)
    assert found.steps == even_placement(24, 5) and found.gain.mean == 0


def test_the_seed_decides():
    def steps(seed):
        draw = Known()
        find_placement(draw, SearchSettings(**(vars(SEARCH) | {"seed": seed})), tries=20)
        return draw.drawn

    assert steps(1) == steps(1) != steps(2)


@pytest.mark.parametrize("fail_at", [0, 1, 17, 30, 41, 42])
def test_a_killed_search_goes_on_to_the_same_result(fail_at, tmp_path):
    whole, journal = Known(), tmp_path / "journal.jsonl"
    expected = find_placement(whole, SEARCH, tries=40)
    killed, rest = Known(fail_at), Known()
    with pytest.raises(KeyboardInterrupt):
        find_placement(killed, SEARCH, tries=40, journal=journal)
    assert find_placement(rest, SEARCH, tries=40, journal=journal) == expected
    again = [whole.drawn[0]] if killed.drawn else []  # the even placement tells that it goes on
    assert rest.drawn[: len(again)] == again
    assert killed.drawn + rest.drawn[len(again) :] == whole.drawn


@pytest.mark.parametrize("tries", [2, 5], ids=["held-out-seeds", "another-try"])
def test_other_pictures_are_refused(tries, tmp_path):
    """Another model or prompt, of which the settings say nothing."""
    journal = tmp_path / "journal.jsonl"
    with pytest.raises(KeyboardInterrupt):
        find_placement(Known(fail_at=3), SEARCH, tries=2, journal=journal)
    content, known = journal.read_bytes(), Known()

    def draw(config, seeds):
        return known(config, seeds) * (1.0 if config is None else 1.02)

    with pytest.raises(ValueError, match=r"draw must draw what it drew when .* began, .* dB off"):
        find_placement(draw, SEARCH, tries=tries, journal=journal)
    assert journal.read_bytes() == content


def test_a_torn_line_is_drawn_again(tmp_path):
    whole, journal = Known(), tmp_path / "journal.jsonl"
    expected = find_placement(whole, SEARCH, tries=10, journal=journal)
    content = journal.read_bytes()
    for end in (5, 300, content.find(b'{"try": 4') + 20, len(content) - 3):
        journal.write_bytes(content[:end])
        assert find_placement(Known(), SEARCH, tries=10, journal=journal) == expected
        assert journal.read_bytes() == content


def test_a_finished_search_draws_nothing_and_may_be_continued(tmp_path):
    journal = tmp_path / "journal.jsonl"
    short = find_placement(Known(), SEARCH, tries=10, journal=journal)
    nothing = Known(fail_at=0)
    assert find_placement(nothing, SEARCH, tries=10, journal=journal) == short
    longer = find_placement(Known(), SEARCH, tries=30, journal=journal)
    assert longer == find_placement(Known(), SEARCH, tries=30)
    assert find_placement(nothing, SEARCH, tries=10, journal=journal) == short


@pytest.mark.parametrize(
    "name, value",
    [
        ("num_steps", 25),
        ("full_steps", 4),
        ("training", (0, 1)),
        ("held_out", (7, 9)),
        ("seed", 3),
        ("objective", "another"),
        ("config", ClusCaConfig(forecaster=HermiteForecaster(order=2))),
    ],
)
def test_other_settings_are_refused(name, value, tmp_path):
    journal = tmp_path / "journal.jsonl"
    find_placement(Known(), SEARCH, tries=2, journal=journal)
    content = journal.read_bytes()
    other = SearchSettings(**(vars(SEARCH) | {name: value}))
    with pytest.raises(ValueError, match=f"is of a search with other settings: {name} must be "):
        find_placement(Known(), other, tries=2, journal=journal)
    assert journal.read_bytes() == content


def test_another_schedule_is_no_other_search(tmp_path):
    journal = tmp_path / "journal.jsonl"
    first = find_placement(Known(), SEARCH, tries=2, journal=journal)
    config = ClusCaConfig(schedule=EvenSchedule(interval=2))
    other = SearchSettings(**(vars(SEARCH) | {"config": config}))
    assert find_placement(Known(0), other, tries=2, journal=journal).steps == first.steps


@pytest.mark.parametrize(
    "content", [b"a letter", b"a letter\n", b"two\nlines", b"[1]\n", b'{"type": 1}\n']
)
def test_another_file_is_left_as_it_is(content, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="letter.txt must be the journal of a search, got b"):
        find_placement(Known(), SEARCH, journal=path)
    assert path.read_bytes() == content


def test_two_searches_in_one_file_are_noticed(tmp_path):
    journal = tmp_path / "journal.jsonl"
    find_placement(Known(), SEARCH, tries=3, journal=journal)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:3], *lines[2:]]) + "\n")
    with pytest.raises(ValueError, match=r"line 4 of .* must be a try .*: try must be 2, got 1"):
        find_placement(Known(), SEARCH, tries=3, journal=journal)
