"""Balanced sets of concepts: an urn with as many balls of each concept as it may occur.

Drawing balls is drawing concepts weighted by what is left of their caps. At the end of the urn the balls that are left
may fit together in no set; then concepts of earlier sets are exchanged along a chain, as an augmenting path in a
matching is, so that a set is given up only if no short chain exists.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

TRIES = 32  # balls drawn blindly for one place before all concepts that still fit are listed
SEARCHED = 20_000  # exchanges looked at before a place is given up
REDRAWN = 16  # times that a set without a way to complete it is drawn anew
RESTARTS = 8  # times that all sets are drawn anew


class DeadEnd(Exception):
    """No further set was found; `sets` is how many were complete at the best attempt."""

    def __init__(self, sets: int) -> None:
        super().__init__(sets)
        self.sets = sets


@dataclass(frozen=True)
class Pool:
    """Concepts of one sort, how many of them a set has, and how often each may occur in all sets together."""

    names: Sequence[str]
    size: int
    cap: int


def largest(pools: Sequence[Pool]) -> int | None:
    """The most sets that the caps allow, whatever excludes what; None if no pool limits it (none is drawn from).

    n sets of k of P concepts exist if and only if n k <= P min(cap, n) (Gale 1957, Ryser 1957, for equal rows and
    columns): floor(P cap / k) if P >= k, else none.
    """
    limits = [
        len(pool.names) * pool.cap // pool.size if len(pool.names) >= pool.size else 0 for pool in pools if pool.size
    ]
    return min(limits, default=None)


def draw(
    pools: Sequence[Pool], excludes: Mapping[str, Sequence[str]], count: int, rng: np.random.Generator
) -> list[list[str]]:
    """`count` sets, each with `size` different concepts of every pool, that do not exclude each other.

    No concept occurs in more than its pool's `cap` sets.

    Args:
        pools: what is drawn from; no concept is in two.
        excludes: for each concept those that cannot stand beside it; symmetric.
        count: sets wanted.
        rng: decides on everything.

    Raises:
        DeadEnd: no such sets were found.
    """
    most = 0
    for _ in range(RESTARTS):
        drawing = _Drawing(pools, excludes, rng)
        if all(drawing.add() for _ in range(count)):
            return [[drawing.names[item] for item in chosen] for chosen in drawing.sets]
        most = max(most, len(drawing.sets))
    raise DeadEnd(most)


@dataclass
class _Drawing:
    """One attempt. Concepts are numbers; a set holds its concepts pool by pool, in the order in which they were drawn.

    `left[c]` is how often concept c may still be drawn, and `holders[c]` are the sets that have it.
    """

    pools: Sequence[Pool]
    excludes: Mapping[str, Sequence[str]]
    rng: np.random.Generator
    sets: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [name for pool in self.pools for name in pool.names]
        number = {name: index for index, name in enumerate(self.names)}
        self.excluded = [
            frozenset(number[other] for other in self.excludes.get(name, ()) if other in number) for name in self.names
        ]
        self.pool_of = [index for index, pool in enumerate(self.pools) for _ in pool.names]
        self.left = [pool.cap for pool in self.pools for _ in pool.names]
        self.holders: list[set[int]] = [set() for _ in self.names]
        self.urns: list[list[int]] = []
        for index, pool in enumerate(self.pools):
            own = [item for item in range(len(self.names)) if self.pool_of[item] == index]
            self.urns.append(own * pool.cap if pool.size else [])

    def add(self) -> bool:
        """Draw one more set; False if none was found."""
        for _ in range(REDRAWN):
            chosen: list[int] = []
            if all(self._place(chosen, pool) for pool, one in enumerate(self.pools) for _ in range(one.size)):
                for item in chosen:
                    self.holders[item].add(len(self.sets))
                self.sets.append(chosen)
                return True
            for item in chosen:
                self._put_back(item)
        return False

    def _place(self, chosen: list[int], pool: int) -> bool:
        """Put one more concept of a pool into a set that is not complete yet."""
        item = self._drawn(chosen, pool)
        if item is None:
            item = self._exchanged(chosen, pool)
        if item is None:
            return False
        chosen.append(item)
        return True

    def _fits(self, item: int, chosen: Sequence[int]) -> bool:
        return item not in chosen and self.excluded[item].isdisjoint(chosen)

    def _drawn(self, chosen: list[int], pool: int) -> int | None:
        """A ball of the urn that fits, taken out; None if there is none.

        Balls that do not fit are left in the urn, which gives those that fit their chances.
        """
        urn = self.urns[pool]
        for _ in range(min(TRIES, len(urn))):
            place = int(self.rng.integers(len(urn)))
            if self._fits(urn[place], chosen):
                return self._taken(urn, place)
        fitting = [place for place, item in enumerate(urn) if self._fits(item, chosen)]
        return self._taken(urn, fitting[int(self.rng.integers(len(fitting)))]) if fitting else None

    def _taken(self, urn: list[int], place: int) -> int:
        item = urn[place]
        urn[place] = urn[-1]
        urn.pop()
        self.left[item] -= 1
        return item

    def _put_back(self, item: int) -> None:
        self.urns[self.pool_of[item]].append(item)
        self.left[item] += 1

    def _exchanged(self, chosen: list[int], pool: int) -> int | None:
        """A concept without a ball in the urn that fits `chosen`, freed by exchanges in earlier sets.

        Breadth first: concept a is freed if a set gives it up for b that has a ball, or that is freed itself. A chain
        uses each set once, so that its exchanges do not meddle with each other.
        """
        own = [item for item in range(len(self.names)) if self.pool_of[item] == pool]
        free = sorted(set(self.urns[pool]))
        if not free:
            return None
        starts = [item for item in own if not self.left[item] and self._fits(item, chosen)]
        before: dict[int, tuple[int, int] | None] = dict.fromkeys(starts)  # concept -> (concept that it frees, set)
        todo, looked = deque(starts), 0
        while todo:
            given = todo.popleft()
            used = self._sets_of_chain(given, before)
            for index in sorted(self.holders[given] - used):
                rest = [item for item in self.sets[index] if item != given]
                for taken in free:
                    looked += 1
                    if self._fits(taken, rest):
                        return self._apply(taken, given, index, before)
                if looked > SEARCHED:
                    return None
                for taken in own:
                    looked += 1
                    if taken not in before and self._fits(taken, rest):
                        before[taken] = (given, index)
                        todo.append(taken)
        return None

    def _sets_of_chain(self, item: int, before: Mapping[int, tuple[int, int] | None]) -> set[int]:
        found = set()
        while (step := before[item]) is not None:
            item, index = step
            found.add(index)
        return found

    def _apply(self, taken: int, given: int, index: int, before: Mapping[int, tuple[int, int] | None]) -> int:
        """Make the exchanges of a chain from its end; returns the concept that the first of them freed."""
        urn = self.urns[self.pool_of[taken]]
        self._taken(urn, urn.index(taken))
        while True:
            self.sets[index][self.sets[index].index(given)] = taken
            self.holders[given].remove(index)
            self.holders[taken].add(index)
            step = before[given]
            if step is None:
                return given
            taken, (given, index) = given, step
