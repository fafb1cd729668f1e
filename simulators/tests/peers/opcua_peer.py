"""An independent OPC UA client (asyncua) in front of the simulated sludge and effluent PLC.

    opcua_peer.py <part> <endpoint url> <api address> <pki folder>

Each part ends with exit code 0, or says what is not as it should be.
"""

import asyncio
import datetime
import json
import pathlib
import sys
import tempfile
import urllib.request

from asyncua import Client, ua
from asyncua.crypto import security_policies as policies
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

NAMESPACE = "urn:penstock:sim:sludge-effluent"
APPLICATION = "urn:penstock:test:peer"
MODES = ua.MessageSecurityMode
SECURE = [
    (policy, mode)
    for policy in (
        policies.SecurityPolicyBasic256Sha256,
        policies.SecurityPolicyAes128Sha256RsaOaep,
        policies.SecurityPolicyAes256Sha256RsaPss,
    )
    for mode in (MODES.Sign, MODES.SignAndEncrypt)
]
NOW = datetime.datetime.now


def check(holds, what):
    if not holds:
        raise AssertionError(what)


async def refused(awaitable, *codes):
    """The call fails with one of the status codes."""
    try:
        await awaitable
    except ua.UaStatusCodeError as error:
        names = [ua.StatusCode(code).name for code in codes]
        check(error.code in codes, f"refused with {ua.StatusCode(error.code).name}, expected {names}")
        return
    raise AssertionError(f"was not refused, expected {[ua.StatusCode(code).name for code in codes]}")


def bare(data):
    """The status of a value without its informational bits: a full queue sets one of them."""
    return data.StatusCode.value & 0xFFFF_0000


def utc(time):
    return time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)


def age_s(time):
    return (NOW(datetime.timezone.utc) - utc(time)).total_seconds()


