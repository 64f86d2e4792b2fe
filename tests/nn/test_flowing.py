"""FlashAttention over the ends of packed sequences gives what runs give: on a GPU, where there is one."""

import pytest
import torch

from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Visibility
from quire.nn import attention
from quire.nn.attention import Attention, Layout
from quire.nn.flowing import flows

SPEC = Backbone(width=64, heads=2, attention_dropout=0)
LENGTHS = (1, 9, 9, 130)


def test_here_it_is_never_asked() -> None:
    assert not flows(torch.zeros(3, 2, 32, dtype=torch.bfloat16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlashAttention needs a GPU")
@pytest.mark.parametrize("sees", [Full(), Causal()], ids=["full", "causal"])
def test_it_gives_what_runs_give(sees: Visibility, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = Attention(SPEC).to("cuda", torch.bfloat16)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x_NW = torch.randn(sum(LENGTHS), 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    found = []
    for one_call in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(attention, "flows", lambda _, one_call=one_call: one_call)
            out = module(x_NW, Layout.of(LENGTHS, [sees] * len(LENGTHS), device="cuda"))
        found.append((out, *torch.autograd.grad(out.float().square().sum(), [x_NW, *module.parameters()])))
    assert not torch.equal(found[0][0], found[1][0]), "nothing was asked in one call"
    for one, two in zip(*found, strict=True):
        assert (one - two).float().norm() < 0.02 * two.float().norm()
