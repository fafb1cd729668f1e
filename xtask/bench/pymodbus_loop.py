"""A loop of pymodbus over the same registers: every float of every device once per period, one device after the other.

pymodbus_loop.py <seconds> <floats per device> <period in ms> <port>...
prints: row <values per second> <processor in percent of a core> <memory in MB>
"""

import resource
import struct
import sys
import time

from pymodbus.client import ModbusTcpClient

seconds, floats, period = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1e3
clients = [ModbusTcpClient("127.0.0.1", port=int(port), timeout=10) for port in sys.argv[4:]]
for client in clients:
    assert client.connect()
begun, used = time.monotonic(), time.process_time()
following, values = begun, 0
while time.monotonic() - begun < seconds:
    for client in clients:
        for at in range(0, floats * 2, 124):
            count = min(124, floats * 2 - at)
            words = client.read_holding_registers(at, count=count, device_id=1).registers
            values += len(struct.unpack(f">{count // 2}f", struct.pack(f">{count}H", *words)))
            if time.monotonic() - begun >= seconds:
                break
    following += period
    left = following - time.monotonic()
    if left > 0:
        time.sleep(left)
    else:
        following = time.monotonic()
wall = time.monotonic() - begun
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(f"row\t{values / wall:.0f}\t{(time.process_time() - used) / wall * 100:.1f}\t{memory:.0f}")
