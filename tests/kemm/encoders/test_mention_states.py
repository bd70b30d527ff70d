"""Mentions in their sentences: the same one by one as together, each sentence read once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kemm.encoders.mention_states import MentionStates
from tests.kemm.tiny_bert import TinyBert

TEXT, OTHER = "Oda met Ada in Oslo", "Ada left"
SPANS = [(0, 3), (8, 11), (15, 19)]


def test_mentions_of_one_text_are_read_with_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = TinyBert()
    passes: list[int] = []
    forward = TinyBert.forward

    def counted(self: TinyBert, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        passes.append(len(ids))
        return forward(self, ids, mask)

    monkeypatch.setattr(TinyBert, "forward", counted)
    together = MentionStates(tower).mentions([TEXT, OTHER, TEXT, TEXT], [SPANS[0], (0, 3), *SPANS[1:]])
    assert passes == [2]
    states = MentionStates(tower)
    alone = [states.mentions([TEXT], [span]) for span in SPANS]
    assert passes == [2, 1]
    for part in (0, 1):  # the mention, the whole text
        apart = np.concatenate([one[part] for one in alone])
        np.testing.assert_allclose(apart, together[part][[0, 2, 3]], atol=1e-6)
    np.testing.assert_allclose(states.mentions([OTHER], [(0, 3)])[1], together[1][[1]], atol=1e-6)  # not the kept one
    assert passes == [2, 1, 1]
