"""Requests that a proxy must not pass on as they are, requests that only look odd, and answers that end too early.

Each is a name and the bytes. What they try: RFC 9112 read strictly, the request smuggling and desynchronisation forms
published since 2005 (CL.TE, TE.CL, TE.TE, CL.0, chunk lines, line ends, names, targets), and numbers as other
languages parse them.
"""
import pathlib
import sys

H = b'Host: a\r\n'
NEXT = b'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'


def get(fields=b'', line=b'GET / HTTP/1.1', host=H):
    return line + b'\r\n' + host + fields + b'\r\n'


def post(fields, body=b'', line=b'POST / HTTP/1.1'):
    return line + b'\r\n' + H + fields + b'\r\n' + body


def chunked(body, fields=b''):
    return post(b'Transfer-Encoding: chunked\r\n' + fields, body)


def transfer_encoding(value, body=b'0\r\n\r\n'):
    return post(b'Transfer-Encoding: ' + value + b'\r\n', body)


def length(value, body=b'abcde'):
    return post(b'Content-Length: ' + value + b'\r\n', body)


def _lines():
    """The first line."""
    for name, line in (
        ('two blanks', b'GET  / HTTP/1.1'), ('tab for blank', b'GET\t/\tHTTP/1.1'), ('blank before', b' GET / HTTP/1.1'),
        ('blank behind', b'GET / HTTP/1.1 '), ('no version', b'GET /'), ('no target', b'GET HTTP/1.1'), ('a fourth word', b'GET / x HTTP/1.1'),
        ('version 1', b'GET / HTTP/1'), ('version 1.', b'GET / HTTP/1.'), ('version 1.x', b'GET / HTTP/1.x'), ('version 1.10', b'GET / HTTP/1.10'),
        ('version 01.1', b'GET / HTTP/01.1'), ('version 1,1', b'GET / HTTP/1,1'), ('version 5.6', b'GET / HTTP/5.6'), ('lower case', b'GET / http/1.1'),
        ('another protocol', b'GET / ICE/1.0'), ('prefixed protocol', b'GET / IHTTP/1.1'), ('returns in the version', b'GET / HTTP/\r\r1.1'),
        ('bell in the method', b'G\x07T / HTTP/1.1'), ('at sign in the method', b'G@T / HTTP/1.1'), ('quoted method', b'"GET" / HTTP/1.1'),
        ('brackets in the method', b'G[E]T / HTTP/1.1'), ('colon in the method', b'GET: / HTTP/1.1'), ('zero in the method', b'GE\0T / HTTP/1.1'),
        ('method with umlaut', b'G\xc3\x84T / HTTP/1.1'), ('relative target', b'GET a HTTP/1.1'), ('exclamation target', b'GET ! HTTP/1.1'),
        ('zero in the target', b'GET /a\0b HTTP/1.1'), ('bell in the target', b'GET /a\x07b HTTP/1.1'), ('delete in the target', b'GET /a\x7fb HTTP/1.1'),
        ('form feed in the target', b'GET /a\x0cb HTTP/1.1'), ('return in the target', b'GET /a\rb HTTP/1.1'), ('line feed in the target', b'GET /a\nb HTTP/1.1'),
        ('target and bare line feed', b'GET /\nHTTP/1.1'), ('asterisk with GET', b'GET * HTTP/1.1'), ('high bytes in the target', b'GET /\xff\xfe HTTP/1.1'),
        ('userinfo in the target', b'GET http://u@a/ HTTP/1.1'), ('another host in the target', b'GET http://b/ HTTP/1.1'),
        ('target without authority', b'GET http:/// HTTP/1.1'), ('port that is no number', b'GET http://a:x/ HTTP/1.1'),
    ):
        yield 'line: ' + name, get(line=line)


