"""Reads and writes the simulated Modbus devices with pymodbus and pysunspec2.

modbus_peer.py devices|sunspec <name>=<host>:<port>... [line=<terminal>]
"""

import sys
import time

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

T = ModbusTcpClient.DATATYPE


def tcp(address):
    host, port = address.rsplit(":", 1)
    client = ModbusTcpClient(host, port=int(port), timeout=5, retries=0)
    assert client.connect(), f"no connection to {address}"
    return client


def words(answer):
    assert not answer.isError(), answer
    return answer.registers


def refused(answer, code):
    assert answer.isError() and answer.exception_code == code, answer


def value(registers, kind, order="big"):
    return ModbusTcpClient.convert_from_registers(registers, kind, word_order=order)


def between(low, number, high, what):
    assert low <= number <= high, f"{what} is {number}, expected {low} to {high}"


def meters(client):
    """Units of the gateway: floats high word first, counters low word first."""
    for unit in range(11, 17):
        block = words(client.read_input_registers(0, count=12, device_id=unit))
        between(-1500.0, value(block[0:2], T.FLOAT32), 1500.0, f"power of {unit}")
        between(50_000_000, value(block[4:6], T.UINT32, "little"), 500_000_000, f"energy of {unit}")
        between(3900, block[8], 4100, f"voltage of {unit}")
    refused(client.read_input_registers(12, count=1, device_id=12), 2)
    refused(client.write_register(0, 1, device_id=11), 2)


def devices(at):
    plc = tcp(at["aeration_plc"])
    block = words(plc.read_input_registers(0, count=48, device_id=1))
    between(0.3, value(block[0:2], T.FLOAT32), 5.0, "dissolved oxygen")
    assert not plc.write_register(0, 4500, device_id=1).isError()
    assert words(plc.read_holding_registers(0, count=1, device_id=1)) == [4500]
    refused(plc.write_register(0, 1499, device_id=1), 3)
    flow = ModbusTcpClient.convert_to_registers(1500.0, T.FLOAT32)
    assert not plc.write_registers(10, flow, device_id=1).isError()
    assert value(words(plc.read_holding_registers(10, count=2, device_id=1)), T.FLOAT32) == 1500.0
    assert not plc.write_coil(2, True, device_id=1).isError()
    assert plc.read_coils(0, count=3, device_id=1).bits[2] is True
    assert plc.read_discrete_inputs(0, count=7, device_id=1).bits[6] is True, "in remote"
    refused(plc.read_input_registers(0, count=1, device_id=9), 0x0B)

    pump = tcp(at["heat_pump"])
    refused(pump.read_input_registers(0, count=17, device_id=1), 3)
    refused(pump.write_registers(1, [500], device_id=1), 1)
    block = words(pump.read_input_registers(0, count=15, device_id=1))
    between(20_000_000, value(block[11:13], T.UINT32, "little"), 30_000_000, "heat energy")
    assert not pump.write_register(1, 500, device_id=1).isError()

    meters(tcp(at["power_meters"]))
    for _ in range(2):
        # A pseudo-terminal knows no parity and refuses to be asked for it.
        line = ModbusSerialClient(at["line"], baudrate=19200, timeout=2, retries=0)
        assert line.connect(), "the line does not open"
        meters(line)
        line.close()
    print("devices by TCP and by RTU agree with their maps")


class Step:
    """The lock-step register."""

    def __init__(self, address):
        self.client = tcp(address)
        self.request = 0

    def __call__(self, seconds):
        self.request += 1
        ms = ModbusTcpClient.convert_to_registers(seconds * 1000, T.UINT32)
        assert not self.client.write_registers(0, [*ms, self.request], device_id=1).isError()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            block = words(self.client.read_input_registers(0, count=6, device_id=1))
            if block[0] == self.request and block[5] == 0:
                return value(block[1:5], T.UINT64)
        raise AssertionError("the plant does not advance")


def walk(client, unit):
    """Addresses of the models from "SunS" to the end model."""
    assert words(client.read_holding_registers(40000, count=2, device_id=unit)) == [0x5375, 0x6E53]
    found, at = {}, 40002
    while True:
        model, length = words(client.read_holding_registers(at, count=2, device_id=unit))
        if model == 0xFFFF:
            assert length == 0
            return found
        found[model] = (at, length)
        at += 2 + length


