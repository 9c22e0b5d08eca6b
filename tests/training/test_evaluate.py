"""Numbers with known answers, and that they depend on the pictures alone."""

import pytest
import torch
from PIL import Image
from train_rigs.samples import SMALL, noise_pictures, write_pictures

from gcfg_core.errors import InputError
from training.evaluate import features
from training.evaluate.evaluation import MEASURES, score
from training.evaluate.features import Features, extract
from training.evaluate.measure import Measure
from training.evaluate.memorisation import memorisation, nearest
from training.evaluate.metrics import frechet_distance, kernel_distance, neighbourhoods
from training.evaluate.pictures import list_pictures


def gaussian(count: int, mean: float = 0.0, deviation: float = 1.0, seed: int = 0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=made, dtype=torch.float64) * deviation + mean


def bare(values: torch.Tensor) -> Features:
    return Features((), values)


def features_of(folder, batch: int = 32):
    return extract(list_pictures(folder), SMALL, batch)


def test_a_set_is_no_distance_from_itself():
    values = gaussian(200)
    assert frechet_distance(values, values) == pytest.approx(0.0, abs=1e-9)
    found = neighbourhoods(values, values)
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0


@pytest.mark.parametrize("mean, deviation", [(2.0, 1.0), (0.0, 3.0), (1.5, 0.5)])
def test_the_frechet_distance_of_gaussians_is_the_closed_form(mean, deviation):
    """6 * (mean^2 + (1 - deviation)^2) for independent numbers."""
    found = frechet_distance(gaussian(50_000), gaussian(50_000, mean, deviation, seed=1))
    assert found == pytest.approx(6 * (mean**2 + (1 - deviation) ** 2), rel=0.02)


def test_the_frechet_distance_of_shifted_sets_is_the_shift():
    values = gaussian(100)
    assert frechet_distance(values, values + 3.0) == pytest.approx(6 * 9.0, rel=1e-9)


def test_kernel_distance_is_unbiased_for_halves_and_sees_a_shift():
    means = [kernel_distance(gaussian(64, seed=i), gaussian(64, seed=100 + i), 32)[0] for i in range(20)]
    spread = torch.tensor(means).std()
    assert abs(sum(means) / 20) < 3 * spread / 20**0.5 and min(means) < 0.0
    assert kernel_distance(gaussian(64), gaussian(64, 1.0, seed=1), 32)[0] > 10 * spread


def test_the_frechet_distance_is_biased_where_the_kernel_distance_is_not():
    few = frechet_distance(gaussian(16), gaussian(16, seed=1))
    many = frechet_distance(gaussian(2000), gaussian(2000, seed=1))
    assert few > 20 * many


def test_subsets_do_not_touch_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = kernel_distance(gaussian(40), gaussian(40, seed=1), 10, seed=7)
    assert torch.equal(torch.rand(3), expected)
    assert kernel_distance(gaussian(40), gaussian(40, seed=1), 10, seed=7) == first
    assert kernel_distance(gaussian(40), gaussian(40, seed=1), 10, seed=8) != first


def test_precision_and_recall_see_lost_and_invented_pictures():
    real = torch.cat([gaussian(100), gaussian(100, 50.0, seed=1)])
    half = torch.cat([gaussian(100, seed=2), gaussian(100, seed=3)])
    lost, invented = neighbourhoods(real, half), neighbourhoods(half, real)
    assert lost["precision"] > 0.8 and lost["recall"] < 0.6
    assert invented["precision"] < 0.6 and invented["recall"] > 0.8


def test_small_sets_are_said_to_be_small():
    assert score(bare(gaussian(4)), bare(gaussian(4, seed=1)))["precision"] is None
    with pytest.raises(InputError, match="at least two in each set"):
        score(bare(gaussian(1)), bare(gaussian(9)))