def _fields():
    """Field lines and Host."""
    for name, line in (
        ('blank before colon', b'X : y\r\n'), ('tab before colon', b'X\t: y\r\n'), ('length with blank before colon', b'Content-Length : 5\r\n'),
        ('coding with blank before colon', b'Transfer-Encoding : chunked\r\n'), ('coding with tab before colon', b'Transfer-Encoding\t: chunked\r\n'),
        ('no colon', b'nonsense\r\n'), ('no name', b': y\r\n'), ('only a colon', b':\r\n'), ('obs-fold', b'X: a\r\n b\r\n'), ('obs-fold by tab', b'X: a\r\n\tb\r\n'),
        ('obs-fold hiding a length', b'X: a\r\n Content-Length: 5\r\n'), ('obs-fold of the name', b'X\r\n : y\r\n'), ('blank first field', b' X: y\r\n'),
        ('at sign in a name', b'X@Y: z\r\n'), ('bracket in a name', b'X(Y: z\r\n'), ('slash in a name', b'X/Y: z\r\n'), ('blank in a name', b'X Y: z\r\n'),
        ('quote in a name', b'"X": z\r\n'), ('zero in a name', b'X\0Y: z\r\n'), ('vertical tab in a name', b'Transfer\x0bEncoding: chunked\r\n'),
        ('control bytes in a name', b'\x01\x02\x1f: z\r\n'), ('high byte in a name', b'\xefoo: z\r\n'), ('soft hyphen in a name', b'Content\xadLength: 5\r\n'),
        ('delete in a name', b'X\x7f: z\r\n'), ('zero in a value', b'X: a\0b\r\n'), ('form feed in a value', b'X: a\x0cb\r\n'), ('vertical tab in a value', b'X: a\x0bb\r\n'),
        ('bell in a value', b'X: a\x07b\r\n'), ('escape in a value', b'X: a\x1b[0m\r\n'), ('delete in a value', b'X: a\x7fb\r\n'), ('backspace in a value', b'X: a\x08b\r\n'),
        ('return in a value', b'X: a\rb\r\n'), ('return hiding a length', b'X: a\rContent-Length: 5\r\n'), ('return before the colon', b'X\r: a\r\n'),
        ('line feed in a value', b'X: a\nY: b\r\n'), ('line feed hiding a coding', b'X: a\nTransfer-Encoding: chunked\r\n'), ('zero and return', b'X: v\0\ralue\r\n'),
        ('return then letters for the end', b'\rZGET /smuggled HTTP/1.1\r\n'), ('two returns', b'X: a\r\r\n'),
        ('empty value then return', b'X:\rTransfer-Encoding: chunked\r\n'),
    ):
        yield 'field: ' + name, get(line)
    yield 'host: none', get(host=b'')
    for name, host in (
        ('twice', b'Host: a\r\nHost: a\r\n'), ('twice, different', b'Host: a\r\nHost: b\r\n'), ('list', b'Host: a, b\r\n'), ('blank inside', b'Host: a b\r\n'),
        ('with a path', b'Host: a/b\r\n'), ('with userinfo', b'Host: u@a\r\n'), ('with a query', b'Host: a?b\r\n'), ('bad port', b'Host: a:port\r\n'),
        ('zero inside', b'Host: a\0b\r\n'), ('bracket open', b'Host: [::1\r\n'), ('folded', b'Host:\r\n a\r\n'), ('quoted', b'Host: "a"\r\n'),
    ):
        yield 'host: ' + name, get(host=host)
    yield 'ends: line feeds only', b'GET / HTTP/1.1\nHost: a\n\n'
    yield 'ends: line feed after the line', b'GET / HTTP/1.1\n' + H + b'\r\n'
    yield 'ends: line feed after a field', b'GET / HTTP/1.1\r\nHost: a\n\r\n'
    yield 'ends: line feed for the empty line', b'GET / HTTP/1.1\r\nHost: a\r\n\n'
    yield 'ends: returns only', b'GET / HTTP/1.1\rHost: a\r\r'


