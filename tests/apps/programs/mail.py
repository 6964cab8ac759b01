"""Sends or receives through a Kombu queue: `mail.py send URL WHO COUNT`, `mail.py receive URL`."""

import sys
import time

from kombu import Connection

STOP = "stop"


def send(url: str, who: str, count: int) -> None:
    """Put numbered messages into the queue."""
    with Connection(f"sqla+{url}") as connection, connection.SimpleQueue("mail") as queue:
        for number in range(count):
            queue.put([who, number])


def receive(url: str) -> None:
    """Print each message on a line, until one says stop."""
    with Connection(f"sqla+{url}") as connection, connection.SimpleQueue("mail") as queue:
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                time.sleep(0.02)
                continue
            message.ack()
            if message.payload[0] == STOP:
                return
            print(*message.payload, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        receive(sys.argv[2])
