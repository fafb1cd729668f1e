"""An independent OPC UA server (asyncua) for the driver's tests: structures, arrays, a protected channel.

    opcua_server.py <folder for its key and certificate>

Prints `ready <port> <certificate>` and serves until its standard input closes.
"""

import asyncio
import pathlib
import socket
import sys

from asyncua import Server, ua
from asyncua.common.structures104 import new_struct, new_struct_field
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

NAMESPACE = "urn:penstock:test:peer"
APPLICATION = "urn:penstock:test:peer:server"


async def main(folder):
    key, cert = folder / "peer.pem", folder / "peer.der"
    await setup_self_signed_certificate(
        key, cert, APPLICATION, "127.0.0.1", [ExtendedKeyUsageOID.SERVER_AUTH],
        {"countryName": "DE", "organizationName": "Penstock tests"},
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server()
    await server.init()
    await server.set_application_uri(APPLICATION)
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity, ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(str(cert))
    await server.load_private_key(str(key))
    index = await server.register_namespace(NAMESPACE)
    inner, _ = await new_struct(
        server, index, "Reading",
        [new_struct_field("Flow", ua.VariantType.Double), new_struct_field("Count", ua.VariantType.Int32)],
    )
    await new_struct(
        server, index, "Status",
        [new_struct_field("Running", ua.VariantType.Boolean), new_struct_field("Actual", inner)],
    )
    await server.load_data_type_definitions()
    status = ua.Status()
    status.Running = True
    status.Actual = ua.Reading()
    status.Actual.Flow = 12.5
    status.Actual.Count = 7
    objects = server.nodes.objects

    def at(name):
        return ua.NodeId(name, index)

    await objects.add_variable(at("Status"), "Status", ua.Variant(status, ua.VariantType.ExtensionObject))
    speeds = await objects.add_variable(at("Speeds"), "Speeds", [10, 20, 30], ua.VariantType.Int16)
    await speeds.set_writable()
    command = await objects.add_variable(at("Cmd"), "Cmd", 0.0, ua.VariantType.Float)
    await command.set_writable()
    for i in range(30):
        output = await objects.add_variable(at(f"Out{i}"), f"Out{i}", 0.0, ua.VariantType.Double)
        if i != 7:
            await output.set_writable()
    async with server:
        print(f"ready {port} {cert}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(pathlib.Path(sys.argv[1])))
