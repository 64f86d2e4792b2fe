"""A language model in two directions that never meet: ELMo (Peters et al. 2018, section 3.1; survey: ELMo).

L = - 1/2 mean over tokens of [log p(x_t | x_1, ..., x_{t-1}) + log p(x_t | x_{t+1}, ..., x_L)]

Both directions are trained together and share token vectors and softmax, as in allenai/bilm-tf; the survey says that
they are trained apart.

Legend: M asked positions, W width of both directions, V vocabulary.
"""

from collections.abc import Mapping

from torch import Tensor

from quire.core.bodies import Lstm
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.nn.lazy import Lazy, LazyScores
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.objectives.base import Objective


class Bilm(Objective):
    """Every token is told from the state before it of what reads to the right, and from that behind of what reads back.

    Special tokens are read and not asked for: bilm-tf asks for the ends of sentences too. The softmax is over the whole
    vocabulary (there over 8,192 sampled words), and no state is carried from one text to the next. Health is that of
    the direction to the right, and `backward_nats`.
    """

    head: str = "bilm"
    tied: bool = False
    """Whether the table of tokens is that of the softmax; vectors from characters are computed for all tokens then."""

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if not isinstance(backbone, Lstm) or backbone.directions != "apart":
            raise BadInput(
                "tells every token from either side by directions that never meet; take backbone.kind lstm with "
                "`directions: apart`"
            )
        if backbone.embedding_width != (half := backbone.width // 2):
            raise BadInput(
                f"a direction is {half} wide, the softmax {backbone.embedding_width}; set backbone.embedding to {half}"
            )
        return {self.head: TokenHead(transform=False, tied=self.tied)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if example.answers:
            raise BadInput(f"objectives: {self.slot} tells the tokens that others ask for; list it first, or alone")
        return example.ask(self.slot, example.free, example.tokens)

    def loss(self, step: Step) -> Tensor:
        forward, backward = (cross_entropy(scores, step.answers(self.slot)) for scores in self.scores(step))
        step.note(f"{self.slot}_forward", forward)
        step.note(f"{self.slot}_backward", backward)
        return (forward + backward) / 2

    def health(self, step: Step) -> Mapping[str, float]:
        forward, backward = (token_health(scores.scores(), step.answers(self.slot)) for scores in self.scores(step))
        return {**forward, **({"backward_nats": backward["nats"]} if backward else {})}

    def scores(self, step: Step) -> tuple[LazyScores, LazyScores]:
        """What each direction says of the asked tokens, [M, V] twice. A special token stands on either side of all."""
        at_M, states_NW = step.asked(self.slot), step.encode()
        half, head = states_NW.shape[1] // 2, step.model.heads[self.head]
        assert isinstance(head, Lazy)
        return head.lazily(states_NW[at_M - 1, :half], step.table), head.lazily(states_NW[at_M + 1, half:], step.table)