def _framing():
    """How long the body is."""
    for name, value in (
        ('plus', b'+5'), ('minus', b'-5'), ('minus zero', b'-0'), ('hexadecimal', b'0x5'), ('underscore', b'1_0'), ('decimal point', b'5.0'), ('exponent', b'5e0'),
        ('letters behind', b'5abc'), ('empty', b''), ('list of the same', b'5, 5'), ('list of different', b'5, 6'), ('trailing comma', b'5,'), ('leading comma', b',5'),
        ('blank inside', b'5 5'), ('quoted', b'"5"'), ('too large', b'18446744073709551621'), ('far too large', b'9' * 60), ('form feed before', b'\x0c5'),
        ('no-break space before', b'\xa05'), ('arabic digit', b'\xd9\xa5'),
        ('tab behind', b'5\t'),
    ):
        yield 'length: ' + name, length(value)
    yield 'length: twice, different', post(b'Content-Length: 5\r\nContent-Length: 6\r\n', b'abcdef')
    yield 'length: three times', post(b'Content-Length: 5\r\n' * 2 + b'Content-Length: 0\r\n', b'abcde')
    both = b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'
    yield 'both: length first', post(both, b'0\r\n\r\n' + NEXT)
    yield 'both: coding first', post(b'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', b'0\r\n\r\n' + NEXT)
    yield 'both: unknown coding', post(b'Content-Length: 5\r\nTransfer-Encoding: x\r\n', b'abcde')
    yield 'both: empty coding', post(b'Transfer-Encoding:\r\nContent-Length: 5\r\n', b'abcde')
    yield 'both: bad length', post(b'Content-Length: x\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n')
    for name, value in (
        ('unknown', b'pigeons'), ('empty', b''), ('identity', b'identity'), ('twice in a list', b'chunked, chunked'), ('not last', b'chunked, gzip'),
        ('chunked and identity', b'chunked, identity'), ('quoted', b'"chunked"'), ('letters behind', b'chunkedX'), ('letters before', b'xchunked'),
        ('no-break spaces', b'\xa0chunked\xa0'), ('vertical tab', b'\x0bchunked'), ('zero behind', b'chunked\0'), ('parameter', b'chunked;a=b'), ('colon before', b': chunked'),
        ('folded', b'\r\n chunked'), ('comma only', b','), ('next line byte', b'\x85chunked'),
        ('tab behind', b'chunked\t'),
    ):
        yield 'coding: ' + name, transfer_encoding(value)
    yield 'coding: two fields', post(b'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n')
    yield 'coding: two fields, the second unknown', post(b'Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n', b'0\r\n\r\n')
    yield 'coding: two fields, the first identity', post(b'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n')
    yield 'coding: in HTTP/1.0', post(b'Transfer-Encoding: chunked\r\n', b'0\r\n\r\n', line=b'POST / HTTP/1.0')


def _chunks():
    """Chunk lines, chunk ends and trailers."""
    for name, body in (
        ('0x before the size', b'0x3\r\nabc\r\n0\r\n\r\n'), ('minus', b'-3\r\nabc\r\n0\r\n\r\n'), ('plus', b'+3\r\nabc\r\n0\r\n\r\n'), ('underscore', b'0_3\r\nabc\r\n0\r\n\r\n'),
        ('blank before', b' 3\r\nabc\r\n0\r\n\r\n'), ('blank behind', b'3 \r\nabc\r\n0\r\n\r\n'), ('tab behind', b'3\t\r\nabc\r\n0\r\n\r\n'), ('letters', b'xyz\r\nabc\r\n0\r\n\r\n'),
        ('letters behind a blank', b'3 xyz\r\nabc\r\n0\r\n\r\n'), ('empty size', b'\r\nabc\r\n0\r\n\r\n'), ('empty size instead of zero', b'\r\n\r\n'), ('size over 64 bits', b'10000000000000003\r\nabc\r\n0\r\n\r\n'),
        ('size of 16 f', b'ffffffffffffffff\r\nabc\r\n0\r\n\r\n'), ('line feed after the size', b'3\nabc\r\n0\r\n\r\n'), ('line feed after the data', b'3\r\nabc\n0\r\n\r\n'),
        ('line feed after zero', b'3\r\nabc\r\n0\n\r\n'), ('no line end after the data', b'3\r\nabc0\r\n\r\n'), ('data too long', b'3\r\nabcd\r\n0\r\n\r\n'), ('data too short', b'3\r\nab\r\n0\r\n\r\n'),
        ('return in the size', b'3\rabc\r\n0\r\n\r\n'), ('zero byte in the size', b'3\0\r\nabc\r\n0\r\n\r\n'), ('return in an extension', b'3;a\rb\r\nabc\r\n0\r\n\r\n'), ('line feed in an extension', b'3;a\nb\r\nabc\r\n0\r\n\r\n'),
        ('zero byte in an extension', b'3;a\0\r\nabc\r\n0\r\n\r\n'), ('open quote in an extension', b'3;a="b\r\nabc\r\n0\r\n\r\n'), ('semicolon only', b'3;\r\nabc\r\n0\r\n\r\n'),
        ('length as a trailer', b'0\r\nContent-Length: 5\r\n\r\n'), ('coding as a trailer', b'0\r\nTransfer-Encoding: chunked\r\n\r\n'), ('host as a trailer', b'0\r\nHost: b\r\n\r\n'),
        ('trailer without colon', b'0\r\nnonsense\r\n\r\n'), ('trailer folded', b'0\r\nX: a\r\n b\r\n\r\n'), ('trailer with blank before colon', b'0\r\nX : a\r\n\r\n'),
        ('trailer with zero', b'0\r\nX: a\0\r\n\r\n'), ('trailer with line feed', b'0\r\nX: a\nY: b\r\n\r\n'), ('trailer ended by line feed', b'0\r\nX: a\r\n\n'), ('data after a zero with letters', b'0x\r\n\r\n'),
    ):
        yield 'chunk: ' + name, chunked(body)


