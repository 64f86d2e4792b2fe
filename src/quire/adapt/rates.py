"""Learning rates that the arms of a comparison are tried with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, TypeAlias

from pydantic import Field

from quire.core.errors import BadInput, nearest

Rate = Annotated[float, Field(gt=0)]
Rates: TypeAlias = Mapping[str, tuple[Rate, ...]]
"""By the name of the arm; those of `OTHERS` are for every arm that has none of its own."""
OTHERS = ""


def rates_of(text: str | None) -> Rates:
    """`1e-4,3e-4` for all arms, `full=1e-4,lora=5e-4/1e-3` arm by arm, or both; nothing for nothing."""
    found: dict[str, tuple[float, ...]] = {}
    for part in text.split(",") if text else ():
        name, _, numbers = part.strip().rpartition("=")
        try:
            given = tuple(float(number) for number in numbers.split("/"))
        except ValueError:
            raise BadInput(
                f"--rates {text}: expected numbers with commas, for instance 1e-4,3e-4 or full=1e-4,lora=5e-4/1e-3"
            ) from None
        found[name] = (*found.get(name, ()), *given)
    return found


def for_arms(rates: Sequence[float] | Rates, arms: Collection[str]) -> Rates:
    """The same by arm; BadInput for an arm that is not there."""
    found = rates if isinstance(rates, Mapping) else {OTHERS: tuple(rates)}
    for name in found:
        if name != OTHERS and name not in arms:
            raise BadInput(f"--rates: no arm is called {name!r}{nearest(name, arms)}")
    return {name: tuple(numbers) for name, numbers in found.items() if numbers}


def tried(rates: Rates, arm: str, *, default: float) -> tuple[float, ...]:
    """What an arm is tried with: the best on dev, with the first seed, is kept."""
    return rates.get(arm) or rates.get(OTHERS) or (default,)