class Plant:
    def __init__(self, url, api, pki):
        self.url, self.api, self.pki = url, api, pathlib.Path(pki)

    def client(self):
        client = Client(self.url, timeout=20)
        client.application_uri = APPLICATION
        return client

    def fault(self, text):
        body = json.dumps({"fault": text}).encode()
        request = urllib.request.Request(f"http://{self.api}/faults", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["id"]

    def clear(self, fault):
        request = urllib.request.Request(f"http://{self.api}/faults/{fault}", method="DELETE")
        urllib.request.urlopen(request).close()

    async def certificate(self):
        """The certificate the server shows now."""
        endpoints = await self.client().connect_and_get_server_endpoints()
        return x509.load_der_x509_certificate(endpoints[0].ServerCertificate)


async def node(client, name):
    return client.get_node(ua.NodeId(name, await client.get_namespace_index(NAMESPACE)))


async def both_times(of):
    """The value of a node with the times of its source and of the server."""
    params = ua.ReadParameters()
    params.TimestampsToReturn = ua.TimestampsToReturn.Both
    params.NodesToRead = [ua.ReadValueId(NodeId=of.nodeid, AttributeId=ua.AttributeIds.Value)]
    return (await of.session.read(params))[0]


async def identity(folder, name):
    """Key and certificate of a client application."""
    key, cert = pathlib.Path(folder) / f"{name}.pem", pathlib.Path(folder) / f"{name}.der"
    subject = {"countryName": "DE", "organizationName": "Penstock tests"}
    await setup_self_signed_certificate(
        key, cert, APPLICATION, name, [ExtendedKeyUsageOID.CLIENT_AUTH], subject
    )
    return key, cert


async def secured(plant, policy, mode, key, cert):
    client = plant.client()
    await client.set_security(policy, str(cert), str(key), mode=mode)
    return client


async def plain(plant):
    """Without security: values with status and times, attributes, subscription, writes and their refusals."""
    async with plant.client() as client:
        flow = await node(client, "Effluent.Flow")
        data = await both_times(flow)
        check(300 < data.Value.Value < 3000 and data.StatusCode.is_good(), f"flow {data}")
        check(abs(age_s(data.ServerTimestamp)) < 5 and abs(age_s(data.SourceTimestamp)) < 5, f"times {data}")
        status = await (await node(client, "Effluent.NH4Status")).read_data_value()
        check(status.Value.VariantType == ua.VariantType.UInt16 and status.Value.Value & 1, f"status word {status}")

        names = {(await child.read_browse_name()).Name for child in await client.nodes.objects.get_children()}
        check({"Effluent", "Sludge"} <= names, f"browsed {names}")
        parts = await (await node(client, "Effluent")).get_children()
        names = {(await child.read_browse_name()).Name for child in parts}
        check({"Flow", "NH4", "COD", "TN", "TSS", "PH", "Temp", "NH4Status"} <= names, f"browsed {names}")

        ammonia = await node(client, "Effluent.NH4")
        kind = await ammonia.read_type_definition()
        check(kind == ua.NodeId(ua.ObjectIds.AnalogItemType), f"type definition {kind}")
        properties = {(await p.read_browse_name()).Name: await p.read_value() for p in await ammonia.get_properties()}
        unit, span = properties["EngineeringUnits"], properties["EURange"]
        check((span.Low, span.High) == (0.0, 50.0), f"range {span}")
        check(unit.DisplayName.Text == "mg/L" and unit.UnitId == (ord("M") << 8) + ord("1"), f"unit {unit}")
        text = (await ammonia.read_description()).Text
        check("ammonia" in text and "氨氮" in text, f"description {text}")

        command = await node(client, "Sludge.RasCmd")
        await command.write_value(900.0, ua.VariantType.Double)
        check(await command.read_value() == 900.0, "the command reads back")
        codes = ua.StatusCodes
        await refused(command.write_value(1600.0, ua.VariantType.Double), codes.BadOutOfRange)
        await refused(command.write_value(900, ua.VariantType.Int32), codes.BadTypeMismatch)
        await refused(flow.write_value(1.0, ua.VariantType.Double), codes.BadUserAccessDenied, codes.BadNotWritable)
        check(await command.read_value() == 900.0, "refused writes change nothing")

        # A held value keeps the time of its sample, and a subscription tells when the instrument goes out of service.
        seen = asyncio.Queue()

        class Handler:
            def datachange_notification(self, _node, _value, data):
                seen.put_nowait(data.monitored_item.Value)

        subscription = await client.create_subscription(100, Handler())
        cod = await node(client, "Effluent.COD")
        await subscription.subscribe_data_change(cod)
        first = await asyncio.wait_for(seen.get(), 10)
        check(first.StatusCode.is_good(), f"first notification {first}")
        fault = plant.fault("maintenance eff/cod")
        out = await asyncio.wait_for(seen.get(), 10)
        check(bare(out) == codes.BadOutOfService, f"in maintenance {out}")
        plant.clear(fault)
        back = await asyncio.wait_for(seen.get(), 10)
        check(back.StatusCode.is_good(), f"after maintenance {back}")
        await asyncio.sleep(1.5)
        held = await both_times(cod)
        check(age_s(held.SourceTimestamp) > 1 > age_s(held.ServerTimestamp), f"a held value keeps its time: {held}")
        fault = plant.fault("calibrate eff/nh4")
        for _ in range(50):
            data = await ammonia.read_data_value(raise_on_bad_status=False)
            if bare(data) == codes.UncertainLastUsableValue:
                break
            await asyncio.sleep(0.1)
        check(bare(data) == codes.UncertainLastUsableValue, f"calibrated {data}")
        plant.clear(fault)


async def secure(plant):
    """Every secured endpoint; trust by moving a certificate; user name, password, user certificate."""
    with tempfile.TemporaryDirectory() as folder:
        key, cert = await identity(folder, "peer")
        encrypt = (policies.SecurityPolicyBasic256Sha256, MODES.SignAndEncrypt)
        untrusted = await secured(plant, *encrypt, key, cert)
        try:
            await untrusted.connect()
            raise AssertionError("an unknown certificate was let in")
        except (ua.UaError, ConnectionError, asyncio.TimeoutError, TimeoutError) as error:
            print(f"unknown certificate: {type(error).__name__} {error}")
        rejected = list((plant.pki / "rejected").glob("*.der"))
        check(len(rejected) == 1, f"rejected {rejected}")
        rejected[0].rename(plant.pki / "trusted" / rejected[0].name)

        for policy, mode in SECURE:
            async with await secured(plant, policy, mode, key, cert) as client:
                value = await (await node(client, "Effluent.Flow")).read_value()
                check(300 < value < 3000, f"{policy.URI} {mode}: {value}")
                command = await node(client, "Sludge.WasCmd")
                await refused(command.write_value(20.0, ua.VariantType.Double), ua.StatusCodes.BadUserAccessDenied)
                print(f"{policy.URI} {mode.name}: flow {value:.1f}")

        for client in (plant.client(), await secured(plant, *encrypt, key, cert)):
            client.set_user("operator")
            client.set_password("a wrong one")
            await refused(client.connect(), ua.StatusCodes.BadIdentityTokenRejected, ua.StatusCodes.BadUserAccessDenied)
        for client in (plant.client(), await secured(plant, *encrypt, key, cert)):
            client.set_user("operator")
            client.set_password("turbid-water-7")
            async with client:
                command = await node(client, "Sludge.WasCmd")
                await command.write_value(20.0, ua.VariantType.Double)
                check(await command.read_value() == 20.0, "an operator may write")

        person_key, person = await identity(folder, "person")
        (plant.pki / "users" / "person.der").write_bytes(person.read_bytes())
        for policy, mode in SECURE:
            client = await secured(plant, policy, mode, key, cert)
            await client.load_client_certificate(str(person))
            await client.load_private_key(str(person_key))
            async with client:
                command = await node(client, "Sludge.WasCmd")
                await command.write_value(21.0, ua.VariantType.Double)
        print("user certificate: let in by every secured endpoint")


async def ends(client, within_s=10):
    """The session of a client ends by itself."""
    for _ in range(within_s * 10):
        try:
            await client.check_connection()
            await asyncio.wait_for((await node(client, "Effluent.Flow")).read_data_value(False), 1)
        except Exception:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the session lives on")


async def until(probe, what, within_s=15):
    for _ in range(within_s * 10):
        try:
            if await probe():
                return
        except Exception as error:
            what = f"{what} ({type(error).__name__} {error})"[:400]
        await asyncio.sleep(0.1)
    raise AssertionError(what)


async def quietly(client):
    try:
        await client.disconnect()
    except Exception as error:
        print(f"closing a dead connection: {type(error).__name__}")


async def faults(plant):
    """Certificates that expire and change, a download, a restart."""
    own = await plant.certificate()
    check(own.not_valid_after_utc > NOW(datetime.timezone.utc), "the own certificate is valid")
    alternatives = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
    check(uris == ["urn:penstock:sim"], f"application uri {uris}")

    client = plant.client()
    await client.connect()
    await (await node(client, "Sludge.RasCmd")).write_value(800.0, ua.VariantType.Double)
    fault = plant.fault("cert-expired sludge_effluent_plc")
    await ends(client)
    await quietly(client)

    async def expired():
        shown = await plant.certificate()
        return shown.not_valid_after_utc < NOW(datetime.timezone.utc) and shown.public_key() == own.public_key()

    await until(expired, "no expired certificate is shown")
    check((await plant.certificate()) != own, "another certificate than its own")
    plant.clear(fault)

    async def as_before():
        return await plant.certificate() == own

    await until(as_before, "the own certificate does not come back")

    fault = plant.fault("new-certificate sludge_effluent_plc")

    async def new():
        shown = await plant.certificate()
        return shown.not_valid_after_utc > NOW(datetime.timezone.utc) and shown.public_key() != own.public_key()

    await until(new, "no new certificate is shown")
    plant.clear(fault)
    await until(as_before, "the own certificate does not come back")

    # A download: nodes go while the session stays, and come back under another index.
    client = plant.client()
    await client.connect()
    index = await client.get_namespace_index(NAMESPACE)
    check(await (await node(client, "Sludge.RasCmd")).read_value() == 800.0, "commands outlive a change of certificate")
    gone = asyncio.Queue()

    class Handler:
        def datachange_notification(self, _node, _value, data):
            gone.put_nowait(data.monitored_item.Value)

    subscription = await client.create_subscription(100, Handler())
    flow = await node(client, "Effluent.Flow")
    await subscription.subscribe_data_change(flow)
    fault = plant.fault("download sludge_effluent_plc")

    async def unknown():
        data = await flow.read_data_value(raise_on_bad_status=False)
        return bare(data) == ua.StatusCodes.BadNodeIdUnknown

    await until(unknown, "the nodes do not go")
    for _ in range(100):
        data = await asyncio.wait_for(gone.get(), 10)
        if bare(data) == ua.StatusCodes.BadNodeIdUnknown:
            break
    check(bare(data) == ua.StatusCodes.BadNodeIdUnknown, f"a subscription is told: {data}")
    check(await client.get_namespace_index(NAMESPACE) == index, "the session lives on")
    plant.clear(fault)
    await ends(client)
    await quietly(client)

    async def moved():
        async with plant.client() as client:
            check(await client.get_namespace_index(NAMESPACE) == index + 1, "the index is one higher")
            return 300 < await (await node(client, "Effluent.Flow")).read_value() < 3000

    await until(moved, "the nodes do not come back")

    # A restart: the session cannot be taken up again, written commands are gone.
    client = plant.client()
    await client.connect()
    plant.fault("restart sludge_effluent_plc 1s")
    await ends(client)
    await quietly(client)

    async def forgotten():
        async with plant.client() as client:
            command = await (await node(client, "Sludge.RasCmd")).read_value()
            data = await (await node(client, "Effluent.NH4")).read_data_value(raise_on_bad_status=False)
            warm = bare(data) == ua.StatusCodes.BadWaitingForInitialData
            return command != 800.0 and warm

    await until(forgotten, "no restart is seen")


PARTS = {"plain": plain, "secure": secure, "faults": faults}

if __name__ == "__main__":
    part, *where = sys.argv[1:]
    asyncio.run(PARTS[part](Plant(*where)))
    print(f"{part}: as it should be")