def _unfinished():
    """The caller stops in the middle: whatever comes of it, the endpoint must not take it for a whole request."""
    yield 'unfinished: line', b'GET / HTT'
    yield 'unfinished: head', b'GET / HTTP/1.1\r\nHost: a\r\n'
    yield 'unfinished: body', length(b'50', b'abcde')
    yield 'unfinished: chunk', chunked(b'a\r\nabc')
    yield 'unfinished: no last chunk', chunked(b'3\r\nabc\r\n')
    yield 'unfinished: no end of trailers', chunked(b'3\r\nabc\r\n0\r\nX: y\r\n')


MALFORMED = [*_lines(), *_fields(), *_framing(), *_chunks()]
UNFINISHED = list(_unfinished())


def _odd():
    for name, line in (
        ('OPTIONS *', b'OPTIONS * HTTP/1.1'), ('absolute target', b'GET http://a/x HTTP/1.1'), ('absolute target, upper case', b'GET HTTP://A/x HTTP/1.1'),
        ('absolute without path', b'GET http://a HTTP/1.1'), ('unknown method', b'BREW /x HTTP/1.1'), ('method of odd letters', b"X!#$%&'*+-.^_`|~9 /x HTTP/1.1"), ('lower case method', b'get /x HTTP/1.1'),
        ('WebDAV', b'PROPFIND /x HTTP/1.1'), ('M-SEARCH', b'M-SEARCH /x HTTP/1.1'), ('QUERY', b'QUERY /x HTTP/1.1'), ('empty query', b'GET /x? HTTP/1.1'), ('question marks', b'GET /x?a?b=??c HTTP/1.1'),
        ('encoded slash', b'GET /a%2fb HTTP/1.1'), ('double slash', b'GET /a//b HTTP/1.1'), ('brackets in the query', b'GET /x?a[]=1&b[c]=2 HTTP/1.1'), ('semicolons', b'GET /x;a=b;c HTTP/1.1'),
        ('quotes', b"GET /x?'a'=\"b\" HTTP/1.1"), ('bars and braces', b'GET /x?a|b{c} HTTP/1.1'), ('long target', b'GET /' + b'x' * 4000 + b' HTTP/1.1'), ('tilde and friends', b"GET /~a/!$&'()*+,;=:@ HTTP/1.1"),
        ('HTTP/1.0', b'GET /x HTTP/1.0'),
    ):
        host = b'Host: a:80\r\n' if name == 'OPTIONS *' else H
        yield 'line: ' + name, get(line=line, host=host)
    for name, line in (
        ('no blank after colon', b'X:y\r\n'), ('many blanks', b'X: \t  y \t \r\n'), ('empty value', b'X:\r\n'), ('only blanks', b'X:   \r\n'), ('tab inside', b'X: a\tb\r\n'), ('high bytes', b'X: D\xc3\xbcsseldorf \xff\r\n'),
        ('odd letters in a name', b"!#$%&'*+-.^_`|~9: y\r\n"), ('digits for a name', b'1: y\r\n'), ('colons in the value', b'X: :a:b::\r\n'), ('the same twice', b'X: a\r\nX: b\r\n'), ('long value', b'X: ' + b'y' * 5000 + b'\r\n'),
        ('fifty fields', b''.join(b'X%d: y\r\n' % i for i in range(50))), ('upper case', b'ACCEPT: */*\r\n'), ('keep-alive', b'Connection: Keep-Alive\r\n'), ('close', b'Connection: close\r\n'),
        ('odd connection options', b'Connection: , x-a ,,x-b\r\nX-A: 1\r\nX-B: 2\r\n'), ('cookies twice', b'Cookie: a=1\r\nCookie: b=2\r\n'), ('te trailers', b'TE: trailers\r\nConnection: TE\r\n'),
        ('underscore in a name', b'X_Y: z\r\n'),
    ):
        yield 'field: ' + name, get(line, line=b'GET /x HTTP/1.1')
    yield 'host: with a port', get(host=b'Host: a:8080\r\n')
    yield 'host: IPv6', get(host=b'Host: [::1]:80\r\n')
    yield 'host: upper case', get(host=b'HOST: A.Example\r\n')
    yield 'host: HTTP/1.0 without', b'GET /x HTTP/1.0\r\n\r\n'
    yield 'host: not first', b'GET /x HTTP/1.1\r\nA: b\r\nHost: a\r\n\r\n'
    yield 'empty line before', b'\r\n' + get()
    yield 'length: zero', length(b'0', b'')
    yield 'length: leading zeros', length(b'005')
    yield 'length: of a GET', b'GET /x HTTP/1.1\r\n' + H + b'Content-Length: 5\r\n\r\nabcde'
    yield 'length: tab before', post(b'Content-Length:\t5\r\n', b'abcde')
    yield 'coding: upper case', transfer_encoding(b'Chunked', b'3\r\nabc\r\n0\r\n\r\n')
    yield 'chunk: upper case size', chunked(b'A\r\n0123456789\r\n0\r\n\r\n')
    yield 'chunk: leading zeros', chunked(b'0003\r\nabc\r\n000\r\n\r\n')
    yield 'chunk: trailers', chunked(b'3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n')
    yield 'chunk: extension', chunked(b'3;a=b\r\nabc\r\n0\r\n\r\n')


