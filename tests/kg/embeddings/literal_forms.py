"""The models' formulas written out number by number, slowly, from vectors as the models store them."""

from __future__ import annotations

import math

from torch import Tensor

from kg.embeddings.model import KGEModel

Vector = list[float]


def literal(model: KGEModel, name: str, h: Tensor, r: Tensor, t: Tensor) -> float:
    """The score of one triple, from the formula as the paper has it."""
    return _FORMS[name](model, h.tolist(), r.tolist(), t.tolist())


def _halves(vector: Vector) -> tuple[Vector, Vector]:
    half = len(vector) // 2
    return vector[:half], vector[half:]


def _complex(vector: Vector) -> list[complex]:
    return [complex(a, b) for a, b in zip(*_halves(vector))]


def _triple(a: Vector, b: Vector, c: Vector) -> float:
    return sum(x * y * z for x, y, z in zip(a, b, c))


def distmult(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    return _triple(h, r, t)


def complex_(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    return sum(a * b * c.conjugate() for a, b, c in zip(_complex(h), _complex(r), _complex(t))).real


def cp(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    return _triple(_halves(h)[0], r, _halves(t)[1])


def simple(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    (h1, h2), (r1, r2), (t1, t2) = _halves(h), _halves(r), _halves(t)
    return (_triple(h1, r1, t2) + _triple(t1, r2, h2)) / 2


def rescal(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    d = len(h)
    return sum(h[i] * r[i * d + j] * t[j] for i in range(d) for j in range(d))


def tucker(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    core = model.core.tolist()  # type: ignore[union-attr, operator]
    return sum(core[i][j][k] * h[i] * r[j] * t[k] for i in range(len(h)) for j in range(len(r)) for k in range(len(t)))


def hole(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    d = len(h)
    return sum(r[k] * h[i] * t[(k + i) % d] for k in range(d) for i in range(d))


def transe(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    parts = [abs(a + b - c) for a, b, c in zip(h, r, t)]
    return -sum(parts) if model.norm == 1 else -math.sqrt(sum(x * x for x in parts))


def rotate(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    turns = [complex(math.cos(angle), math.sin(angle)) for angle in r]
    parts = [abs(a * b - c) for a, b, c in zip(_complex(h), turns, _complex(t))]
    return -sum(parts) if model.norm == "modulus" else -math.sqrt(sum(x * x for x in parts))


def _square_of(h: Vector, d: Vector, t: Vector) -> float:
    return -sum((a + b - c) ** 2 for a, b, c in zip(h, d, t))


def transh(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    w, d = _halves(r)
    length = math.sqrt(sum(x * x for x in w))
    w = [x / length for x in w]

    def onto(e: Vector) -> Vector:
        inner = sum(a * b for a, b in zip(w, e))
        return [a - inner * b for a, b in zip(e, w)]

    return _square_of(onto(h), d, onto(t))


def transr(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    width, d = model.width, len(h)
    matrix = [r[width + i * d : width + (i + 1) * d] for i in range(width)]  # type: ignore[operator]

    def onto(e: Vector) -> Vector:
        return [sum(a * b for a, b in zip(row, e)) for row in matrix]

    return _square_of(onto(h), r[:width], onto(t))  # type: ignore[misc]


def transd(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    translation, across = _halves(r)

    def onto(e: Vector) -> Vector:
        vector, along = _halves(e)
        matrix = [[across[i] * along[j] + (i == j) for j in range(len(vector))] for i in range(len(across))]
        return [sum(a * b for a, b in zip(row, vector)) for row in matrix]

    return _square_of(onto(h), translation, onto(t))


def ntn(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    k, d = model.slices, len(h)
    assert isinstance(k, int)
    w, of_h, of_t = r[: k * d * d], r[k * d * d : k * d * d + k * d], r[k * d * d + k * d : k * d * d + 2 * k * d]
    b, u = r[-2 * k : -k], r[-k:]
    total = 0.0
    for n in range(k):
        inner = sum(h[i] * w[n * d * d + i * d + j] * t[j] for i in range(d) for j in range(d))
        inner += sum(of_h[n * d + i] * h[i] + of_t[n * d + i] * t[i] for i in range(d)) + b[n]
        total += u[n] * math.tanh(inner)
    return total


def conve(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    """As it scores after training: batch normalisation at its start is a division by √(1 + 10⁻⁵)."""
    height, width = model.height, model.width
    assert isinstance(height, int) and isinstance(width, int)
    small = 1 / math.sqrt(1 + 1e-5)
    picture = [[x * small for x in vector[i * width : (i + 1) * width]] for vector in (h, r) for i in range(height)]
    convolution, linear = model.filters[2], model.hidden[0]  # type: ignore[index]
    weights, biases = convolution.weight.tolist(), convolution.bias.tolist()  # type: ignore[union-attr]
    features = []
    for kernel, bias in zip(weights, biases):
        size = len(kernel[0])
        for i in range(2 * height - size + 1):
            for j in range(width - size + 1):
                found = sum(kernel[0][a][b] * picture[i + a][j + b] for a in range(size) for b in range(size)) + bias
                features.append(max(0.0, found * small))
    query = [
        max(0.0, (sum(a * b for a, b in zip(row, features)) + bias) * small)
        for row, bias in zip(linear.weight.tolist(), linear.bias.tolist())  # type: ignore[union-attr]
    ]
    return sum(a * b for a, b in zip(query, t))


def convtranse(model: KGEModel, h: Vector, r: Vector, t: Vector) -> float:
    """As it scores after training; see ``conve``."""
    small = 1 / math.sqrt(1 + 1e-5)
    convolution, linear = model.filters[2], model.hidden[0]  # type: ignore[index]
    features = []
    for kernel, bias in zip(convolution.weight.tolist(), convolution.bias.tolist()):  # type: ignore[union-attr]
        reach = len(kernel[0]) // 2
        for i in range(len(h)):
            near = [(k, i + k - reach) for k in range(len(kernel[0])) if 0 <= i + k - reach < len(h)]
            found = sum((kernel[0][k] * h[j] + kernel[1][k] * r[j]) * small for k, j in near) + bias
            features.append(max(0.0, found * small))
    query = [
        max(0.0, (sum(a * b for a, b in zip(row, features)) + bias) * small)
        for row, bias in zip(linear.weight.tolist(), linear.bias.tolist())  # type: ignore[union-attr]
    ]
    return sum(a * b for a, b in zip(query, t))


_FORMS = {
    "distmult": distmult,
    "complex": complex_,
    "cp": cp,
    "simple": simple,
    "rescal": rescal,
    "tucker": tucker,
    "hole": hole,
    "transe": transe,
    "rotate": rotate,
    "transh": transh,
    "transr": transr,
    "transd": transd,
    "ntn": ntn,
    "conve": conve,
    "convtranse": convtranse,
    "encoded": distmult,
}
