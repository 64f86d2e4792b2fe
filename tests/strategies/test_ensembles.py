"""Arms of several runs at toy size: whose seeds they have, what is made of them, what they cost, and stops."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.strategies.test_strategies import person, run, toy_size

from quire.adapt import measure
from quire.adapt.bench import Bench
from quire.core.catalogue import catalogue
from quire.core.config import parse
from quire.core.errors import BadInput, Stopped
from quire.core.results import Study
from quire.export import export_lora
from quire.predict import load
from quire.predict.network import Network
from quire.predict.vote import Voting
from quire.strategies import job
from quire.strategies.compound import Compound
from quire.strategies.ensemble import Average, Vote
from quire.strategies.settings import chosen
from quire.train.signals import StopRequest
from quire.tuning.full import Full
from quire.tuning.lora import Lora

__all__ = ["person", "toy_size"]  # fixtures
ARMS = ("full", "vote", "average")
SEEDS, MEMBERS = 2, 3


@pytest.fixture(scope="module")
def made() -> list[tuple[int, int | None, dict[str, Any]]]:
    """Of every network that was fitted: its seed, that of its fresh weights, and its weights."""
    return []


@pytest.fixture(scope="module")
def found(person: Path, made: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    fitted = Bench.fit_network

    def told(self: Bench, *given: Any, **how: Any) -> Any:
        network, run = fitted(self, *given, **how)
        made.append((how["seed"], how["drawn"], {n: t.clone() for n, t in network.model.state_dict().items()}))
        return network, run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quire.strategies.job.LEAST", 12)
        patch.setattr(measure, "SECONDS", 0.05)
        patch.setattr(Bench, "fit_network", told)
        [outcome] = run(person, tmp_path_factory.mktemp("run") / "run", *ARMS, seeds=SEEDS)
    return outcome


def of_arm(made: list[Any], name: str) -> list[Any]:
    """What was fitted for an arm: the arms come one after another."""
    begin, size = {"full": (0, SEEDS), "vote": (SEEDS, SEEDS * MEMBERS), "average": (SEEDS * 4, SEEDS * MEMBERS)}[name]
    return made[begin : begin + size]


def test_no_two_members_share_a_seed_and_the_first_is_what_the_strategy_learns_alone(
    found: Any, made: list[Any]
) -> None:
    for name in ("vote", "average"):
        assert [seed for seed, _, _ in of_arm(made, name)] == [0, 2, 4, 1, 3, 5]
        for seed in range(SEEDS):
            alone, first = of_arm(made, "full")[seed][2], of_arm(made, name)[seed * MEMBERS][2]
            assert all(torch.equal(tensor, first[part]) for part, tensor in alone.items())


def test_members_of_an_average_start_from_one_head_and_those_of_a_vote_from_their_own(
    found: Any, made: list[Any]
) -> None:
    assert [drawn for _, drawn, _ in of_arm(made, "average")] == [0, 0, 0, 1, 1, 1]
    assert [drawn for _, drawn, _ in of_arm(made, "vote")] == [0, 2, 4, 1, 3, 5]
    weights = [state["heads.classify.out.weight"] for _, _, state in of_arm(made, "average")[:MEMBERS]]
    assert not torch.equal(weights[0], weights[1]), "the order of data is another"


def test_an_average_has_the_mean_of_its_members_weights(
    person: Path, made: list[Any], tmp_path: Path, found: Any
) -> None:
    states = [state for _, _, state in of_arm(made, "average")[:MEMBERS]]
    base = load_network(states[0], person)
    networks = [base(state) for state in states]
    mean = Average().combined(networks)
    assert isinstance(mean, Network)
    for name, tensor in mean.model.state_dict().items():
        torch.testing.assert_close(tensor, sum(state[name] for state in states) / MEMBERS)
    arm = found.study.arm("average")
    assert arm.parameters == found.study.arm("full").parameters


def test_an_average_has_no_updates_of_low_rank(person: Path, made: list[Any], tmp_path: Path, found: Any) -> None:
    """Its members' products have their own factors; those of one are no part of the mean."""
    networks = [load_network(state, person)(state) for _, _, state in of_arm(made, "average")[:2]]
    for network in networks:
        network.model.updates = {"alpha": torch.ones(())}
    Average().combined(networks).save(tmp_path / "model")
    assert not (tmp_path / "model" / "lora.safetensors").exists()
    with pytest.raises(BadInput, match="holds no low-rank updates"):
        export_lora(tmp_path / "model", out=tmp_path / "lora", base=str(person / "base/model"))


def load_network(state: dict[str, Any], person: Path) -> Callable[[dict[str, Any]], Network]:
    """state -> a network with these weights."""
    from quire.core.example import World
    from quire.nn.model import Model
    from quire.paradigms.classify import Classify
    from quire.train.start import Base

    base = Base.load(str(person / "base/model"))
    task = Classify(labels=("bad", "good"))

    def build(state: dict[str, Any]) -> Network:
        model = Model(base.files.backbone, task.parts(base.files.backbone, World(base.tokenizer.vocab)))
        model.load_state_dict(state)
        return Network(model, task, base.tokenizer, length=24, how="head")

    return build


