"""An independent OPC UA client (asyncua) against the server of a running site.

    opcua_client.py <port> <folder> make        makes the client's key and certificate
    opcua_client.py <port> <folder> untrusted   must be refused, for its certificate is not trusted
    opcua_client.py <port> <folder> all         everything else
"""

import asyncio
import datetime
import pathlib
import sys

from asyncua import Client, ua
from asyncua.common.events import get_filter_from_event_type
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto import security_policies as policies
from cryptography.x509.oid import ExtendedKeyUsageOID

URI = "urn:penstock:test:client"
OPERATOR = ("zhang", "blower-house-17")
VIEWER = ("li", "only-looking-23")
ENGINEER = ("wang", "engineer-desk-31")
PATIENCE = 60


async def session(port, folder, user, policy=policies.SecurityPolicyBasic256Sha256, mode=None):
    client = Client(f"opc.tcp://127.0.0.1:{port}/", timeout=20)
    client.application_uri = URI
    if policy:
        mode = mode or ua.MessageSecurityMode.SignAndEncrypt
        await client.set_security(policy, str(folder / "client.der"), str(folder / "client.pem"), mode=mode)
    if user:
        client.set_user(user[0])
        client.set_password(user[1])
    return client


async def refused(what, *names):
    """The work is refused with one of these codes."""
    try:
        await what
    except (ua.UaError, ConnectionError, asyncio.TimeoutError, OSError) as error:
        text = f"{type(error).__name__} {error}"
        assert not names or any(name in text for name in names), f"refused with {text}, not {names}"
        return
    raise AssertionError(f"was not refused with {names}")


class Watcher:
    """Keeps what comes."""

    def __init__(self):
        self.values, self.events = [], []

    def datachange_notification(self, node, value, data):
        self.values.append((node.nodeid.Identifier, value, data.monitored_item.Value))

    def event_notification(self, event):
        self.events.append(event)

    def status_change_notification(self, status):
        pass

    async def until(self, what, found):
        for _ in range(PATIENCE * 20):
            hit = found(self)
            if hit:
                return hit
            await asyncio.sleep(0.05)
        raise AssertionError(f"{what} never came: {self.values[-5:]} {self.events[-5:]}")


async def look_and_write(port, folder):
    client = await session(port, folder, OPERATOR)
    async with client:
        index = await client.get_namespace_index("urn:penstock:tags")
        node = lambda path: client.get_node(ua.NodeId(path, index))
        names = {(await child.read_browse_name()).Name: child for child in await client.nodes.objects.get_children()}
        assert names["tank"].nodeid == ua.NodeId("tank/", index), names
        below = [child.nodeid.Identifier for child in await names["tank"].get_children()]
        assert {"tank/level", "tank/level_in", "tank/valve"} <= set(below), below

        level = node("tank/level")
        assert await level.read_data_type() == ua.NodeId(ua.ObjectIds.Double)
        span = await (await level.get_child("0:EURange")).read_value()
        assert (span.Low, span.High) == (0.0, 10.0), span
        unit = await (await level.get_child("0:EngineeringUnits")).read_value()
        assert (unit.UnitId, unit.DisplayName.Text) == (5067858, "m"), unit
        named = (await level.read_display_name()).Text
        assert "Level" in named and "液位" in named, named
        ask = ua.ReadParameters()
        ask.TimestampsToReturn = ua.TimestampsToReturn.Both
        value = ua.ReadValueId()
        value.NodeId, value.AttributeId = level.nodeid, ua.AttributeIds.Value
        ask.NodesToRead = [value]
        data = (await client.uaclient.read(ask))[0]
        assert data.StatusCode.is_good() and data.Value.Value == 1.0, data
        assert data.SourceTimestamp and data.ServerTimestamp, data
        assert abs((data.ServerTimestamp - data.SourceTimestamp).total_seconds()) < 600, data
        never = await node("tank/never").read_data_value(raise_on_bad_status=False)
        assert not never.StatusCode.is_good() and never.Value.Value is None, never

        watcher = Watcher()
        subscription = await client.create_subscription(200, watcher)
        await subscription.subscribe_data_change([level, node("tank/level_in")])
        await subscription.subscribe_data_change([node("tank/valve")], sampling_interval=-1)
        await node("tank/level_in").write_value(2.5)
        _, _, told = await watcher.until(
            "the new level", lambda w: next((v for v in w.values if v[:2] == ("tank/level", 2.5)), None)
        )
        assert told.SourceTimestamp is not None, told

        write = lambda path, value, kind=ua.VariantType.Double: node(path).write_value(ua.Variant(value, kind))
        await refused(write("tank/level_in", 99.0), "BadOutOfRange")
        await refused(write("tank/level_in", "full", ua.VariantType.String), "BadTypeMismatch")
        await refused(write("tank/level", 1.0), "BadNotWritable")
        await refused(write("tank/kept", 1.0), "BadNotWritable")
        await refused(write("tank/factor", 2.0), "BadUserAccessDenied")
        await write("tank/valve", 42.0)
        await watcher.until("the valve by hand", lambda w: any(v[:2] == ("tank/valve", 42.0) for v in w.values))
        await node("tank/valve").write_value(ua.DataValue(ua.Variant(None, ua.VariantType.Null)))
        await watcher.until("the valve let go", lambda w: w.values and [
            v[1] for v in w.values if v[0] == "tank/valve"][-1] == 10.0)
        await subscription.delete()


