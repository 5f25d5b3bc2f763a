"""A gRPC server of python3-grpcio, without generated code: messages are bytes.

grpc_echo_server.py PORT NAME [CERTIFICATE KEY]: the service test.Echo with Unary, Up (client stream), Down (server stream), Both and Fail.
Fail aborts with the status that its message names, "14"; "14 x3" does so for the first three calls with that text.
"""
import pathlib
import sys
import time
from concurrent import futures

import grpc

calls = {}


def unary(request, context):
    left = context.time_remaining()
    context.set_trailing_metadata((('x-name', sys.argv[2]), ('x-left', '-' if left is None or left > 1e6 else f'{left:.3f}')))
    return request


def up(requests, context):
    return b'+'.join(requests)


def down(request, context):
    for i in range(int(request)):
        yield str(i).encode()


def both(requests, context):
    for request in requests:
        yield b'<' + request + b'>'


def fail(request, context):
    code, _, times = request.decode().partition(' x')
    seen = calls[request] = calls.get(request, 0) + 1
    if times and seen > int(times):
        return b'at last'
    status = next(one for one in grpc.StatusCode if one.value[0] == int(code))
    context.abort(status, f'no {seen}')


def sleep(request, context):
    print('begun', flush=True)
    end = time.monotonic() + float(request)
    while context.is_active() and time.monotonic() < end:
        time.sleep(0.01)
    print('cancelled' if not context.is_active() else 'slept', flush=True)
    return b'slept'


def main():
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler('test.Echo', {
        'Unary': grpc.unary_unary_rpc_method_handler(unary),
        'Up': grpc.stream_unary_rpc_method_handler(up),
        'Down': grpc.unary_stream_rpc_method_handler(down),
        'Both': grpc.stream_stream_rpc_method_handler(both),
        'Fail': grpc.unary_unary_rpc_method_handler(fail),
        'Sleep': grpc.unary_unary_rpc_method_handler(sleep),
    })])
    address = f'127.0.0.1:{sys.argv[1]}'
    if len(sys.argv) > 3:
        certificate, key = (pathlib.Path(name).read_bytes() for name in sys.argv[3:5])
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    print('ready', flush=True)
    server.wait_for_termination()


main()