ODD = list(_odd())

# What an endpoint sends before it closes, and whether a caller could take it for whole.
OK = b'HTTP/1.1 200 OK\r\n'
CUT_ANSWERS = [
    ('nothing', b''),
    ('half a status line', b'HTTP/1.1 20'),
    ('half a head', OK + b'Content-Le'),
    ('a head without end', OK + b'Content-Length: 5\r\n'),
    ('no byte of a body', OK + b'Content-Length: 5\r\n\r\n'),
    ('half a body', OK + b'Content-Length: 10\r\n\r\nabcde'),
    ('a head and no chunk', OK + b'Transfer-Encoding: chunked\r\n\r\n'),
    ('half a chunk line', OK + b'Transfer-Encoding: chunked\r\n\r\n1'),
    ('half a chunk', OK + b'Transfer-Encoding: chunked\r\n\r\na\r\nabcde'),
    ('no last chunk', OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n'),
    ('half of the last chunk', OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n'),
    ('half a trailer', OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n'),
]
# What is no answer at all, or two at once: a 502, whoever asks.
BAD_ANSWERS = [
    ('another protocol', b'SSH-2.0-OpenSSH_9.2\r\n'),
    ('two lengths', OK + b'Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef'),
    ('length and coding', OK + b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ('unknown coding', OK + b'Transfer-Encoding: x\r\n\r\nabc'),
    ('folded field', OK + b'X: a\r\n b\r\nContent-Length: 0\r\n\r\n'),
    ('zero in a field', OK + b'X: a\0b\r\nContent-Length: 0\r\n\r\n'),
    ('return in a field', OK + b'X: a\rb\r\nContent-Length: 0\r\n\r\n'),
    ('status of two digits', b'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'),
    ('status 099', b'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n'),
    ('length that is no number', OK + b'Content-Length: x\r\n\r\nabc'),
    ('bad chunk size', OK + b'Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n'),
]


def samples():
    """All of it as (kind, bytes), with answers that are whole."""
    for _, sent in [*MALFORMED, *ODD, *UNFINISHED]:
        yield 'request', sent
    for _, answer in [*CUT_ANSWERS, *BAD_ANSWERS]:
        if answer:
            yield 'response', answer
    for head, body in (
        (b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n', b'abcde'), (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n', b'5\r\nabcde\r\n0\r\nX: y\r\n\r\n'),
        (b'HTTP/1.1 200 OK\r\nConnection: close\r\n', b'abcde'), (b'HTTP/1.0 200 OK\r\n', b'abcde'), (b'HTTP/1.1 204 No Content\r\n', b''),
        (b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n', b''), (b'HTTP/1.1 100 Continue\r\n', b''), (b'HTTP/1.1 404 \r\nContent-Length: 0\r\n', b''),
        (b'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n', b''), (b'HTTP/1.1 599 \xe4\t!\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n', b''),
    ):
        yield 'response', head + b'\r\n' + body


if __name__ == '__main__':  # for tests/differential: as lines, or each as a file of a folder
    for number, (kind, sample) in enumerate(samples()):
        if len(sys.argv) > 1:
            pathlib.Path(sys.argv[1], str(number)).write_bytes(sample)
        else:
            print(kind, sample.hex())
