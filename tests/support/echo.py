"""A scripted engine behind a gate."""

from __future__ import annotations

import socket
import threading
import uuid


class EchoEngine:
    """Echoes what it gets at an abstract socket, and keeps all of it."""

    def __init__(self) -> None:
        self.name = f"@test-{uuid.uuid4().hex}"
        self.got: list[bytes] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(f"\0{self.name[1:]}")
        self._server.listen()
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self._peers.append(peer)
            threading.Thread(target=self._echo, args=[peer], daemon=True).start()

    def _echo(self, peer: socket.socket) -> None:
        try:
            while chunk := peer.recv(65536):
                self.got.append(chunk)
                peer.sendall(chunk)
        except OSError:
            return

    def hang_up(self) -> None:
        """Drop every connection."""
        for peer in self._peers:
            peer.shutdown(socket.SHUT_RDWR)
            peer.close()

    def close(self) -> None:
        """Stop listening and drop what is open."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()
        for peer in self._peers:
            peer.close()
