"""Numbers with known answers, and that they depend on the pictures alone."""

import json
import shutil

import pytest
import torch
from PIL import Image
from torch import nn
from train_rigs.samples import noise_pictures, unet, write_pictures
from train_rigs.worlds import tiny_world

from gcfg_core.concept_file import write_concept
from gcfg_core.null_text import remove_text_attention
from training.base.world_write import write_world
from training.commands.evaluate import evaluate, parse, run
from training.errors import InputError
from training.evaluate import features as features_module
from training.evaluate.efficientnet import efficientnet_lite0
from training.evaluate.features import Extractor, extract, open_extractor, square
from training.evaluate.memorisation import memorisation, nearest
from training.evaluate.metrics import frechet_distance, kernel_distance, neighbourhoods, score
from training.evaluate.pictures import list_pictures
from training.evaluate.report import table
from training.export.concept import concept_of
from training.export.facts import TrainingFacts


class Small(nn.Module):
    """A fixed random projection of small pictures: fast features of 16 numbers."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        flat = pictures.double().flatten(1)
        made = torch.Generator().manual_seed(0)
        return flat @ torch.randn(flat.shape[1], 16, generator=made, dtype=torch.float64) / flat.shape[1]


SMALL = Extractor("small", 12, Small())


def gaussian(count: int, mean: float = 0.0, deviation: float = 1.0, seed: int = 0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=made, dtype=torch.float64) * deviation + mean


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
    assert score(gaussian(4), gaussian(4, seed=1)).precision is None
    with pytest.raises(InputError, match="at least two in each set"):
        score(gaussian(1), gaussian(9))


def test_names_order_and_batch_change_nothing(tmp_path):
    pixels, others = noise_pictures(40), noise_pictures(30, seed=1, bright=140.0)
    write_pictures(tmp_path / "a", pixels)
    write_pictures(tmp_path / "b", pixels.flip(0), "q")
    write_pictures(tmp_path / "c", others)
    first, second = features_of(tmp_path / "a"), features_of(tmp_path / "b", batch=7)
    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]
    torch.testing.assert_close(first.values, second.values, atol=1e-12, rtol=1e-12)
    other = features_of(tmp_path / "c")
    one, two = score(first.values, other.values).as_json(), score(second.values, other.values).as_json()
    assert one == pytest.approx(two, rel=1e-9)


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


def test_nearest_is_brute_force():
    one, many = gaussian(300), gaussian(50, seed=1)
    distances, indices = nearest(one, many)
    by_hand = (one[:, None] - many[None]).square().sum(-1).sqrt()
    torch.testing.assert_close(distances, by_hand.min(1).values)
    assert torch.equal(indices, by_hand.argmin(1))


def test_pictures_are_found_upright_and_others_told(tmp_path):
    write_pictures(tmp_path / "deep" / "er", noise_pictures(3))
    picture = Image.new("RGB", (20, 10), "red")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "torn.png").write_bytes((tmp_path / "deep" / "er" / "p000.png").read_bytes()[:60])
    found = features_of(tmp_path)
    assert len(found) == 4 and sorted(file.path.name for file in found.rejected) == ["notes.txt", "torn.png"]
    assert features_module.open_picture(tmp_path / "turned.jpg").size == (10, 20)


def test_square_is_the_picture_itself_at_its_own_size():
    values = noise_pictures(1)[0]
    assert torch.equal(square(Image.fromarray(values.numpy()), 12), values.permute(2, 0, 1))


def test_efficientnet_gives_imagenet_features():
    network = efficientnet_lite0()
    pictures = noise_pictures(2, size=64).permute(0, 3, 1, 2)
    found = network(pictures)
    assert found.shape == (2, 1280) and torch.isfinite(found).all() and (found >= 0).all()
    torch.testing.assert_close(network(pictures[1:]), found[1:], atol=1e-5, rtol=1e-5)
    assert not network.train().training


def test_a_torchscript_file_is_an_extractor(tmp_path):
    torch.jit.trace(nn.AdaptiveAvgPool2d(2), torch.zeros(1, 3, 8, 8)).save(str(tmp_path / "pool.pt"))
    made = open_extractor(str(tmp_path / "pool.pt"), 8)
    found = made.network(torch.full((2, 3, 8, 8), 255, dtype=torch.uint8))
    assert torch.equal(found, torch.ones(2, 12)) and str(made) == "pool.pt at 8 px"


def test_what_is_no_extractor_is_refused(tmp_path, monkeypatch):
    (tmp_path / "no.pt").write_text("text")
    with pytest.raises(InputError, match="TorchScript file at"):
        open_extractor(str(tmp_path / "no.pt"))
    with pytest.raises(InputError, match="efficientnet, inception or a TorchScript file"):
        open_extractor("resnet")


def test_inception_without_weights_is_told(monkeypatch):
    import torchmetrics.image.fid as fid

    def unreachable(**options: object) -> None:
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")

    monkeypatch.setattr(fid, "NoTrainInceptionV3", unreachable)
    with pytest.raises(InputError, match="Inception v3's weights.*use --features efficientnet") as caught:
        open_extractor("inception")
    assert "\n" not in str(caught.value)


@pytest.fixture
def quick(monkeypatch):
    """The command with small features in place of EfficientNet's."""
    monkeypatch.setattr("training.commands.evaluate.open_extractor", lambda which, size: SMALL)


