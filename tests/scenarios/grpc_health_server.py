"""A gRPC server of python3-grpcio that answers grpc.health.v1.Health/Check with what a file says.

grpc_health_server.py PORT STATUS_FILE [CERTIFICATE KEY CLIENT_CA]: the file holds a number of HealthCheckResponse.ServingStatus;
the service "shop.Cart" and "" are known. With a client CA, callers must show a certificate.
"""
import pathlib
import sys
from concurrent import futures

import grpc


def check(request, context):
    name = request[2:].decode() if request else ''  # field 1, a string under 128 bytes
    if name not in ('', 'shop.Cart'):
        context.abort(grpc.StatusCode.NOT_FOUND, 'unknown service: ' + name)
    return bytes([0x08, int(pathlib.Path(sys.argv[2]).read_text())])


def main():
    port = int(sys.argv[1])
    server = grpc.server(futures.ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(check)  # without serializers: bytes
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler('grpc.health.v1.Health', {'Check': handler})])
    if len(sys.argv) > 3:
        certificate, key, authority = (pathlib.Path(path).read_bytes() for path in sys.argv[3:6])
        server.add_secure_port(f'127.0.0.1:{port}', grpc.ssl_server_credentials([(key, certificate)], authority, True))
    else:
        server.add_insecure_port(f'127.0.0.1:{port}')
    server.start()
    print('ready', flush=True)
    server.wait_for_termination()


main()
