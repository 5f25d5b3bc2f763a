"""What became of each request of a corpus that was sent through a proxy to a StrictOrigin."""
from clients import RawClient

QUIET_SECONDS = 1.0  # without an answer for so long: none will come


class Verdicts:
    """Names by verdict. `unsafe`: the endpoint got what another reader might read differently, or a whole request for half a one.

    `end`: the caller finishes its side, as one that was cut off does.
    """

    def __init__(self, port, origin, corpus, end=False):
        self.rejected, self.passed, self.unanswered, self.unsafe = [], [], [], []
        origin.take()
        for name, sent in corpus:
            answer = self._ask(port, sent, end)
            requests, unsafe, _ = origin.take()
            smuggled = [request for request in requests if b'smuggled' in request[1]]
            if unsafe or smuggled:
                self.unsafe.append((name, unsafe or smuggled))
            elif answer[:8] in (b'HTTP/1.1', b'HTTP/1.0') and answer[9:10] in (b'4', b'5') or answer.startswith(b'<html>'):
                self.rejected.append(name)
            elif b'x-origin: strict' in answer.lower() or answer == b'ok':  # HTTP/0.9 has no head
                self.passed.append(name)
            elif requests:
                self.unsafe.append((name, f'forwarded whole, and no answer: {requests!r}'))
            else:
                self.unanswered.append(name)

    @staticmethod
    def _ask(port, sent, end):
        with RawClient(port, timeout=QUIET_SECONDS) as client:
            try:
                client.send(sent)
                if end:
                    client.end()
                while not client.received.endswith(b'ok') and client.more():
                    pass
            except (AssertionError, OSError):
                pass  # closed before all was sent, or nothing more comes
            return client.received

    def __str__(self):
        return f'{len(self.rejected)} rejected, {len(self.passed)} passed, {len(self.unanswered)} without an answer, {len(self.unsafe)} unsafe'