def test_names_order_and_batch_change_nothing(tmp_path):
    pixels, others = noise_pictures(40), noise_pictures(30, seed=1, bright=140.0)
    write_pictures(tmp_path / "a", pixels)
    write_pictures(tmp_path / "b", pixels.flip(0), "q")
    write_pictures(tmp_path / "c", others)
    first, second = features_of(tmp_path / "a"), features_of(tmp_path / "b", batch=7)
    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]
    torch.testing.assert_close(first.values, second.values, atol=1e-12, rtol=1e-12)
    other = features_of(tmp_path / "c")
    one, two = score(first, other), score(second, other)
    assert one == pytest.approx(two, rel=1e-9)


def test_a_measure_answers_every_question():
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (Measure,), {"name": "half"})()
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)


def test_every_line_prints_a_value(tmp_path):
    write_pictures(tmp_path / "a", noise_pictures(8))
    write_pictures(tmp_path / "b", noise_pictures(8, seed=1))
    one, two = features_of(tmp_path / "a"), features_of(tmp_path / "b")
    sets = {"real": one, "generated": two, "train": two, "mirrored": two}
    for measure in MEASURES:
        values = measure.compute(sets, 0).values
        assert all(format(values[line.key], line.form) for line in measure.lines)


def test_memorisation_detects_copies(tmp_path):
    train, fresh = noise_pictures(60, seed=0), noise_pictures(120, seed=1)
    write_pictures(tmp_path / "train", train)
    write_pictures(tmp_path / "real", fresh[:60])
    write_pictures(tmp_path / "innocent", fresh[60:])
    write_pictures(tmp_path / "copies", torch.cat([train[:40], fresh[60:80]]), "q")
    noisy = (train.int() + torch.randint(-2, 3, train.shape)).clamp(0, 255).byte()
    write_pictures(tmp_path / "noisy", noisy)
    training, real = features_of(tmp_path / "train"), features_of(tmp_path / "real")
    innocent = memorisation(features_of(tmp_path / "innocent"), training, real)
    assert 0.7 < innocent.ratio < 1.4 and innocent.nearer < 0.2 and innocent.copies == 0
    copied = memorisation(features_of(tmp_path / "copies"), training, real)
    assert copied.copies == 40 and copied.ratio < 1e-3 and copied.nearer > 0.6
    assert copied.pairs[0].generated.sha256 == copied.pairs[0].training.sha256
    near = memorisation(features_of(tmp_path / "noisy"), training, real)
    assert near.copies == 0 and near.ratio < 0.2 and near.nearer > 0.9
    with pytest.raises(InputError, match="not trained on"):
        memorisation(features_of(tmp_path / "copies"), training, training)


def test_mirrored_copies_are_copies(tmp_path):
    train, fresh = noise_pictures(40, seed=0), noise_pictures(80, seed=1)
    write_pictures(tmp_path / "train", train)
    write_pictures(tmp_path / "real", fresh[:40])
    write_pictures(tmp_path / "mirrored", train[:20].flip(2))
    training, real = features_of(tmp_path / "train"), features_of(tmp_path / "real")
    turned = extract(list_pictures(tmp_path / "train"), SMALL, mirrored=True)
    made = features_of(tmp_path / "mirrored")
    assert memorisation(made, training, real).copies == 0
    found = memorisation(made, training, real, turned)
    assert found.copies == 20
    for pair in found.pairs:
        one, other = (features.open_picture(file) for file in (pair.generated, pair.training))
        assert one.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes() == other.tobytes()


def test_held_out_pictures_that_are_training_images_in_other_files_are_refused(tmp_path):
    train = noise_pictures(6)
    for path in write_pictures(tmp_path / "train", train):
        (tmp_path / "real").mkdir(exist_ok=True)
        Image.open(path).save(tmp_path / "real" / f"{path.stem}.bmp")
    training, real = features_of(tmp_path / "train"), features_of(tmp_path / "real")
    with pytest.raises(InputError, match="not trained on, got pictures whose features are the training images'"):
        memorisation(training, training, real)


def test_nearest_is_brute_force():
    one, many = gaussian(300), gaussian(50, seed=1)
    distances, indices = nearest(one, many)
    by_hand = (one[:, None] - many[None]).square().sum(-1).sqrt()
    torch.testing.assert_close(distances, by_hand.min(1).values)
    assert torch.equal(indices, by_hand.argmin(1))
