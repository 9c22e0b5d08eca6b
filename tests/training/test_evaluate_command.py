"""The command, the pictures it reads and the networks it reads them with."""

import json
import shutil

import pytest
import torch
from PIL import Image
from torch import nn
from train_rigs.samples import SMALL, noise_pictures, unet, write_pictures
from train_rigs.worlds import tiny_world

from gcfg_core.concept_file import write_concept
from gcfg_core.input_error import InputError
from gcfg_core.null_text import remove_text_attention
from training.base.world_write import write_world
from training.cli import main
from training.commands.evaluate import evaluate, halves, output_folder, parse, run
from training.evaluate import features as features_module
from training.evaluate.efficientnet import efficientnet_lite0
from training.evaluate.features import Extractor, extract, open_extractor, square
from training.evaluate.metrics import ENOUGH_NEAR, score
from training.evaluate.pictures import list_pictures
from training.evaluate.report import Evaluation, notes, table
from training.export.concept import concept_of
from training.export.facts import TrainingFacts


def features_of(folder):
    return extract(list_pictures(folder), SMALL)


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
    with pytest.raises(InputError, match="w_control: expected a weight that is not 0"):
        run(parse([*arguments, "--prompt", "a face", "--w-control", "0"]))
    alone = (tmp_path / "out" / "generated" / "00000.png").read_bytes()
    (tmp_path / "out" / "generated" / "mine.png").write_bytes(alone)
    run(parse([*arguments, "--prompt", "a red face", "--count", "3"]))
    assert sorted(path.name for path in (tmp_path / "out" / "generated").iterdir()) == [
        "00000.png", "00001.png", "00002.png", "mine.png",
    ]  # fmt: skip
    prompted = (tmp_path / "out" / "generated" / "00000.png").read_bytes()
    assert prompted != alone  # a prompt is never passed over
    run(parse([*arguments, "--prompt", "a red face", "--count", "3", "--w-control", "2.5"]))
    assert (tmp_path / "out" / "generated" / "00000.png").read_bytes() == prompted


def test_bad_input_is_told(tmp_path, quick):
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "real", noise_pictures(4))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    real, out = ["--real", str(tmp_path / "real")], ["--output", str(tmp_path / "out"), "--device", "cpu"]
    for arguments, message in (
        (real, "both or neither"),
        ([*real, "--generated", str(tmp_path / "no"), *out, "--device", "cuda:77"], "device: expected a device"),
        ([*real, "--generated", str(tmp_path / "empty")], "expected pictures, got none there"),
        ([*real, "--generated", str(tmp_path / "real"), "--count", "3"], "--count: expected none beside --generated"),
        ([*real, "--generated", str(tmp_path / "real"), "--prompt", "a"], "--prompt: expected none beside --generated"),
        ([*real, "--generated", str(tmp_path / "no")], "nothing there"),
        ([*real, "--generated", str(tmp_path / "text")], "1 other files"),
        ([*real, "--generated", str(tmp_path / "real" / "p000.png")], "a file"),
        ([*real, "--generated", str(tmp_path / "real"), "--output", str(tmp_path / "real" / "p000.png")], "output"),
        ([*real, "--generated", str(tmp_path / "real"), "--seed", str(2**80)], "seed: expected a number below"),
        ([*real, "--generated", str(tmp_path / "real"), "--output", "/proc/out"], "output: expected a folder"),
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
    assert "20 / 20" in lines[2] and "10 / 10" in lines[2]
    assert any("the real halves have 10 pictures each, so their FD has more of that bias" in line for line in lines)


def test_captions_are_no_files_that_should_be_pictures(tmp_path):
    for path in write_pictures(tmp_path / "deep", noise_pictures(3)):
        path.with_suffix(".txt").write_text("a face")
    for place in (tmp_path, tmp_path / "deep"):
        (place / "metadata.jsonl").write_text('{"file_name": "p000.png", "text": "a face"}')
    (tmp_path / "deep" / "notes.txt").write_text("no caption: there is no picture of this name")
    found = features_of(tmp_path)
    assert len(found) == 3 and [file.path.name for file in found.rejected] == ["notes.txt"]


def test_as_many_real_pictures_as_asked_for(tmp_path, quick):
    write_pictures(tmp_path / "real", noise_pictures(12))
    write_pictures(tmp_path / "made", noise_pictures(5, seed=1))
    arguments = ["--real", str(tmp_path / "real"), "--generated", str(tmp_path / "made"), "--device", "cpu"]
    for words, real in (([], 12), (["--real-count", "8"], 8), (["--real-count", "50"], 12)):
        run(parse([*arguments, *words]))
        found = json.loads((tmp_path / "made-evaluation" / "evaluation.json").read_text())
        assert (found["scores"]["real"], found["scores"]["generated"]) == (real, 5)


def test_the_results_lie_beside_what_is_evaluated(tmp_path, monkeypatch):
    (tmp_path / "v1.5").mkdir()
    (tmp_path / "toons.safetensors").touch()
    monkeypatch.chdir(tmp_path / "v1.5")
    for words, place in (
        (["--run", str(tmp_path / "v1.5")], tmp_path / "v1.5-evaluation"),
        (["--run", "../toons.safetensors"], tmp_path / "v1.5" / ".." / "toons-evaluation"),
        (["--generated", "."], tmp_path / "v1.5-evaluation"),
        (["--generated", "made", "--output", "here"], tmp_path / "v1.5" / "here"),
    ):
        assert output_folder(parse(["--real", "r", *words])).absolute() == place


@pytest.mark.parametrize(("count", "is_told"), [(16, True), (ENOUGH_NEAR - 1, True), (ENOUGH_NEAR, False)])
def test_neighbours_among_few_pictures_are_told_to_mean_little(count, is_told):
    scores = score(torch.randn(count, 4, dtype=torch.float64), torch.randn(count + 9, 4, dtype=torch.float64))
    found = Evaluation("small", scores, None, None, {})
    told = [note for note in notes(found) if "nearest neighbours" in note]
    assert bool(told) == is_told and found.as_json()["notes"] == notes(found)
    assert all(f"note: {note}" in table(found) and f"of {count} pictures" in note for note in told)


def test_the_halves_share_no_file(tmp_path):
    """Every picture there twice: one half must not hold the other's."""
    values = noise_pictures(12)
    write_pictures(tmp_path / "once", values)
    write_pictures(tmp_path / "twice", values)
    write_pictures(tmp_path / "twice", values, "again")
    once, twice = halves(features_of(tmp_path / "once"), 0), halves(features_of(tmp_path / "twice"), 0)
    assert (twice.real, twice.generated) == (6, 6) and twice.fd == pytest.approx(once.fd)
    write_pictures(tmp_path / "odd", noise_pictures(5))
    assert (lambda found: (found.real, found.generated))(halves(features_of(tmp_path / "odd"), 0)) == (2, 2)


def test_no_memory_is_one_line(monkeypatch, capsys):
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ):

        def fail(config, error=error):
            raise error

        monkeypatch.setattr("training.commands.evaluate.run", fail)
        assert main(["evaluate", "--real", "r", "--generated", "g"]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: memory: expected enough of it") and told.count("\n") == 1

    def broken(config):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("training.commands.evaluate.run", broken)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        main(["evaluate", "--real", "r", "--generated", "g"])
