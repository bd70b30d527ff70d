"""What a file of ``configs/kg`` may say: data, model, training, evaluation, each key typed and unknown ones refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, PositiveFloat, PositiveInt

from kg.embeddings.model_settings import Count, Model, Probability, Section

# -- training ----------------------------------------------------------------------------------------------------------


class OneVsAll(Section):
    """Cross-entropy of the right entity among all."""

    kind: Literal["1-vs-all"]
    group: PositiveInt = 1  # answers of one query that are scored together, at most
    precision: Literal["float32", "bfloat16"] = "float32"


class ManyVsAll(Section):
    """Binary cross-entropy of all entities, all known answers of a query being right."""

    kind: Literal["k-vs-all"]
    label_smoothing: Probability = 0.0


class Negatives(Section):
    """Right triples against drawn ones."""

    kind: Literal["negatives"]
    count: PositiveInt = 32
    sparse: bool = True  # update only the rows that a step touches
    shared: bool = False  # one draw for the whole batch
    loss: Literal["sigmoid", "softmax", "margin"] = "sigmoid"
    margin: FiniteFloat = 0.0  # γ, added to all scores
    adversarial: NonNegativeFloat = 0.0  # temperature α of self-adversarial weights; 0 weighs all alike


class TextContrast(Section):
    """The right entity's text against many: see ``kg.embeddings.info_nce``. A batch counts entities."""

    kind: Literal["info-nce"]
    negatives: PositiveInt = 8192  # drawn from the last vectors of all
    queries: PositiveInt = 2048  # triples asked a step, at most
    margin: NonNegativeFloat = 0.02
    cluster: PositiveInt = 32  # neighbours that are encoded together


class Training(Section):
    """How a model is fitted; ``regularizer`` is weighed by ``weight`` and divided by the batch."""

    objective: Annotated[OneVsAll | ManyVsAll | Negatives | TextContrast, Field(discriminator="kind")]
    epochs: PositiveInt
    batch: PositiveInt
    learning_rate: PositiveFloat
    optimizer: Literal["adagrad", "adam"] = "adagrad"
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # the learning rate's factor an epoch
    regularizer: Literal["n3", "l2"] = "n3"
    weight: NonNegativeFloat = 0.0
    relation_prediction: NonNegativeFloat = 0.0  # weight of ranking the relation too
    memory: PositiveFloat | None = None  # MB of parameters and what the optimiser keeps; more are trained part by part
    device: Literal["cpu", "cuda", "auto"] = "cpu"  # auto: a GPU where there is one
    mixed_precision: bool = False  # of the models encoded and nbfnet, on a GPU: products in bfloat16, sums in float32
    checkpoint_minutes: PositiveFloat | None = None  # between checkpoints within an epoch; each epoch's end has one


# -- the rest ----------------------------------------------------------------------------------------------------------


class Data(Section):
    """A folder with train, valid and test, or a store and what of it each split gets (sources, or a share)."""

    folder: str | None = None
    columns: str = "hrt"
    store: str | None = None
    splits: dict[str, float | list[str]] = {"train": 0.8, "valid": 0.1, "test": 0.1}
    unseen: Literal["keep", "keep-all", "drop", "refuse"] = "keep"
    valid_share: Probability = 0.0  # of training, drawn as the validation split in place of the set's own
    modalities: dict[str, str] = {}  # name → .npy file of vectors; see kg.embeddings.modalities


class Evaluation(Section):
    """When the validation split is looked at, and when training stops for lack of progress."""

    every: PositiveInt = 5  # epochs
    limit: PositiveInt | None = None  # triples of the validation split that are ranked
    patience: Count = 0  # evaluations without a better MRR after which training stops; 0: never


class EmbeddingSettings(Section):
    """A whole file. ``story`` says what was published, what we do differently, and what we measured."""

    title: str = ""
    story: dict[str, Any] = {}
    data: Data
    model: Model
    training: Training
    evaluation: Evaluation = Evaluation()
    seed: int = 0
    run: str  # the folder to write to
