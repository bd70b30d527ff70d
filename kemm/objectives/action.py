"""What is done in a film, or what class a thing is of: a label told from any modalities."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from kemm.fuse.encoded import Encoded
from kemm.objectives.matching import classified, summary
from kemm.objectives.objective import Context, Objective
from kg.errors import InputError


class Action(Objective):
    """The label of a row from what is seen and said of it (``action``).

        L = CE(W h_summary, label)

    Action prediction as in PREVALENT (Hao et al., 2020, arXiv:2002.10638), which tells a robot's next step from its
    picture and instruction. ``of: [video]`` is action recognition, ``of: [vision, language]`` classification.
    """

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.of: tuple[str, ...] = tuple(settings.of)
        self.needs = (*self.of, "label")
        self.head = nn.Linear(context.width, settings.classes)

    def logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """(N, C) of the rows that have all of it and a label, and the labels (N,).

        Raises:
            InputError: a label is beyond the classes.
        """
        rows = self.rows(encoded)
        labels = encoded.samples.label[rows]
        if int(labels.max()) >= self.settings.classes:
            raise InputError(
                f"objectives.action.classes is {self.settings.classes}, and a row is of class number "
                f"{int(labels.max())}, counted from 0: set it to the number of labels"
            )
        if len(self.of) == 1:
            states = {self.of[0]: encoded.read.alone(self.of[0])[rows]}
        else:
            among = encoded.rows(*self.of)
            kept = (encoded.samples.label[among] >= 0).nonzero().squeeze(1)
            states = {name: each[kept] for name, each in encoded.fused(*self.of).items()}
        return self.head(summary(states)), labels

    def forward(self, encoded: Encoded) -> Tensor:
        logits, labels = self.logits(encoded)
        return F.cross_entropy(logits.float(), labels)

    def metrics(self, encoded: Encoded) -> dict[str, float]:
        return classified(*self.logits(encoded))
