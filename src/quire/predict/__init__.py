"""Predictors: a trained thing that answers texts, whatever it is made of. Each kind stands in its own file."""

from quire.predict.base import Prediction, Predictor
from quire.predict.folder import load, load_pointer, load_rater, load_solver, load_writer, opened

__all__ = ["Prediction", "Predictor", "load", "load_pointer", "load_rater", "load_solver", "load_writer", "opened"]
