"""The table of strategies in the docs is the catalogue, and what stands over what is as it says."""

import re
from pathlib import Path

from quire.core.catalogue import catalogue
from quire.strategies.compound import Compound
from quire.tuning import Strategy
from quire.tuning.past import Remembering

PAGE = Path(__file__).parents[2] / "docs" / "compose-a-recipe.md"


def test_the_table_has_every_strategy_and_what_stands_over_another() -> None:
    _, _, page = PAGE.read_text(encoding="utf-8").partition("\n## Strategies\n")
    table, _, rest = page.partition("\n\nWhat has `over`")
    rows = [row.split("|")[1:-1] for row in table.splitlines() if row.startswith("| `")]
    told = {name: bool(over.strip()) for names, _, over in rows for name in re.findall(r"`(\w+)`", names)}
    strategies, compounds = catalogue(Strategy), catalogue(Compound)  # type: ignore[type-abstract]
    assert told == {name: "over" in member.model_fields for name, member in (strategies | compounds).items()}
    remembering = {name for name, member in strategies.items() if issubclass(member, Remembering)}
    (listed,) = re.findall(r"Those that remember \((.*?)\)", rest, flags=re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == remembering
