"""A Sparkplug host, made of paho-mqtt and the Eclipse Tahu schema as pysparkplug compiles it: it shares no line with the
edge node that is tested.

Every message of the namespace goes to the standard output as one line of JSON. Lines of JSON on the standard input are
published: {"state": <host>, "online": true, "timestamp": 1} or {"command": <topic>, "metrics": [{"name": ..., "double": 1}]}.
"""

import json
import sys
import time

import paho.mqtt.client as mqtt
from pysparkplug._protobuf import Payload

PROPERTY = {3: "int_value", 4: "long_value", 10: "double_value", 11: "boolean_value", 12: "string_value"}


def metric(m):
    told = {"historical": m.is_historical, "null": m.is_null}
    for field in ("name", "alias", "timestamp", "datatype"):
        if m.HasField(field):
            told[field] = getattr(m, field)
    which = m.WhichOneof("value")
    if which:
        told[which] = getattr(m, which)
    properties = zip(m.properties.keys, m.properties.values)
    told["properties"] = {key: getattr(value, PROPERTY[value.type]) for key, value in properties}
    return told


def on_message(_client, _data, message):
    told = {"topic": message.topic, "retain": bool(message.retain)}
    if "/STATE/" not in message.topic:
        payload = Payload()
        payload.ParseFromString(message.payload)
        told["seq"] = payload.seq if payload.HasField("seq") else None
        told["metrics"] = [metric(m) for m in payload.metrics]
    print(json.dumps(told), flush=True)


def on_subscribe(_client, _data, _mid, _granted):
    print(json.dumps({"topic": "listening"}), flush=True)


def on_connect(client, _data, _flags, code):
    assert code == 0, f"the broker refuses: {code}"
    client.subscribe("spBv1.0/#", qos=1)


def command(order):
    payload = Payload(timestamp=int(time.time() * 1000))
    for wish in order["metrics"]:
        m = payload.metrics.add()
        m.name = wish["name"]
        if "double" in wish:
            m.datatype, m.double_value = 10, wish["double"]
        if "boolean" in wish:
            m.datatype, m.boolean_value = 11, wish["boolean"]
    return payload.SerializeToString()


def main():
    client = mqtt.Client(client_id="host", clean_session=True)
    client.on_connect, client.on_message, client.on_subscribe = on_connect, on_message, on_subscribe
    client.reconnect_delay_set(min_delay=1, max_delay=1)
    # The broker may still be starting.
    for _ in range(100):
        try:
            client.connect("127.0.0.1", int(sys.argv[1]))
            break
        except OSError:
            time.sleep(0.1)
    client.loop_start()
    for line in sys.stdin:
        order = json.loads(line)
        if "state" in order:
            body = json.dumps({"online": order["online"], "timestamp": order["timestamp"]})
            client.publish(f"spBv1.0/STATE/{order['state']}", body, qos=1, retain=True)
        else:
            client.publish(order["command"], command(order), qos=0)
    client.disconnect()


if __name__ == "__main__":
    main()
