"""Batches of latents: the same bits from any number of processes, workers and restarts."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_rigs.pictures import TinyCodec, data_config, save_noise

from gcfg_core.errors import InputError
from training.data.dataset import LatentBatch, LatentDataset, batches
from training.data.latent_cache import LatentCache
from training.data.latent_reader import wanted_latents
from training.data.order import BatchOrder
from training.data.scan import Scan, scan_folder
from training.seeds import normal, uniform

STEPS = 8


class World:
    """A scanned folder with captions, an order of its pictures and a filled cache."""

    def __init__(self, folder: Path) -> None:
        for path in save_noise(folder / "images", [(40, 32), (32, 48), (37, 32), (50, 50)] * 2)[:6]:
            path.with_suffix(".txt").write_text(f"picture {path.stem}")
        config = data_config(folder / "images", captions="sidecar", caption_dropout=0.4)
        self.scan: Scan = scan_folder(config)
        self.order = BatchOrder(self.scan.buckets(), batch=4, seed=5)
        self.cache = LatentCache(folder / "cache", TinyCodec())
        self.cache.fill(wanted_latents(self.scan.pictures, self.order.buckets, self.order.flip))

    def run(self, start: int = 0, steps: int = STEPS, rank: int = 0, world: int = 1, workers: int = 0,
            seed: int = 5) -> list[LatentBatch]:  # fmt: skip
        order = replace(self.order, seed=seed)
        return list(batches(order, self.cache, self.scan, start, steps, rank, world, workers))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def _same(one: list[LatentBatch], other: list[LatentBatch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.latents, b.latents) and torch.equal(a.time_ids, b.time_ids)
        assert (a.step, a.epoch, a.captions, a.positions, a.pictures) == (
            b.step, b.epoch, b.captions, b.positions, b.pictures)  # fmt: skip


def test_latents_are_drawn_from_mean_and_deviation(world: World) -> None:
    for batch in world.run():
        for index, slot in enumerate(world.order.slots(batch.step)):
            picture, size = world.scan.pictures[slot.picture], world.order.buckets[slot.bucket].size
            mean, std, _ = world.cache.get(picture, size, slot.flip)
            noise = normal(tuple(mean.shape), 5, "latent", batch.step, slot.position)
            assert torch.equal(batch.latents[index], mean + std * noise)
            dropped = uniform(5, "caption", batch.step, slot.position) < 0.4
            assert batch.captions[index] == ("" if dropped else picture.caption or "")
            ids = batch.time_ids[index].tolist()
            assert ids[:2] == list(picture.size[::-1]) and ids[4:] == list(size[::-1])
            assert batch.pictures[index] == slot.picture


@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.5, 1.0])
def test_captions_are_dropped_as_often_as_is_asked(world: World, wanted: float) -> None:
    scan = replace(world.scan, config=world.scan.config.model_copy(update={"caption_dropout": wanted}))
    captioned = {index for index, picture in enumerate(scan.pictures) if picture.caption}
    drawn = [
        batch.captions[place]
        for batch in batches(world.order, world.cache, scan, 0, 500, workers=0)
        for place, picture in enumerate(batch.pictures)
        if picture in captioned
    ]
    assert len(drawn) > 1000 and drawn.count("") / len(drawn) == pytest.approx(wanted, abs=0.04)


def test_the_mirrored_crop_is_in_the_size_ids(world: World) -> None:
    """5 columns of a 37 x 32 picture are cut off in a square bucket: 2 on the left, 3 on the right."""
    lefts = {
        (slot.flip, batch.time_ids[index, 3].item())
        for batch in world.run(steps=40)
        for index, slot in enumerate(world.order.slots(batch.step))
        if world.scan.pictures[slot.picture].size == (37, 32)
    }
    assert lefts == {(False, 2.0), (True, 3.0)}


def test_two_workers_give_the_same_bits_and_leave_the_global_numbers_alone(world: World) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    _same(world.run(), world.run(workers=2))
    assert torch.equal(before, torch.get_rng_state())


def test_workers_that_are_started_afresh_can_have_the_data(world: World) -> None:
    data = LatentDataset(world.order, world.cache.reader(), world.scan.pictures, 2, 3, 0, 1, 0.4)
    again = pickle.loads(pickle.dumps(data))
    _same([again[index] for index in range(len(again))], world.run(start=2, steps=3))
    with pytest.raises(IndexError):
        again[3]


def test_a_restart_goes_on_where_it_was(world: World) -> None:
    _same(world.run()[3:], world.run(start=3, steps=STEPS - 3))


@pytest.mark.parametrize("count", [2, 4])
def test_processes_together_have_the_whole_batch(world: World, count: int) -> None:
    parts = [world.run(rank=rank, world=count) for rank in range(count)]
    for step, whole in enumerate(world.run()):
        order = torch.tensor([position for part in parts for position in part[step].positions]).argsort()
        assert torch.equal(torch.cat([part[step].latents for part in parts])[order], whole.latents)
        assert torch.equal(torch.cat([part[step].time_ids for part in parts])[order], whole.time_ids)
        captions = [caption for part in parts for caption in part[step].captions]
        assert [captions[index] for index in order] == whole.captions


def test_another_seed_draws_other_latents(world: World) -> None:
    pictures = {batch.pictures[0]: batch.latents for batch in world.run(steps=20)}
    assert not any(torch.equal(pictures.get(b.pictures[0], b.latents[:0]), b.latents) for b in world.run(seed=6))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_entry_is_told_in_one_line(tmp_path: Path, workers: int) -> None:
    damaged = World(tmp_path)
    for path in (tmp_path / "cache").rglob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="missing or damaged") as caught:
        damaged.run(workers=workers)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="multiple of the 3 processes"):
        damaged.run(world=3)
