"""A TCP server for scenarios, with knobs: greets first if told to, echoes, ends when its caller has ended."""
import socket
import threading

from programs import free_port


class TcpServer:
    def __init__(self, greeting=b'', farewell=b'', echo=True, host='127.0.0.1', port=None):
        self.greeting, self.farewell, self.echo = greeting, farewell, echo
        self.connections = 0
        self.received = 0
        self._open = set()
        self._listener = socket.create_server((host, port or free_port()), family=socket.AF_INET6 if ':' in host else socket.AF_INET)
        self.port = self._listener.getsockname()[1]
        self.address = f'{host}:{self.port}'
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # twice
        self._listener.close()
        for one in list(self._open):
            self._end(one)

    def reset_all(self):
        for one in list(self._open):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            one.shutdown(socket.SHUT_RD)  # wakes its thread, which closes it

    @staticmethod
    def _end(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                connection.sendall(self.greeting)
                while data := connection.recv(1 << 18):
                    self.received += len(data)
                    if self.echo:
                        connection.sendall(data)
                connection.sendall(self.farewell)
        except OSError:
            pass  # the peer was faster
        finally:
            self._open.discard(connection)
