"""What one step's objectives share: the same losses as a forward for each, hidden pairs, patches that nothing sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kemm.data.batch import Batch
from kemm.fuse.encoded import Encoded
from kemm.objectives.hiding import PatchHiding, WordHiding
from kemm.objectives.negatives import right_pairs, wrong_pairs
from kemm.pretrain.task import PretrainTask
from tests.kemm import tiny_batch
from tests.kemm.tiny_batch import count_fusions, task_of

BETWEEN = ("vision", "language")
ALL: dict[str, dict[str, Any]] = {"itc": {}, "itm": {}, "mlm": {}, "mim": {}}


def drawn(task: PretrainTask, batch: Batch) -> Encoded:
    """Encodings with what is hidden drawn already, so that all of them hide the same and draw the same wrong pairs."""
    encoded = task.encode(batch, torch.Generator().manual_seed(3))
    assert isinstance(encoded.plan.words, WordHiding) and isinstance(encoded.plan.patches, PatchHiding)
    encoded.hidden_words(encoded.plan.words)
    encoded.hidden_patches(encoded.plan.patches)
    return encoded


def gradients(task: PretrainTask, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    task.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}


def test_shared_and_packed_losses_are_those_of_a_padded_forward_for_each_objective() -> None:
    task, batch = task_of(**ALL), tiny_batch.batch()
    encoded = drawn(task, batch)
    shared = {name: part(encoded) for name, part in task.parts().items()}
    wanted = gradients(task, shared)
    task.model.fuse = (  # type: ignore[method-assign]
        lambda tokens, masks, biases=None, mask=None: task.model.fusion(tokens, masks, biases, mask=mask)
    )
    apart = {name: part(drawn(task, batch)) for name, part in task.parts().items()}
    assert shared.keys() == apart.keys() == ALL.keys()
    for name in ALL:
        torch.testing.assert_close(shared[name], apart[name], atol=1e-6, rtol=0, msg=name)
    found = gradients(task, apart)
    assert found.keys() == wanted.keys()
    for name, grad in found.items():
        torch.testing.assert_close(grad, wanted[name], atol=1e-5, rtol=1e-4, msg=name)


def test_hidden_pairs_cost_one_forward_besides_the_masked_one() -> None:
    counts = {}
    for hidden in (False, True):
        task = task_of(itm={"hidden": hidden}, mlm={}, mim={})
        calls = count_fusions(task.model)
        task(tiny_batch.batch(), torch.Generator().manual_seed(0))
        counts[hidden] = len(calls)
    assert counts == {False: 3, True: 2}  # right, wrong, masked; masked, wrong


def test_words_are_hidden_in_wrong_pairs_as_in_right_ones() -> None:
    task = task_of(itm={"hidden": True}, mlm={}, mim={})
    encoded = drawn(task, tiny_batch.batch())
    right = right_pairs(encoded, BETWEEN, is_hidden=True)
    assert torch.equal(right.states["language"], encoded.masked()["language"])
    calls = count_fusions(task.model)
    assert wrong_pairs(encoded, BETWEEN, is_hidden=True) is not None
    tokens, _, _ = encoded.hidden_tokens()
    for row in calls[0]["tokens"]["language"]:
        assert any(torch.equal(row, own) for own in tokens["language"])
        assert not any(torch.equal(row, own) for own in encoded.read.tokens("language"))


def test_hidden_right_pairs_have_no_facts_where_wrong_ones_have_none() -> None:
    task = task_of(itm={"hidden": True}, mlm={})
    encoded = task.encode(tiny_batch.batch(is_told=True), torch.Generator().manual_seed(0))
    calls = count_fusions(task.model)
    right_pairs(encoded, BETWEEN, is_hidden=True)
    assert [set(call["tokens"]) for call in calls] == [set(BETWEEN)]


def test_no_forward_of_the_step_sees_a_patch_that_is_dropped_everywhere() -> None:
    for drop, seen in ((True, {4, 2}), ("everywhere", {2})):
        task = task_of(itm={}, mlm={}, mim={"drop": drop, "rate": 0.5})
        calls = count_fusions(task.model)
        losses = task(tiny_batch.batch(), torch.Generator().manual_seed(0))
        assert torch.isfinite(losses["total"])
        assert {int(n) for call in calls for n in call["masks"]["vision"].sum(1)} == seen


def test_either_draws_one_wrong_pair_a_row_and_both_two() -> None:
    for wrong, found in (("both", [8]), ("either", [4])):
        task = task_of(itm={"wrong": wrong})
        calls = count_fusions(task.model)
        task(tiny_batch.batch(), torch.Generator().manual_seed(0))
        assert [len(call["tokens"]["language"]) for call in calls[1:]] == found
