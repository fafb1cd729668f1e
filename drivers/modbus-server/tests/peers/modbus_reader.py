"""Reads the register map of the Modbus server with pymodbus, and tries to write to it."""

import math
import sys

from pymodbus.client import ModbusTcpClient

client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1]), timeout=10, retries=0)
assert client.connect()
T = ModbusTcpClient.DATATYPE
for read in (client.read_holding_registers, client.read_input_registers):
    registers = read(10, count=5).registers
    assert client.convert_from_registers(registers[0:2], T.FLOAT32) == 2.25, registers
    assert client.convert_from_registers(registers[2:3], T.INT16) == -7, registers
    assert math.isnan(client.convert_from_registers(registers[3:5], T.FLOAT32)), registers
assert client.read_holding_registers(100, count=4).registers == [192, 192, 192, 0]
assert client.read_coils(0, count=1).bits[0] and client.read_discrete_inputs(0, count=1).bits[0]
refused = [
    (client.write_register(10, 1), 1),
    (client.write_registers(10, [1, 2]), 1),
    (client.write_coil(0, False), 1),
    (client.read_holding_registers(200, count=1), 2),
    (client.read_exception_status(), 1),
]
for answer, code in refused:
    assert answer.isError() and answer.exception_code == code, answer
client.close()
