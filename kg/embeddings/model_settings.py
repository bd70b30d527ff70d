"""What settings may say of a model: a class for each set of options, its fields the arguments of the model's class."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Count = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of the settings in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


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


class SAGE(Section):
    kind: Literal["sage"]
    layers: PositiveInt = 1
    dropout: Probability = 0.0


class HGT(Section):
    kind: Literal["hgt"]
    layers: PositiveInt = 1
    heads: PositiveInt = 1
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
    encoder: Annotated[RGCN | CompGCN | RGAT | SACN | SAGE | HGT, Field(discriminator="kind")]
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


class Texts(Section):
    """Entities by their texts: see ``kg.embeddings.bi_encoder``; trained by the objective info-nce."""

    name: Literal["texts"]
    encoder: str = "minilm"  # or a folder with a BERT
    file: str | None = None  # in the data's folder: TSV or JSON lines; by default the first of the usual names
    max_tokens: Annotated[int, Field(ge=3)] = 32
    trained_layers: Count = 2  # the uppermost; what the others say is kept in ``cache``
    cache: str = "runs/kg/cache"
    hidden: Count = 1024
    matrices: bool = True
    temperature: PositiveFloat = 0.05
    dropout: Probability = 0.1
    slower: PositiveFloat = 0.15  # the encoder's learning rate, as a part of the rest's
    batch: PositiveInt = 64  # texts that are encoded together
    precision: Literal["float32", "bfloat16"] = "float32"

    def options(self) -> dict[str, Any]:
        """Return the arguments of ``kg.embeddings.bi_encoder.read``."""
        return self.model_dump(exclude={"name", "file"})


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
    | Hypercomplex
    | Texts,
    Field(discriminator="name"),
]
