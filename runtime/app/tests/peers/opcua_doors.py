"""Who is let in to the OPC UA server of a running site, for how long, and with what: an independent client (asyncua).

    opcua_doors.py <port> <folder> make      makes an authority, two clients that it has signed, and a person's certificate
    opcua_doors.py <port> <folder> signed    the client signed by the authority opens a session
    opcua_doors.py <port> <folder> unsigned  it is refused
    opcua_doors.py <port> <folder> person    a person logs in with a certificate, and writes
    opcua_doors.py <port> <folder> nobody    that log-in is refused
    opcua_doors.py <port> <folder> demoted   writes; says `ready`; after a line on its input it can write no more
    opcua_doors.py <port> <folder> anew      looks; says `ready`; after a line on its input its session ends, and another one is let in
"""

import asyncio
import datetime
import ipaddress
import pathlib
import sys

from asyncua import Client, ua
from asyncua.crypto import security_policies as policies
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from opcua_client import OPERATOR, PATIENCE, VIEWER, refused

URI = "urn:penstock:test:signed"
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
END = datetime.datetime(2060, 1, 1, tzinfo=datetime.timezone.utc)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(folder, name, serial, issuer=None, authority=False):
    """A key and a certificate, signed by its issuer or by itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    by, by_key = issuer or (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name)).issuer_name(by.subject if by else named(name)).public_key(key.public_key())
        .serial_number(serial).not_valid_before(START).not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority, content_commitment=not authority, key_encipherment=not authority,
                data_encipherment=not authority, key_agreement=False, key_cert_sign=authority, crl_sign=authority,
                encipher_only=False, decipher_only=False,
            ), critical=True,
        )
    )
    if not authority:
        names = [x509.UniformResourceIdentifier(URI), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    made = builder.sign(by_key, hashes.SHA256())
    (folder / f"{name}.der").write_bytes(made.public_bytes(serialization.Encoding.DER))
    (folder / f"{name}.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return made, key


def revoked(folder, file, issuer, serials):
    """The authority's list of what it revoked."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer[0].subject).last_update(START).next_update(END)
    for serial in serials:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(START).build()
        builder = builder.add_revoked_certificate(one)
    made = builder.sign(issuer[1], hashes.SHA256())
    (folder / file).write_bytes(made.public_bytes(serialization.Encoding.DER))


def make(folder):
    authority = certificate(folder, "authority", 1, authority=True)
    certificate(folder, "signed", 7, authority)
    certificate(folder, "person", 9)
    certificate(folder, "stranger", 10)
    revoked(folder, "nobody.crl", authority, [8])
    revoked(folder, "signed.crl", authority, [7, 8])


async def session(port, folder, user=None, person=None):
    client = Client(f"opc.tcp://127.0.0.1:{port}/", timeout=20)
    client.application_uri = URI
    await client.set_security(
        policies.SecurityPolicyBasic256Sha256, str(folder / "signed.der"), str(folder / "signed.pem"),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    if user:
        client.set_user(user[0])
        client.set_password(user[1])
    if person:
        await client.load_client_certificate(str(folder / f"{person}.der"))
        await client.load_private_key(str(folder / f"{person}.pem"))
    return client


async def node(client, path):
    return client.get_node(ua.NodeId(path, await client.get_namespace_index("urn:penstock:tags")))


async def told():
    """Says that it is ready, and waits for a line."""
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def number(value):
    return ua.Variant(value, ua.VariantType.Double)


async def demoted(port, folder):
    # The same person by both ways: the password is changed with the role, the certificate stays.
    by_password = await session(port, folder, OPERATOR)
    by_certificate = await session(port, folder, person="person")
    async with by_password, by_certificate:
        for client, value in [(by_password, 1.25), (by_certificate, 1.5)]:
            await (await node(client, "tank/level_in")).write_value(number(value))
        levels = [await node(client, "tank/level_in") for client in [by_password, by_certificate]]
        await told()
        for level, ends in zip(levels, [True, False]):
            # A log-in with a password that is no more is not refused alone: its session may end.
            for attempt in range(PATIENCE * 5):
                try:
                    await level.write_value(number(1.0))
                except ConnectionError:
                    assert ends, "who has a right to look was cut off"
                    break
                except ua.UaError as error:
                    said = f"{type(error).__name__} {error}"
                    gone = ["BadSession", "BadSecureChannel", "BadConnectionClosed"] if ends else []
                    assert any(word in said for word in ["BadUserAccessDenied", *gone]), said
                    break
                await asyncio.sleep(0.2)
            else:
                raise AssertionError("a right that was taken away still writes")
        await refused(levels[1].write_value(number(1.0)), "BadUserAccessDenied")
        # Who may still look, may still look.
        assert await (await node(by_certificate, "tank/level_in")).read_value() is not None


async def anew(port, folder):
    before = await session(port, folder, OPERATOR)
    await before.connect()
    level = await node(before, "tank/level")
    await level.read_value()
    await told()
    ended = False
    for _ in range(PATIENCE * 2):
        try:
            await level.read_value()
        except (ua.UaError, ConnectionError, asyncio.TimeoutError, OSError):
            ended = True
            break
        await asyncio.sleep(0.5)
    assert ended, "the server still has its old definitions"
    try:
        await before.disconnect()
    except (ua.UaError, ConnectionError, asyncio.TimeoutError, OSError):
        # There is nothing left to end.
        pass
    for _ in range(PATIENCE * 2):
        try:
            client = await session(port, folder, OPERATOR)
            async with client:
                await (await node(client, "tank/level")).read_value()
            return
        except (ua.UaError, ConnectionError, asyncio.TimeoutError, OSError):
            # It is begun anew just now.
            await asyncio.sleep(0.5)
    raise AssertionError("nobody is let in after a change")


async def main(port, folder, what):
    if what == "make":
        make(folder)
    elif what == "signed":
        client = await session(port, folder, VIEWER)
        async with client:
            await (await node(client, "tank/level")).read_value()
    elif what == "unsigned":
        await refused((await session(port, folder, VIEWER)).connect())
    elif what == "person":
        client = await session(port, folder, person="person")
        async with client:
            level = await node(client, "tank/level_in")
            await level.write_value(number(2.25))
            # It is a claim: the tag has it after the next scan.
            for _ in range(PATIENCE * 5):
                if await level.read_value() == 2.25:
                    break
                await asyncio.sleep(0.2)
            else:
                raise AssertionError(f"the level is {await level.read_value()}")
    elif what == "nobody":
        await refused((await session(port, folder, person="person")).connect(), "BadUserAccessDenied")
        await refused((await session(port, folder, person="stranger")).connect(), "BadUserAccessDenied")
    elif what == "demoted":
        await demoted(port, folder)
    elif what == "anew":
        await anew(port, folder)
    print("well", what)


asyncio.run(main(int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]))