async def watch_alarms(client, subscription, queuesize=0):
    """All fields of limit alarms; every kind of event, for a refresh begins and ends with events of other kinds."""
    chosen = await get_filter_from_event_type([client.get_node(ua.ObjectIds.ExclusiveLevelAlarmType)], False)
    element = ua.ContentFilterElement()
    element.FilterOperator = ua.FilterOperator.OfType
    element.FilterOperands = [ua.LiteralOperand(Value=ua.Variant(ua.NodeId(ua.ObjectIds.BaseEventType)))]
    chosen.WhereClause.Elements = [element]
    await subscription.subscribe_events(client.nodes.server, evfilter=chosen, queuesize=queuesize)


async def alarms(port, folder):
    client = await session(port, folder, OPERATOR)
    async with client:
        index = await client.get_namespace_index("urn:penstock:tags")
        watcher = Watcher()
        subscription = await client.create_subscription(100, watcher)
        await watch_alarms(client, subscription)
        # A filter that the library would never let anything through is refused, not silent.
        await refused(subscription.subscribe_alarms_and_conditions(client.nodes.server), "BadFilter")
        level = client.get_node(ua.NodeId("tank/level_in", index))
        await level.write_value(9.0)
        mine = lambda e: getattr(e, "ConditionName", None) == "tank/level/high"
        last = lambda w: next((e for e in reversed(w.events) if mine(e)), None)
        active = await watcher.until("the alarm", lambda w: last(w) and last(w).__dict__["ActiveState/Id"] and last(w))
        assert active.SourceName == "tank/level" and active.Severity == 700, active
        assert "Level is high" in active.Message.Text and "液位高" in active.Message.Text, active.Message
        assert active.Retain is True and active.__dict__["AckedState/Id"] is False, active
        condition = client.get_node(ua.NodeId("alarm:tank/level/high", index))
        comment = ua.LocalizedText("seen, pump called")
        acknowledge = lambda event: condition.call_method(
            ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge), ua.Variant(event, ua.VariantType.ByteString),
            ua.Variant(comment, ua.VariantType.LocalizedText),
        )
        await refused(acknowledge(b"0" * 16), "BadEventIdUnknown")
        await acknowledge(active.EventId)
        acked = await watcher.until("the acknowledgement", lambda w: last(w).__dict__["AckedState/Id"] and last(w))
        assert acked.ClientUserId == "zhang@opcua" and acked.Comment.Text == comment.Text, acked
        assert acked.EventId != active.EventId
        await refused(acknowledge(acked.EventId), "BadConditionBranchAlreadyAcked")

        # Another client that comes later asks for what stands, with a queue of one.
        late = Watcher()
        other = await client.create_subscription(100, late)
        await watch_alarms(client, other, queuesize=1)
        kind = client.get_node(ua.NodeId(ua.ObjectIds.ConditionType))
        await kind.call_method(
            ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh), ua.Variant(other.subscription_id, ua.VariantType.UInt32)
        )
        refresh_end = ua.NodeId(ua.ObjectIds.RefreshEndEventType)
        await late.until("the end of the refresh", lambda w: any(e.EventType == refresh_end for e in w.events))
        assert [e for e in late.events if mine(e)][-1].EventId == acked.EventId
        assert not any(e.EventType == refresh_end for e in watcher.events), "a refresh is for one subscription"
        await level.write_value(1.0)
        normal = await watcher.until("the return", lambda w: not last(w).__dict__["ActiveState/Id"] and last(w))
        assert normal.Retain is False, normal
        await subscription.delete()
        await other.delete()


