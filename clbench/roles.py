"""What a strategy is in a comparison: something to judge, or something to judge it by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from clbench.errors import UserError, did_you_mean

# bound: sees more data than a continual learner may, so that it must not win. control: fine-tuning under any name, and
# what a method must beat to have done anything.
Role = Literal["method", "bound", "control"]
ROLES: tuple[Role, ...] = get_args(Role)


def checked(role: str, unit: str) -> Role:
    """Return what a decorator says of a unit's role; UserError with the nearest word if it is none."""
    for known in ROLES:
        if role == known:
            return known
    raise UserError(f"{unit}: unknown role '{role}'.{did_you_mean(role, ROLES)} Roles are {', '.join(ROLES)}.")


def of_composition(roles: Iterable[Role]) -> Role:
    """Return the role of a composition: a bound if any part is one, a control if every part is, else a method."""
    found = {*roles}
    if "bound" in found:
        return "bound"
    return "control" if found == {"control"} else "method"
