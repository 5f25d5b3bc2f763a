"""One HTTP request at a time, and waiting for an answer."""
import http.client
import json
import urllib.parse

from programs import until


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode(errors='replace')

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'<{self.status} {self.body[:200]!r}>'


def request(method, url, body=None, headers=None, timeout=5.0):
    """One HTTP request on a connection of its own. OSError and http.client.HTTPException are the caller's."""
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=timeout)
    try:
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, at.path + (f'?{at.query}' if at.query else '') or '/', body, headers or {})
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def get(url, **more):
    return request('GET', url, **more)


def put(url, body=b'', **more):
    return request('PUT', url, body=body, **more)


def wait_http(url, predicate=lambda answer: answer.status == 200, deadline=10.0, process=None):
    """The first answer that satisfies the predicate; connection errors count as 'not yet'.

    With a process, its end is a failure at once, with its log.
    """
    last = None

    def ready():
        nonlocal last
        if process:
            process.must_run()
        try:
            last = get(url, timeout=min(deadline, 2.0))
        except (OSError, http.client.HTTPException) as error:
            last = error
            return None
        return last if predicate(last) else None

    try:
        return until(ready, deadline, url)
    except AssertionError as error:
        log = f'\n{process.tail()}' if process and process.exit_code() is None else ''  # else the error has it
        raise AssertionError(f'{error}; last answer: {last!r}{log}') from None
