"""The cluster's DNS: addresses of Services and of pods with a hostname, at 10.244.0.2, on the control plane's node.

    python -m tests.cluster.bed.dns --kubeconfig FILE --bed FOLDER --listen ADDRESS

There is no kube-proxy here, so the name of a Service with a ClusterIP answers with its ready pods as well; the
Service's port must be the pods' own.

The control plane's node takes no pods, but is always there: the controllers give up no pod of a lost node while every
node is lost, since they then take themselves for cut off.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.cluster.bed.api import Api
from tests.cluster.bed.heartbeat import heartbeat, register
from tests.cluster.bed.nodehost import NodeHost
from tests.cluster.bed.nodes import describe
from tests.cluster.bed.services import Services

TTL = 1  # seconds
CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
SUFFIX = ".svc.cluster.local"


def addresses(services: Services, name: str) -> list[str] | None:
    """Return the addresses of a name, none for a Service without ready pods, None when there is no such name."""
    if not name.endswith(SUFFIX):
        return None
    *host, service, namespace = ["", "", *name.removesuffix(SUFFIX).split(".")][-3:]
    if not service or services.get(namespace, service) is None:
        return None
    ready = [endpoint for endpoint in services.endpoints(namespace, service) if endpoint.ready]
    if host != [""]:
        return [endpoint.ip for endpoint in ready if endpoint.hostname == host[0]] or None
    return [endpoint.ip for endpoint in ready]


def answer(services: Services, packet: bytes) -> bytes:
    """Answer one query. Raises dns.exception.DNSException for what is none."""
    query = dns.message.from_wire(packet)
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA | dns.flags.RA
    for question in query.question:
        found = addresses(services, question.name.to_text(omit_final_dot=True).lower())
        if found is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif found and question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text_list(question.name, TTL, "IN", "A", found))
    return reply.to_wire()


class Udp(asyncio.DatagramProtocol):
    """Answers datagrams."""

    def __init__(self, services: Services) -> None:
        """Keep what to answer from."""
        self._services = services

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer; what is no query is dropped."""
        with contextlib.suppress(dns.exception.DNSException):
            self._transport.sendto(answer(self._services, data), addr)


async def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--bed", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    options = parser.parse_args()
    async with Api(options.kubeconfig) as api:
        services = Services(api)

        async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, dns.exception.DNSException):
                while True:
                    size = int.from_bytes(await reader.readexactly(2))
                    reply = answer(services, await reader.readexactly(size))
                    writer.write(len(reply).to_bytes(2) + reply)
            writer.close()

        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: Udp(services), local_addr=(options.listen, 53))
        await asyncio.start_server(stream, options.listen, 53)
        host = NodeHost(api, "control-plane", options.listen, options.bed, 1)
        await register(host, describe(host.name, cpu=2, memory="8Gi", disk="20Gi", taints=[CONTROL_PLANE]))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(services.follow())
            tasks.create_task(heartbeat(host))


if __name__ == "__main__":
    asyncio.run(main())
