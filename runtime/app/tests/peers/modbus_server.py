"""A Modbus TCP server of pymodbus: holding registers 0 to 99 with known values; prints `ready <port>`, ends with its input."""

import asyncio
import struct
import sys

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer


def words():
    block = [0] * 100
    # 12.5 as a single at 0, high word first; the same at 10 with its words swapped; a double at 20.
    block[0:2] = struct.unpack(">HH", struct.pack(">f", 12.5))
    block[10:12] = struct.unpack(">HH", struct.pack(">f", 12.5))[::-1]
    block[20:24] = struct.unpack(">HHHH", struct.pack(">d", -2.25))
    return block


async def main():
    # A block of pymodbus counts its places from 1.
    block = ModbusSequentialDataBlock(1, words())
    device = ModbusDeviceContext(hr=block, ir=block)
    identity = ModbusDeviceIdentification(info_name={"VendorName": "Peer", "ProductCode": "P1", "MajorMinorRevision": "1"})
    context = ModbusServerContext(devices={3: device}, single=False)
    server = ModbusTcpServer(context, identity=identity, address=("127.0.0.1", 0))
    running = asyncio.create_task(server.serve_forever())
    while not (server.transport and server.transport.sockets):
        await asyncio.sleep(0.02)
    print("ready", server.transport.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.shutdown()
    running.cancel()


asyncio.run(main())
