#!/usr/bin/env python3
"""Forwards connections to a registry and renames the header by which our clients ask for changes only, so that they are answered in full, as by a
Consul: without_delta.py PORT TARGET. For bench/registry.py; its CPU is nobody's."""
import asyncio
import sys


async def pump(reader, writer, change):
    try:
        while data := await reader.read(1 << 20):
            writer.write(change(data))  # a request is one write of the client's
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(port, target):
    async def serve(reader, writer):
        theirs, ours = await asyncio.open_connection('127.0.0.1', target)
        await asyncio.gather(pump(reader, ours, lambda data: data.replace(b'X-Mesh-Delta', b'X-Mesh-Ignore')), pump(theirs, writer, lambda data: data))

    async with await asyncio.start_server(serve, '127.0.0.1', port) as server:
        await server.serve_forever()


if __name__ == '__main__':
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
