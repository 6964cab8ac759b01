"""Links that lose everything, some, or time. Clients still reach every member, if slowly."""

from __future__ import annotations

from itertools import permutations, product

from tests.faults.matrix.faults.base import Fault


class _Cut(Fault):
    """Some directed links between members lose everything."""

    hold = (1.5, 3.0)

    def lost(self) -> list[tuple[int, int]]:
        """Pairs of hosts, from and to."""
        raise NotImplementedError

    def inflict(self) -> str:
        links = self.lost()
        for source, target in links:
            self.rig.links.cut(source + 1, target + 1)
        return f"{self.name}: {sorted(links)}"

    def heal(self) -> None:
        self.rig.links.heal()


class PartitionOne(_Cut):
    """One member is alone; clients go on talking to it."""

    name = "partition one"

    def lost(self) -> list[tuple[int, int]]:
        alone = self.often_the_leader()
        others = [each for each in range(self.hosts) if each != alone]
        return [*product([alone], others), *product(others, [alone])]


class PartitionHalves(_Cut):
    """Two members on one side and three on the other."""

    name = "partition halves"
    hosts = voters = 5

    def lost(self) -> list[tuple[int, int]]:
        order = self.sample(self.hosts)
        few, many = order[: self.hosts // 2], order[self.hosts // 2 :]
        return [*product(few, many), *product(many, few)]


class PartitionRing(_Cut):
    """Each member sees two neighbours: a majority, but another one for each of them."""

    name = "partition ring"
    hosts = voters = 5

    def lost(self) -> list[tuple[int, int]]:
        order = self.sample(self.hosts)
        near = {*zip(order, order[1:] + order[:1], strict=True)}
        return [pair for pair in permutations(order, 2) if not near & {pair, pair[::-1]}]


class PartitionAsymmetric(_Cut):
    """One member is heard by its peers and hears nothing, or the other way round."""

    name = "partition asymmetric"

    def lost(self) -> list[tuple[int, int]]:
        lonely = self.often_the_leader()
        others = [each for each in range(self.hosts) if each != lonely]
        ways = [product([lonely], others), product(others, [lonely])]
        return list(self.chance.choice(ways))


class SlowNetwork(Fault):
    """Every packet, of members and clients alike, takes some hundredths of a second."""

    name = "slow network"
    hold = (2.0, 4.0)

    def inflict(self) -> str:
        least = self.chance.uniform(0.005, 0.04)
        most = least + self.chance.uniform(0.0, 0.03)
        self.rig.links.slow((least, most), 0.0, self.chance.getrandbits(32))
        return f"{self.name}: {least * 1000:.0f} to {most * 1000:.0f} ms one way"

    def heal(self) -> None:
        self.rig.links.heal()


class LossyNetwork(SlowNetwork):
    """Of all packets, of members and clients alike, a share is lost."""

    name = "lossy network"

    def inflict(self) -> str:
        loss = self.chance.uniform(0.02, 0.25)
        self.rig.links.slow((0.0, 0.001), loss, self.chance.getrandbits(32))
        return f"{self.name}: {loss:.0%}"
