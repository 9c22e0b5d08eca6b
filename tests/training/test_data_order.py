"""The order of a run: a function of seed and step."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcfg_core.errors import InputError
from training.data.buckets import Bucket
from training.data.order import BatchOrder, share
from training.data.picture import Size


def _plan(counts: list[int], batch: int, seed: int = 0, flip: float = 0.5) -> BatchOrder:
    buckets, start = [], 0
    for number, count in enumerate(counts):
        buckets.append(Bucket(Size(8 * (number + 1), 8), tuple(range(start, start + count))))
        start += count
    return BatchOrder(buckets, batch, seed, flip)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 8), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_every_picture_is_in_every_epoch(counts: list[int], batch: int, seed: int) -> None:
    order = _plan(counts, batch, seed)
    assert order.steps_per_epoch == sum(-(-count // batch) for count in counts)
    for epoch in range(2):
        seen: Counter[int] = Counter()
        for step in range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch):
            slots = order.slots(step)
            assert len(slots) == batch and len({slot.bucket for slot in slots}) == 1
            assert [slot.position for slot in slots] == list(range(batch))
            assert {slot.epoch for slot in slots} == {epoch}
            assert all(slot.picture in order.buckets[slot.bucket].members for slot in slots)
            seen.update(slot.picture for slot in slots)
        assert set(seen) == set(range(sum(counts)))
        assert order.repeats == sum(seen.values()) - sum(counts)
        for bucket in order.buckets:  # filled evenly: nobody is repeated twice before all are repeated once
            times = [seen[index] for index in bucket.members]
            assert max(times) - min(times) <= 1


def test_a_restart_goes_on_where_it_was() -> None:
    whole = [_plan([7, 5, 1], 4, seed=3).slots(step) for step in range(40)]
    for start in (0, 1, 4, 17, 39):
        again = _plan([7, 5, 1], 4, seed=3)
        assert [again.slots(step) for step in range(start, 40)] == whole[start:]


def test_processes_share_what_one_sees() -> None:
    order = _plan([7, 5, 1], 6, seed=3)
    for step in range(20):
        slots = order.slots(step)
        for world in (1, 2, 3, 6):
            parts = [share(order.slots(step), rank, world) for rank in range(world)]
            assert sorted((slot for part in parts for slot in part), key=lambda slot: slot.position) == slots
            assert {len(part) for part in parts} == {6 // world}
    with pytest.raises(InputError, match="multiple of the 4 processes"):
        share(order.slots(0), 0, 4)


def test_seeds_and_epochs_differ_and_flips_follow_their_probability() -> None:
    first, other = _plan([50], 10, seed=1), _plan([50], 10, seed=2)
    assert [s.picture for s in first.slots(0)] != [s.picture for s in other.slots(0)]
    assert [s.picture for s in first.slots(0)] != [s.picture for s in first.slots(first.steps_per_epoch)]
    for probability, least, most in ((0.0, 0, 0), (0.5, 400, 600), (1.0, 1000, 1000)):
        order = _plan([50], 10, flip=probability)
        assert least <= sum(slot.flip for step in range(100) for slot in order.slots(step)) <= most


def test_batches_of_different_buckets_are_mixed() -> None:
    order = _plan([40, 40], 4)
    order = [order.slots(step)[0].bucket for step in range(order.steps_per_epoch)]
    assert sorted(order) != order and Counter(order) == {0: 10, 1: 10}


def test_a_batch_of_nothing_is_told() -> None:
    with pytest.raises(InputError, match="at least 1"):
        _plan([3], 0)
