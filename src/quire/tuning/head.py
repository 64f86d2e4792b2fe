"""Feature extraction: the heads learn, the body stays as it is (Devlin et al. 2019, section 5.3)."""

from quire.nn.model import Model
from quire.tuning.base import Strategy


class Head(Strategy):
    """Only heads learn, from states that are computed with dropout as in fine-tuning."""

    def prepare(self, model: Model) -> Model:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("heads."))
        return model

    def finish(self, model: Model) -> None:
        for parameter in model.parameters():
            parameter.requires_grad_(True)
