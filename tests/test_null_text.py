"""The null-text layer: what stands where cross-attention stood."""

from collections.abc import Iterable

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from gcfg_core.concept.null_text import (
    LayerMean,
    NullTextAttention,
    record_text_attention,
    remove_text_attention,
    text_attentions,
)
from gcfg_core.concept.unet_configs import CONFIGS
from gcfg_core.errors import ConceptFileError
from rigs.null_text import SMALL, make_text_constant, text_unet, unet_inputs


def parameters(unet: nn.Module) -> float:
    return sum(p.numel() for p in unet.parameters()) / 1e6


@pytest.mark.parametrize("name", list(SMALL))
def test_the_constant_is_the_mean_attention_output(name):
    config = SMALL[name]
    unet = text_unet(config)
    seen: dict[str, list[torch.Tensor]] = {path: [] for path, _ in text_attentions(unet)}
    for path, block in text_attentions(unet):
        block.attn2.register_forward_hook(lambda module, args, output, path=path: seen[path].append(output))
    with record_text_attention(unet) as means:
        for seed in range(2):
            unet(**unet_inputs(config, seed))
    constants, deviations = means.constants(), means.deviations()
    remove_text_attention(unet, constants)

    assert len(seen) == sum("attn2" in key for key in unet.state_dict()) > 5
    for path, outputs in seen.items():
        tokens = torch.cat(outputs).double().flatten(0, 1)
        mean = tokens.mean(0)
        layer = unet.get_submodule(path)
        assert layer.null_text_feature.shape == (1, 1, tokens.shape[1])
        torch.testing.assert_close(layer.null_text_feature.flatten().double(), mean, rtol=1e-5, atol=1e-7)
        expected = ((tokens - mean).square().sum(1).mean() / tokens.square().sum(1).mean()).sqrt()
        assert deviations[path] == pytest.approx(float(expected), rel=1e-3)


def test_a_network_whose_attention_is_constant_stays_the_same():
    config = SMALL["sdxl"]
    unet = text_unet(config)
    make_text_constant(unet)
    inputs = unet_inputs(config)
    with record_text_attention(unet) as means:
        before = unet(**inputs).sample
    assert max(means.deviations().values()) < 1e-4
    remove_text_attention(unet, means.constants())
    after = unet(**{**inputs, "encoder_hidden_states": None}).sample
    assert float((after - before).norm() / before.norm()) < 1e-5


def test_text_no_longer_matters_and_once_did():
    config = SMALL["sd15"]
    unet = text_unet(config)
    one, other = (unet_inputs(config, seed)["encoder_hidden_states"] for seed in (1, 2))
    inputs = unet_inputs(config)
    assert not torch.equal(
        unet(**{**inputs, "encoder_hidden_states": one}).sample,
        unet(**{**inputs, "encoder_hidden_states": other}).sample,
    )
    remove_text_attention(unet)
    outputs = [unet(**{**inputs, "encoder_hidden_states": text}).sample for text in (one, other, None)]
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


def mean_of(outputs: Iterable[torch.Tensor]) -> tuple[torch.Tensor, float]:
    mean = LayerMean()
    for output in outputs:
        mean.add(output)
    return mean.constant(), mean.deviation()


def test_mean_and_deviation_in_closed_form():
    vector = torch.tensor([3.0, 4.0])
    constant, deviation = mean_of([vector.expand(2, 5, 2), vector.expand(1, 3, 2)])
    assert constant.shape == (1, 1, 2) and torch.equal(constant.flatten(), vector) and deviation == 0.0
    constant, deviation = mean_of([vector.expand(1, 1, 2), -vector.expand(1, 1, 2)])
    assert torch.equal(constant.flatten(), torch.zeros(2)) and deviation == 1.0
    # three tokens at 0 and one at 4: every token counts the same, whatever batch it came in
    constant, deviation = mean_of([torch.zeros(1, 3, 1), torch.full((1, 1, 1), 4.0)])
    assert float(constant) == 1.0 and deviation == pytest.approx((3 / 4) ** 0.5)


def test_sd15_loses_exactly_its_text_layers():
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(CONFIGS["sd15"])
    assert parameters(unet) == pytest.approx(859.5, abs=0.05)
    remove_text_attention(unet)
    assert parameters(unet) == pytest.approx(815.5, abs=0.05)
    assert not [key for key in unet.state_dict() if ".norm2." in key and "transformer" in key]


def test_layer_takes_any_arguments_and_follows_its_input():
    layer = NullTextAttention(3, torch.tensor([1.0, 2.0, 3.0]))
    x = torch.zeros(2, 5, 3, dtype=torch.float64)
    out = layer(x, encoder_hidden_states=None, attention_mask=None, value=x)
    assert out.shape == x.shape and out.dtype == torch.float64
    assert torch.equal(out, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).expand(2, 5, 3))
    assert list(layer.state_dict()) == ["null_text_feature"]


@pytest.mark.parametrize("name", ["to_q", "to_k", "to_v", "to_out"])
def test_asking_for_a_projection_is_refused_with_a_remedy(name):
    layer = NullTextAttention(3)
    with pytest.raises(RuntimeError, match=f"attn2.{name}.*null-text concept model.*base model"):
        getattr(layer, name)
    assert not hasattr(layer, name)


def test_doing_it_twice_changes_nothing_and_wrong_constants_are_refused():
    unet = text_unet(SMALL["sd15"])
    paths = [path for path, _ in text_attentions(unet)]
    with pytest.raises(ConceptFileError, match=paths[-1].replace(".", r"\.")):
        remove_text_attention(unet, {path: torch.zeros(1) for path in paths[:-1]})
    remove_text_attention(unet)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    remove_text_attention(unet)
    assert list(before) == list(unet.state_dict())
    with pytest.raises(ConceptFileError, match="attn2 and norm2"):
        remove_text_attention(nn.Linear(2, 2))


def test_constants_need_at_least_one_pass():
    with record_text_attention(text_unet(SMALL["sd15"])) as means:
        pass
    with pytest.raises(ConceptFileError, match="Run the network"):
        means.constants()
