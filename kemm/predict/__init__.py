"""Prediction: answers with confidence, citations and a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemm.predict.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from kemm.predict import predictor

        return getattr(predictor, name)
    raise AttributeError(name)
