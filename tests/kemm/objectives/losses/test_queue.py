"""The queue forgets the oldest; MoCo's loss by hand."""

from __future__ import annotations

import math

import pytest
import torch

from kemm.objectives.losses.queue import KeyQueue, moco
from kg.errors import InputError


def keys(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers)[:, None]


def test_the_oldest_keys_make_room() -> None:
    queue = KeyQueue(3, 1)
    assert len(queue) == 0
    queue.enqueue(keys(1, 2), torch.tensor([7, 8]))
    queue.enqueue(keys(3, 4))
    held, labels = queue.oldest_first()
    assert held.squeeze(1).tolist() == [2, 3, 4] and labels.tolist() == [8, -1, -1]
    assert queue.dequeue(2)[0].squeeze(1).tolist() == [2, 3]
    assert queue.oldest_first()[0].squeeze(1).tolist() == [4]
    queue.enqueue(keys(5, 6, 7, 8, 9))
    assert queue.oldest_first()[0].squeeze(1).tolist() == [7, 8, 9]


def test_a_queue_that_is_saved_comes_back_as_it_was() -> None:
    queue, other = KeyQueue(3, 1), KeyQueue(3, 1)
    queue.enqueue(keys(1, 2, 3, 4))
    other.load_state_dict(queue.state_dict())
    assert other.oldest_first()[0].squeeze(1).tolist() == [2, 3, 4]


def test_a_key_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        KeyQueue(3, 1).enqueue(keys(math.nan))
    with pytest.raises(InputError, match="width 1"):
        KeyQueue(3, 1).enqueue(torch.ones(2, 2))


def test_moco_by_hand() -> None:
    query, key, queue = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    expected = math.log(1 + math.exp(-2) + math.exp(-4))  # 1/τ = 2: logits 2, 0, −2
    assert moco(query, key, queue, 0.5).item() == pytest.approx(expected, abs=1e-6)
    same = moco(query, key, queue, 0.5, torch.tensor([3]), torch.tensor([3, -1]))
    assert same.item() == pytest.approx(math.log(1 + math.exp(-4)), abs=1e-6)
    assert moco(query, key, queue[:0]).item() == 0


def test_gradients_go_to_queries_alone_and_are_those_of_finite_differences() -> None:
    query = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    key = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    queue = torch.randn(4, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda q: moco(q, key, queue), query)
    moco(query, key, queue).backward()
    assert key.grad is None and query.grad is not None
    torch.testing.assert_close(moco(query, key, queue.flip(0)), moco(query, key, queue))