def test_the_command_measures_folders(tmp_path, quick):
    write_pictures(tmp_path / "real", noise_pictures(30))
    write_pictures(tmp_path / "made", noise_pictures(30, seed=1))
    write_pictures(tmp_path / "train", noise_pictures(30, seed=2))
    shutil.copy(tmp_path / "train" / "p000.png", tmp_path / "made" / "copy.png")
    arguments = ["--real", str(tmp_path / "real"), "--generated", str(tmp_path / "made"), "--train",
                 str(tmp_path / "train"), "--output", str(tmp_path / "out"), "--device", "cpu"]  # fmt: skip
    told = run(parse(arguments))
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["scores"]["generated"] == 31 and found["memorisation"]["copies"] == 1
    assert found["real_halves"]["real"] == 15 and found["settings"]["real"] == str(tmp_path / "real")
    assert found["memorisation"]["nearest_pairs"][0]["generated"].endswith("copy.png")
    assert "KID" in told and "prefer KID" in told and told.splitlines()[0] == "features: small at 12 px"
    assert Image.open(tmp_path / "out" / "nearest.png").width > 128


def test_the_command_draws_and_measures_a_concept(tmp_path, quick):
    made = tiny_world()
    write_world(tmp_path / "world", made)
    trained = remove_text_attention(unet(1, made.config)).state_dict()
    write_concept(tmp_path / "toons.safetensors", concept_of(made, trained, TrainingFacts(resolution=8)))
    write_pictures(tmp_path / "real", noise_pictures(12))
    arguments = ["--real", str(tmp_path / "real"), "--run", str(tmp_path / "toons.safetensors"), "--base",
                 str(tmp_path / "world"), "--count", "5", "--steps", "2", "--output", str(tmp_path / "out"),
                 "--device", "cpu"]  # fmt: skip
    run(parse(arguments))
    assert len(list((tmp_path / "out" / "generated").iterdir())) == 5
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["scores"]["generated"] == 5
    with pytest.raises(InputError, match="w_control: expected 0 without a prompt"):
        run(parse([*arguments, "--w-control", "2"]))


def test_bad_input_is_told(tmp_path, quick):
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "real", noise_pictures(4))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    real, out = ["--real", str(tmp_path / "real")], ["--output", str(tmp_path / "out"), "--device", "cpu"]
    for arguments, message in (
        (real, "both or neither"),
        ([*real, "--generated", str(tmp_path / "empty")], "an empty folder"),
        ([*real, "--generated", str(tmp_path / "no")], "nothing there"),
        ([*real, "--generated", str(tmp_path / "text")], "1 other files"),
        ([*real, "--generated", str(tmp_path / "real" / "p000.png")], "a file"),
        ([*real, "--generated", str(tmp_path / "real"), "--output", str(tmp_path / "real" / "p000.png")], "output"),
    ):
        with pytest.raises(InputError, match=message):
            run(parse(arguments if "--output" in arguments else [*arguments, *out]))


def test_the_table_has_a_line_for_each_number(tmp_path):
    write_pictures(tmp_path / "real", noise_pictures(20))
    files = list_pictures(tmp_path / "real")
    config = parse(["--real", str(tmp_path / "real"), "--generated", str(tmp_path / "real"), "--device", "cpu"])
    lines = table(evaluate({"real": files, "generated": files}, SMALL, config)).splitlines()
    assert [line.split("  ")[0] for line in lines[2:10]] == [
        "pictures", "FD", "KID", "KID, deviation", "precision", "recall", "density", "coverage",
    ]  # fmt: skip
