"""Adapters: what learns, what stays bit for bit, what is saved, and what peft itself reads."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kemm.compat import mend_torchvision
from kemm.fuse.adapters import (
    adapt,
    base_state,
    has_adapters,
    layers,
    merge_adapters,
    remove_adapters,
    without_adapters,
)
from kemm.fuse.multiway import MultiwayTransformer
from kemm.fuse.saved_adapters import adapter_state, load_adapters, save_adapters
from kemm.fuse.transformer import Transformer
from kemm.settings import AdapterSettings
from kemm.systems.bert import BERT
from kg.errors import InputError

KINDS = ("lora", "bottleneck", "prefix")
TOKENS = torch.tensor([[2, 7, 3]])
BERT_CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 11,
    "max_position_embeddings": 5,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def bert() -> BERT:
    torch.manual_seed(0)
    return BERT.from_config(BERT_CONFIG).eval()


def run(model: BERT) -> Tensor:
    return model(TOKENS)["states"]


def adapted(kind: str, **options: object) -> BERT:
    """A model whose adapters have learned something."""
    model = bert()
    adapt(model, AdapterSettings.model_validate({"kind": kind, "size": 3, **options}))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture(autouse=True)
def _needs_peft(request: pytest.FixtureRequest) -> None:
    if "lora" in request.node.name:
        mend_torchvision()
        pytest.importorskip("peft")


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_changes_the_adapters_and_nothing_else(kind: str) -> None:
    model = adapted(kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run(model).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    # the last layer's attention to one's own sum of keys can be flat, so not every adapter must move
    assert changed and changed <= learns and len(learns) == len(adapter_state(model))


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_adapters_the_model_is_the_old_one_bit_for_bit(kind: str) -> None:
    wanted, model = run(bert()), adapted(kind)
    assert (run(model) - wanted).abs().max() > 1e-2
    with without_adapters(model):
        assert torch.equal(run(model), wanted)
    assert (run(model) - wanted).abs().max() > 1e-2
    state = bert().state_dict()
    own = base_state(model)
    assert own.keys() == state.keys() and all(torch.equal(value, state[name]) for name, value in own.items())
    assert torch.equal(run(remove_adapters(model)), wanted) and not has_adapters(model)


@pytest.mark.parametrize("kind", ["lora", "bottleneck"])
def test_fresh_ones_change_nothing(kind: str) -> None:
    model = adapt(bert(), AdapterSettings.model_validate({"kind": kind}))
    assert torch.equal(run(model), run(bert()))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_they_are_few_and_loaded_they_compute_the_same(kind: str, tmp_path) -> None:
    model = adapted(kind)
    wanted = run(model)
    save_adapters(model, tmp_path / "adapters")
    saved = load_file(tmp_path / "adapters" / "adapter_model.safetensors")
    learns = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(value.numel() for value in saved.values()) == learns
    assert torch.equal(run(load_adapters(bert(), tmp_path / "adapters")), wanted)  # type: ignore[arg-type]
    save_adapters(model, tmp_path / "adapters")  # replaced, nothing left beside it
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]


def test_peft_reads_what_was_saved_of_lora(tmp_path) -> None:
    import peft

    model = adapted("lora")
    save_adapters(model, tmp_path / "adapters")
    theirs = peft.PeftModel.from_pretrained(bert(), str(tmp_path / "adapters"))
    assert torch.equal(theirs(TOKENS)["states"], run(model))


def test_lora_merged_computes_the_same_by_the_old_parts(tmp_path) -> None:
    model = adapted("lora")
    wanted, names = run(model), set(bert().state_dict())
    merge_adapters(model)
    torch.testing.assert_close(run(model), wanted, atol=1e-5, rtol=0)
    assert set(model.state_dict()) == names
    model.save_pretrained(tmp_path / "whole")
    assert torch.equal(run(BERT.from_pretrained(tmp_path / "whole")), run(model))


@pytest.mark.parametrize("kind", ["bottleneck", "prefix"])
def test_what_can_not_be_merged_says_so(kind: str) -> None:
    with pytest.raises(InputError, match="LoRA alone can"):
        merge_adapters(adapted(kind))


def test_lora_adds_its_product_alpha_over_rank_times() -> None:
    model = adapted("lora", parts=["feed_forward"], alpha=6.0)
    block = model.text.transformer.blocks[0].feed_forward
    x = torch.randn(2, 16)
    a, b = block.up.lora_A.default.weight, block.up.lora_B.default.weight
    torch.testing.assert_close(block.up(x), block.up.base_layer(x) + 2.0 * x @ a.T @ b.T)


def test_a_prefix_is_read_past_every_mask_and_holds_with_a_cache() -> None:
    torch.manual_seed(0)
    model = Transformer(16, 2, 2).eval()
    adapt(model, AdapterSettings(kind="prefix", size=3))
    x, causal = torch.randn(2, 5, 16), torch.ones(5, 5, dtype=torch.bool).tril()
    whole, cache = model(x, mask=causal), model.new_cache()
    steps = [model(x[:, step : step + 1], cache=cache) for step in range(5)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-5, rtol=0)
    value = model.blocks[0].attention.prefix.value
    model.zero_grad()
    model(x, mask=torch.zeros(5, 5, dtype=torch.bool)).square().sum().backward()
    assert value.grad is not None and value.grad.abs().max() > 0


@pytest.mark.parametrize("experts", ["ffn", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_expert_of_a_multiway_transformer_gets_them(kind: str, experts, tmp_path) -> None:
    torch.manual_seed(0)
    plain = MultiwayTransformer(16, 2, 2, ("vision", "language"), experts=experts, order="sub").eval()
    tokens = {"vision": torch.randn(2, 4, 16), "language": torch.randn(2, 3, 16)}
    model = copy.deepcopy(plain)
    adapt(model, AdapterSettings.model_validate({"kind": kind, "size": 3}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    for given in (tokens, {"language": tokens["language"]}):
        out = model(given)
        assert all((out[name] - plain(given)[name]).abs().max() > 1e-3 for name in given)
    save_adapters(model, tmp_path / "adapters")
    again = load_adapters(copy.deepcopy(plain), tmp_path / "adapters")
    assert all(torch.equal(again(tokens)[name], model(tokens)[name]) for name in tokens)


def test_any_linear_layers_can_be_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    assert layers(model, AdapterSettings(layers="[02]")) == ["0", "2"]
    adapt(model, AdapterSettings(kind="bottleneck", size=2, layers="2"))
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "2.down.weight",
        "2.down.bias",
        "2.up.weight",
        "2.up.bias",
    ]
    with pytest.raises(InputError, match="Sequential has no linear layer in attention or feed_forward"):
        adapt(nn.Sequential(nn.Linear(4, 4)), AdapterSettings())
    with pytest.raises(InputError, match="has adapters already"):
        adapt(model, AdapterSettings())


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_of_another_model_are_refused_and_leave_it_without(kind: str, tmp_path) -> None:
    folder = save_adapters(adapted(kind), tmp_path / "adapters")
    path = folder / "adapter_model.safetensors"
    state = load_file(path)
    name = sorted(state)[0]
    save_file({**state, name: torch.zeros(5, 5)}, path)
    other = bert()
    with pytest.raises(InputError, match="adapters of another model"):
        load_adapters(other, folder)
    assert not has_adapters(other) and torch.equal(run(other), run(bert()))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_adapters(other, folder)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    save_file(state, path)
    with pytest.raises(InputError, match="adapters of kind 'ia3'; there are lora, bottleneck and prefix"):
        load_adapters(other, folder)
    with pytest.raises(InputError, match="has no adapters to be saved"):
        save_adapters(other, tmp_path / "more")


def test_a_system_with_adapters_is_not_saved_as_if_it_had_none(tmp_path) -> None:
    with pytest.raises(InputError, match="BERT has adapters: save those alone"):
        adapted("bottleneck").save_pretrained(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
