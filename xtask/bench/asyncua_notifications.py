"""How many notifications a second asyncua takes from the same server.

asyncua_notifications.py <endpoint> <nodes> <seconds>
prints: row <notifications per second> <processor in percent of a core>
"""

import asyncio
import logging
import sys
import time

from asyncua import Client

logging.disable(logging.WARNING)


class Counter:
    def __init__(self):
        self.count = 0

    def datachange_notification(self, node, value, data):
        self.count += 1


async def main():
    endpoint, nodes, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    async with Client(endpoint, timeout=30) as client:
        namespace = await client.get_namespace_index("urn:penstock:bench")
        counter = Counter()
        subscription = await client.create_subscription(100, counter)
        every = [client.get_node(f"ns={namespace};s=N{n}") for n in range(nodes)]
        for first in range(0, nodes, 500):
            await subscription.subscribe_data_change(every[first : first + 500])
        await asyncio.sleep(5)
        counted, used, begun = counter.count, time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        wall = time.monotonic() - begun
        per_second, cpu = (counter.count - counted) / wall, (time.process_time() - used) / wall * 100
        print(f"row\t{per_second:.0f}\t{cpu:.1f}", flush=True)
        await subscription.delete()


asyncio.run(main())
