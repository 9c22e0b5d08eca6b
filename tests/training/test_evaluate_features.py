"""Which files are measured, and the networks that see them."""

import pytest
import torch
from PIL import Image
from torch import nn
from train_rigs.samples import SMALL, features_of, noise_pictures, write_pictures

from gcfg_core.errors import InputError
from training.evaluate import features as features_module
from training.evaluate.efficientnet import efficientnet_lite0
from training.evaluate.features import Extractor, extract, open_extractor, square
from training.evaluate.pictures import PictureFile, list_pictures


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
    assert features_module.open_picture(PictureFile(tmp_path / "turned.jpg", "")).size == (10, 20)


def test_square_is_the_picture_itself_at_its_own_size():
    values = noise_pictures(1)[0]
    assert torch.equal(square(Image.fromarray(values.numpy()), 12), values.permute(2, 0, 1))


def test_a_picture_is_cut_to_its_centre_square():
    wide = noise_pictures(1, size=12)[0]  # [12, 12, 3]
    middle = wide[:, 3:9]  # 6 wide, 12 high
    tall = Image.fromarray(middle.contiguous().numpy())
    assert torch.equal(square(tall, 6), middle[3:9].permute(2, 0, 1))
    assert torch.equal(square(tall.rotate(90, expand=True).rotate(-90, expand=True), 6), square(tall, 6))


def test_mirrored_features_are_those_of_the_mirror_images(tmp_path):
    values = noise_pictures(5)
    write_pictures(tmp_path / "a", values)
    write_pictures(tmp_path / "b", values.flip(2))
    mirrored = extract(list_pictures(tmp_path / "a"), SMALL, mirrored=True)
    found = features_of(tmp_path / "b")
    assert sorted(mirrored.values[:, 0].tolist()) == pytest.approx(sorted(found.values[:, 0].tolist()))
    assert mirrored.files == features_of(tmp_path / "a").files


def test_efficientnet_gives_imagenet_features():
    """On a picture given by a formula, the numbers of the published weights."""
    network = efficientnet_lite0()
    y, x = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    ramps = torch.stack([x, y, (x * y) % 256]).to(torch.uint8)[None]
    known = network(ramps)[0]
    assert known[[0, 480, 800]].tolist() == pytest.approx([0.0911, 1.8281, 0.0906], abs=2e-3)
    assert float(known.norm()) == pytest.approx(18.6935, rel=1e-3) and float(known.sum()) == pytest.approx(
        220.08, rel=1e-3
    )
    assert int(known.argmax()) == 1062 and network._fc(known).topk(3).indices.tolist() == [782, 854, 920]  # screens
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


class Two(nn.Module):
    """Gives a tuple, as a network with several heads does."""

    def forward(self, x: torch.Tensor):
        return x.flatten(1), x


class Sizes(nn.Module):
    """Gives whole numbers."""

    def forward(self, x: torch.Tensor):
        return x.flatten(1).long()


@pytest.mark.parametrize(
    "module, told",
    [
        (nn.Linear(8, 2), "an error: "),
        (Two(), "got tuple. Wrap it"),
        (Sizes(), "torch.int64. Wrap it"),
        (nn.Conv2d(3, 1, 30), "an error: "),
    ],
)
def test_a_module_of_another_kind_is_refused_in_one_line(tmp_path, module, told):
    torch.jit.script(module).save(str(tmp_path / "m.pt"))
    with pytest.raises(InputError, match=r"features .*m.pt: expected a module from \[B, 3, 9, 9\]") as caught:
        open_extractor(str(tmp_path / "m.pt"), 9)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_features_that_are_no_numbers_are_refused(tmp_path):
    class Nothing(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 2), torch.nan)

    write_pictures(tmp_path / "a", noise_pictures(2))
    with pytest.raises(InputError, match="features nothing at 12 px: expected finite numbers"):
        extract(list_pictures(tmp_path / "a"), Extractor("nothing", 12, Nothing()))


def test_inception_is_at_its_own_size_alone():
    with pytest.raises(InputError, match="feature_size: expected 299 for inception, which resizes"):
        open_extractor("inception", 128)


def test_captions_are_no_files_that_should_be_pictures(tmp_path):
    for path in write_pictures(tmp_path / "deep", noise_pictures(3)):
        path.with_suffix(".txt").write_text("a face")
    for place in (tmp_path, tmp_path / "deep"):
        (place / "metadata.jsonl").write_text('{"file_name": "p000.png", "text": "a face"}')
    (tmp_path / "deep" / "notes.txt").write_text("no caption: there is no picture of this name")
    found = features_of(tmp_path)
    assert len(found) == 3 and [file.path.name for file in found.rejected] == ["notes.txt"]
