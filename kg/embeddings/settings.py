"""What a file of ``configs/kg`` may say: data, model, training, evaluation, each key typed and unknown ones refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

Count = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of the settings in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


# -- models: a class for each set of options, its fields the arguments of the model's class --------------------------


class Common(Section):
    """What every model has: ``initial`` is the standard deviation at the start, by default the model's own."""

    dimension: PositiveInt
    reciprocal: bool = False
    dropout: Probability = 0.0
    initial: PositiveFloat | None = None

    def options(self) -> dict[str, Any]:
        """Return the arguments of the model's class."""
        given = self.model_dump(exclude={"name"})
        return {key: value for key, value in given.items() if not (key == "initial" and value is None)}


class Multilinear(Common):
    name: Literal["distmult", "complex", "cp", "simple", "rescal", "hole"]


class Tucker(Common):
    name: Literal["tucker"]
    relation_dimension: PositiveInt | None = None  # by default the entities'
    batch_norm: bool = False
    hidden_dropouts: tuple[Probability, Probability] = (0.0, 0.0)


class Distance(Common):
    name: Literal["transe", "rotate"]
    norm: Literal[1, 2] = 1


class Projection(Common):
    name: Literal["transh", "transr", "transd"]
    relation_dimension: PositiveInt | None = None


class NeuralTensor(Common):
    name: Literal["ntn"]
    slices: PositiveInt = 4


class Filters(Section):
    channels: PositiveInt = 32
    kernel: PositiveInt = 3
    feature_dropout: Probability = 0.2
    hidden_dropout: Probability = 0.3


class Picture(Filters):
    height: PositiveInt = 10  # of the picture that a vector is laid out as


class Convolution(Picture, Common):
    name: Literal["conve"]


class Signal(Filters, Common):
    name: Literal["convtranse"]


class RGCN(Section):
    kind: Literal["rgcn"]
    layers: PositiveInt = 2
    num_bases: PositiveInt | None = None
    num_blocks: PositiveInt | None = None
    dropout: Probability = 0.0
    edge_dropout: Probability = 0.0


class CompGCN(Section):
    kind: Literal["compgcn"]
    layers: PositiveInt = 1
    composition: Literal["sub", "mult", "corr"] = "mult"
    dropout: Probability = 0.0


class RGAT(Section):
    kind: Literal["rgat"]
    layers: PositiveInt = 1
    heads: PositiveInt = 1
    dropout: Probability = 0.0


class SACN(Section):
    kind: Literal["sacn"]
    layers: PositiveInt = 2
    dropout: Probability = 0.0


class ProductDecoder(Section):
    name: Literal["distmult", "complex"]


class PictureDecoder(Picture):
    name: Literal["conve"]


class SignalDecoder(Filters):
    name: Literal["convtranse"]


class Encoded(Common):
    """A graph encoder over the training triples, and the model that scores its vectors."""

    name: Literal["encoded"]
    encoder: Annotated[RGCN | CompGCN | RGAT | SACN, Field(discriminator="kind")]
    decoder: Annotated[ProductDecoder | PictureDecoder | SignalDecoder, Field(discriminator="name")]


class Paths(Common):
    """NBFNet: no vectors of entities; trains by negatives."""

    name: Literal["nbfnet"]
    layers: PositiveInt = 6
    aggregate: Literal["sum", "mean", "pna"] = "sum"  # of messages; pna is the published one, at three times the cost
    dependent: bool = True  # relations of a layer are a linear function of the relation asked for
    remove_one_hop: bool = False  # training leaves out all edges between the ends of a triple, not it alone


class Fused(Common):
    """What models with several modalities have in common; see ``kg.embeddings.fused``."""

    base: Literal["distmult", "complex", "cp", "simple", "rescal", "tucker"] = "complex"
    reciprocal: bool = True
    modality_dropout: Probability = 0.0
    structure: bool = True  # false: the other modalities alone where an entity has any, a model for late fusion
    tucker: TuckerBase | None = None

    @model_validator(mode="after")
    def _tucker_is_the_base(self) -> Fused:
        if self.tucker is not None and self.base != "tucker":
            raise ValueError(f"tucker says how the base model TuckER is, but base is {self.base}")
        return self

    def options(self) -> dict[str, Any]:
        given = super().options()
        del given["structure"]  # of whoever builds the model: no entity then counts as seen in training
        return {"base_options": given.pop("tucker"), **given}


class TuckerBase(Section):
    """What the base model TuckER has beside its dimension."""

    batch_norm: bool = False
    hidden_dropouts: tuple[Probability, Probability] = (0.0, 0.0)


class Gate(Fused):
    name: Literal["gated"]
    relation_aware: bool = False


class Experts(Fused):
    name: Literal["momok"]
    experts: PositiveInt = 3


class Tokens(Fused):
    name: Literal["mygo"]
    heads: PositiveInt = 2
    layers: tuple[PositiveInt, PositiveInt] = (1, 1)
    hidden: PositiveInt = 1024
    token_dropouts: tuple[Probability, Probability] = (0.6, 0.3)


class Hypercomplex(Fused):
    name: Literal["mhyper"]


Model = Annotated[
    Multilinear
    | Tucker
    | Distance
    | Projection
    | NeuralTensor
    | Convolution
    | Signal
    | Encoded
    | Paths
    | Gate
    | Experts
    | Tokens
    | Hypercomplex,
    Field(discriminator="name"),
]


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


class Training(Section):
    """How a model is fitted; ``regularizer`` is weighed by ``weight`` and divided by the batch."""

    objective: Annotated[OneVsAll | ManyVsAll | Negatives, Field(discriminator="kind")]
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
    rounds: PositiveInt = 1  # in which an epoch of parts goes through its triples; more are slower and nearer to memory


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
