"""The nodes of a Qdrant cluster: where they are, which answer, and of which version they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from qdrant_client.models import (
    ClusterStatusOneOf,
    ClusterStatusOneOf1,
    DistributedTelemetryData,
)

from nudge_sync.connector import parse_version

ClusterStatus: TypeAlias = ClusterStatusOneOf | ClusterStatusOneOf1
"""What a server says of its cluster, or that it is none."""

_OLDEST_NEIGHBOUR = "1.16"
"""The oldest version beside which a node runs that can be asked for the versions of all."""


@dataclass(frozen=True, slots=True)
class Peers:
    """The nodes of a cluster, by their ids in it."""

    addresses: dict[int, str] = field(default_factory=dict)
    """Where each listens for the others; empty outside a cluster."""
    silent: dict[int, str] = field(default_factory=dict)
    """Those that the asked node cannot reach just now, and why."""

    @property
    def has_neighbours(self) -> bool:
        """Whether the server that was asked is not the only node."""
        return len(self.addresses) > 1

    @property
    def answering(self) -> list[int]:
        """The nodes that can be reached, as far as the asked one knows."""
        return sorted(peer for peer in self.addresses if peer not in self.silent)

    def describe_silent(self) -> str:
        """Return which nodes do not answer, for people; "" where all do."""
        return ", ".join(
            f"node {peer} at {self.addresses[peer]} does not answer" for peer in self.silent
        )


def parse_peers(status: ClusterStatus) -> Peers:
    """Return the nodes as the one that was asked sees them; none outside a cluster."""
    if not isinstance(status, ClusterStatusOneOf1):
        return Peers()
    addresses = {int(peer): info.uri for peer, info in status.peers.items()}
    peer_by_address = {address.rstrip("/"): peer for peer, address in addresses.items()}
    silent = {
        peer_by_address[address.rstrip("/")]: str(failure.latest_error or "")
        for address, failure in status.message_send_failures.items()
        if address.rstrip("/") in peer_by_address
    }
    return Peers(addresses, silent)


def list_versions(telemetry: DistributedTelemetryData, peers: Peers) -> tuple[str, ...]:
    """Return the versions of all nodes, oldest first, without those known to be down.

    A node that does not tell counts as 1.16, the oldest that Qdrant lets run beside a 1.17, which
    is the first that is asked.
    """
    told = telemetry.cluster.peers if telemetry.cluster is not None else {}
    versions = {int(peer): info.details.version for peer, info in told.items() if info.details}
    known = {
        versions.get(peer, _OLDEST_NEIGHBOUR)
        for peer in peers.addresses
        if peer in versions or peer not in peers.silent
    }
    return tuple(sorted(known, key=parse_version))