def test_all_members_are_paid_for_and_a_vote_is_deployed_with_all(found: Any) -> None:
    study: Study = found.study
    full = study.arm("full")
    for name in ("vote", "average"):
        arm = study.arm(name)
        assert [cost.steps for cost in arm.cost] == [12 * MEMBERS] * SEEDS
        assert all(cost.tokens > 2 * full.cost[0].tokens for cost in arm.cost)
        assert full.trainable is not None
        assert arm.trainable == MEMBERS * full.trainable
    vote = study.arm("vote")
    assert vote.parameters == MEMBERS * full.parameters
    assert vote.bytes > MEMBERS * 0.9 * full.bytes
    assert study.arm("average").bytes < 1.1 * full.bytes
    assert "vote (members 3) over full" in vote.how
    assert "12 updates for each member" in vote.how
    assert not list(found.report.parent.glob("arms/*/*/members")), "what is not deployed is not kept"


def test_a_vote_that_is_best_on_dev_is_deployed(person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "BASELINES", ("majority",))  # frozen features are perfect on the toy's dev, too
    real = Voting.probabilities
    monkeypatch.setattr(Voting, "probabilities", lambda self, texts: perfect(texts))
    [outcome] = run(person, tmp_path / "run", *ARMS, seeds=1)
    monkeypatch.setattr(Voting, "probabilities", real)
    assert outcome.study.selected == "vote"
    predictor = load(tmp_path / "run")
    assert isinstance(predictor, Voting)
    assert predictor("the phone was great").label in ("bad", "good")


def perfect(texts: Any) -> Any:
    """What knows the words that tell."""
    good = np.array(["great" in text for text in texts], dtype=np.float32)
    return np.stack([1 - good, good], axis=1)


def test_a_finished_member_is_not_trained_again(person: Path, tmp_path: Path) -> None:
    whole = run(person, tmp_path / "whole", "full", "vote", "average", seeds=1)[0]
    fitted, asked = Bench.fit_network, list[int]()
    with pytest.MonkeyPatch.context() as patch:
        stop = StopRequest()

        def stopping(self: Bench, *given: Any, **how: Any) -> Any:
            asked.append(how["seed"])
            if len(asked) in (3, 5):
                stop.note(15, None)
            return fitted(self, *given, **how)

        patch.setattr(Bench, "fit_network", stopping)
        for _ in range(2):
            with pytest.raises(Stopped):
                run(person, tmp_path / "parts", "full", "vote", "average", seeds=1, stop=stop)
            stop = StopRequest()
        parts = run(person, tmp_path / "parts", "full", "vote", "average", seeds=1)[0]
    assert asked == [0, 0, 1, 1, 2, 2, 0, 1, 2]
    for one, other in zip(whole.study.arms, parts.study.arms, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("name", catalogue(Compound))  # type: ignore[type-abstract]
def test_a_compound_survives_what_it_writes_and_stands_over_what_is_told(name: str, tmp_path: Path) -> None:
    member = catalogue(Compound)[name]  # type: ignore[type-abstract]
    made = member.model_validate({"over": "lora"})
    assert member.model_validate(made.model_dump(mode="json")) == made
    assert made.over == Lora()
    assert chosen(["full", name], full=Full(layer_decay=0.9))[name] == member(over=Full(layer_decay=0.9))
    (tmp_path / "own.yaml").write_text(f"{name}: {{over: lora}}")
    assert chosen(["full", str(tmp_path / "own.yaml")], full=Full())["own"] == made


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("vote: {members: 1}", "compound.members: Input should be greater than or equal to 2"),
        ("vote: {over: vote}", r"compound: vote cannot stand inside vote; what can: ema, fgm, .*lora"),
        ("average: {over: {vote: {}}}", r"compound: vote cannot stand inside average; what can: ema, fgm, .*lora"),
        ("average: {over: wote}", "compound.over.*no strategy named 'wote'"),
        (
            "lora: {rank: 8, over: prefix}",
            "strategy: lora stands over nothing; those that take `over`: ema, fgm, freelb, pgd, sda, sdv, self_ensemble"
            ", smart$",
        ),
        ("average: {weights: 3}", "weights"),
        ("further: {steps: 0}", "compound.steps"),
        ("lora: {rank: 0}", "strategy"),
    ],
)
def test_an_ensemble_that_cannot_be_is_one_line(written: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(written)
    with pytest.raises(BadInput, match=says) as caught:
        chosen(["full", str(tmp_path / "odd.yaml")], full=Full())
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="none is called 'vot'; did you mean 'vote'"):
        chosen(["full", "vot"], full=Full())


def test_an_ensemble_has_a_name_of_its_own() -> None:
    assert (Vote.name(), Average.name()) == ("vote", "average")
    with pytest.raises(BadInput, match="compound"):
        parse(Compound, "full", where="x")  # type: ignore[type-abstract]