def scaled(client, unit, at, factor_at):
    """A signed value with the scale factor that is read together with it."""
    block = words(client.read_holding_registers(at, count=factor_at - at + 1, device_id=unit))
    return value(block[:1], T.INT16) * 10.0 ** value(block[-1:], T.INT16)


def sunspec(at):
    step = Step(at["lockstep"])
    step(60)
    client = tcp(at["pv_inverter"])
    models = walk(client, 3)
    lengths = {model: length for model, (_, length) in models.items()}
    expected = {1: 66, 103: 50, 120: 26, 121: 30, 122: 44, 123: 24, 701: 153, 702: 50, 703: 17, 704: 65}
    assert lengths == expected, lengths
    assert {model: length for model, (_, length) in walk(client, 240).items()} == {1: 66, 203: 105}

    power_at = models[103][0] + 14
    vendor = value(words(client.read_input_registers(1, count=2, device_id=3)), T.INT32) * 0.001
    free = scaled(client, 3, power_at, power_at + 1)
    between(vendor * 1000 - 60, free, vendor * 1000 + 60, "power in watts")
    between(20_000, free, 600_000, "power at noon")

    # 10 % of 600 kW, reverting after 30 s without a write.
    controls = models[123][0]
    assert not client.write_registers(controls + 5, [1000, 0, 30, 0, 1], device_id=3).isError()
    step(25)
    limited = scaled(client, 3, power_at, power_at + 1)
    between(0, limited, 60_100, "limited power")
    step(40)
    assert words(client.read_holding_registers(controls + 9, count=1, device_id=3)) == [0], "reverted"
    between(limited + 1000, scaled(client, 3, power_at, power_at + 1), 600_000, "power after the reversion")
    refused(client.write_register(controls + 5, 10_001, device_id=3), 3)
    refused(client.write_register(power_at, 1, device_id=3), 2)

    # The other client brings its own definitions of the models.
    host, port = at["pv_inverter"].rsplit(":", 1)
    device = SunSpecModbusClientDeviceTCP(slave_id=3, ipaddr=host, ipport=int(port), timeout=5)
    device.scan()
    assert device.common[0].Mn.value == "Penstock" and device.common[0].SN.value, "identity"
    inverter, der, limit = (device.models[number][0] for number in (103, 701, 704))
    between(0.99 * inverter.W.cvalue - 60, der.W.cvalue, 1.01 * inverter.W.cvalue + 60, "power of 701")
    between(49.9, der.Hz.cvalue, 50.1, "frequency of 701")
    between(220, inverter.PhVphA.cvalue, 240, "voltage to neutral")
    assert inverter.St.value in (4, 5), inverter.St.value
    assert der.TmpSnk.value is None and device.models[120][0].WHRtg.value is None, "not implemented"
    limit.WMaxLimPct.cvalue = 5.0
    limit.WMaxLimPctEna.value = 1
    limit.write()
    step(30)
    der.read()
    between(0, der.W.cvalue, 30_100, "power under the limit of 704")
    assert der.ThrotPct.value == 95 and der.ThrotSrc.value == 1, (der.ThrotPct.value, der.ThrotSrc.value)
    device.close()
    grid = SunSpecModbusClientDeviceTCP(slave_id=240, ipaddr=host, ipport=int(port), timeout=5)
    grid.scan()
    meter = grid.models[203][0]
    gateway = tcp(at["power_meters"])
    kw = value(words(gateway.read_input_registers(0, count=2, device_id=11)), T.FLOAT32)
    between(kw * 1000 - 1000, meter.W.cvalue, kw * 1000 + 1000, "power of the grid meter")
    assert meter.TotWhImp.value > 0
    grid.close()
    print("SunSpec chains, limits with reversion and lock-step hold")


if __name__ == "__main__":
    named = dict(argument.split("=", 1) for argument in sys.argv[2:])
    {"devices": devices, "sunspec": sunspec}[sys.argv[1]](named)
