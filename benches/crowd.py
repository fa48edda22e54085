#!/usr/bin/env python3
"""Thousands of slow clients of one address: heads and bodies that come byte by byte, streams that nobody reads.

    benches/crowd.py PORT [CLIENTS]

Says `ready` when all are there, and comes back with whoever is turned away, until it is killed.
"""

import resource
import selectors
import socket
import sys
import time

PORT, CLIENTS = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5000
DRIP_EVERY = 8.0
BODY = b'{"model":"mock","stream":true,"messages":[{"role":"user","content":"hello"}]}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n"
HEAD = POST + b"x-slow: "
LATE = POST + b"content-length: 100000\r\n\r\n{"
DEAF = POST + b"x-mock: tokens=100000,itl_us=1000000\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


def connect(first):
    client = socket.create_connection(("127.0.0.1", PORT))
    client.setblocking(False)
    try:
        client.send(first)
    except OSError:
        pass
    return client


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    firsts = [DEAF if at % 25 == 0 else HEAD if at % 2 else LATE for at in range(CLIENTS)]
    slow, watch = {}, selectors.DefaultSelector()

    def enter(first):
        client = connect(first)
        if first is not DEAF:
            slow[client] = first
            watch.register(client, selectors.EVENT_READ)
        return client

    deaf = [enter(first) for first in firsts]
    print("ready", flush=True)
    next_drip = time.monotonic() + DRIP_EVERY
    while deaf:
        for key, _ in watch.select(max(0.0, next_drip - time.monotonic())):
            # An answer to what is slow is that it is turned away.
            client = key.fileobj
            watch.unregister(client)
            first = slow.pop(client)
            client.close()
            enter(first)
        if time.monotonic() >= next_drip:
            next_drip += DRIP_EVERY
            for client in list(slow):
                try:
                    client.send(b"a")
                except OSError:
                    pass


if __name__ == "__main__":
    main()