async def history(port, folder):
    client = await session(port, folder, VIEWER)
    async with client:
        index = await client.get_namespace_index("urn:penstock:tags")
        level = client.get_node(ua.NodeId("tank/level", index))
        end = datetime.datetime.now(datetime.timezone.utc)
        start = end - datetime.timedelta(hours=1)
        values = []
        for _ in range(100):
            values = await level.read_raw_history(
                start, datetime.datetime.now(datetime.timezone.utc), return_bounds=False)
            if {1.0, 2.5, 9.0} <= {v.Value.Value for v in values}:
                break
            await asyncio.sleep(0.2)
        numbers = [v.Value.Value for v in values]
        assert {1.0, 2.5, 9.0} <= set(numbers), numbers
        times = [v.SourceTimestamp for v in values]
        assert times == sorted(times), times

        # Pages of two, by continuation.
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified = False
        details.StartTime, details.EndTime, details.NumValuesPerNode, details.ReturnBounds = start, times[-1], 2, False
        pages, point = [], None
        while True:
            result = await level.history_read(details, point)
            result.StatusCode.check()
            got = result.HistoryData.DataValues
            assert len(got) <= 2
            pages += got
            point = result.ContinuationPoint
            if not point:
                break
        assert [v.SourceTimestamp for v in pages] == times[:-1], (pages, values)

        # The newest first, and the bound before the first value.
        now = datetime.datetime.now(datetime.timezone.utc)
        newest = await level.read_raw_history(None, now, numvalues=1, return_bounds=False)
        assert newest[0].SourceTimestamp >= times[-1]
        bounded = await level.read_raw_history(times[1] - datetime.timedelta(milliseconds=1), times[1], return_bounds=True)
        assert bounded[0].SourceTimestamp == times[0] and bounded[-1].SourceTimestamp == times[1], bounded

        await refused(level.write_value(3.0), "BadUserAccessDenied", "BadNotWritable")
        await refused(
            client.get_node(ua.NodeId("tank/level_in", index)).write_value(ua.Variant(3.0, ua.VariantType.Double)),
            "BadUserAccessDenied",
        )


async def doors(port, folder):
    for policy in [policies.SecurityPolicyAes128Sha256RsaOaep, policies.SecurityPolicyAes256Sha256RsaPss]:
        client = await session(port, folder, VIEWER, policy)
        async with client:
            index = await client.get_namespace_index("urn:penstock:tags")
            await client.get_node(ua.NodeId("tank/level", index)).read_value()
    for user in [("zhang", "wrong-password"), ("nobody", "wrong-password"), None]:
        await refused((await session(port, folder, user)).connect())
    await refused((await session(port, folder, VIEWER, None)).connect())
    engineer = await session(port, folder, ENGINEER)
    async with engineer:
        index = await engineer.get_namespace_index("urn:penstock:tags")
        await engineer.get_node(ua.NodeId("tank/factor", index)).write_value(ua.Variant(1.0, ua.VariantType.Double))


async def main(port, folder, what):
    if what == "make":
        await setup_self_signed_certificate(
            folder / "client.pem", folder / "client.der", URI, "127.0.0.1", [ExtendedKeyUsageOID.CLIENT_AUTH],
            {"countryName": "DE", "organizationName": "Penstock tests"},
        )
    elif what == "untrusted":
        await refused((await session(port, folder, OPERATOR)).connect())
    else:
        await look_and_write(port, folder)
        await alarms(port, folder)
        await history(port, folder)
        await doors(port, folder)
    print("well", what)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]))
