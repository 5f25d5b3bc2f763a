// grpc_web_client.js FOLDER URL FORMAT: calls test.Echo by gRPC's own client for browsers. FORMAT: text or binary.
// Prints a line for each call: what came, the status, the trailers. Messages are bytes.
const { createRequire } = require('module');

const [folder, url, format] = process.argv.slice(2);
const load = createRequire(folder + '/');
global.XMLHttpRequest = load('xhr2');
const { GrpcWebClientBase, MethodDescriptor, MethodType } = load('grpc-web');

class Message {}

const client = new GrpcWebClientBase({ format });
const bytes = (text) => Uint8Array.from(Buffer.from(text));
const text = (message) => Buffer.from(message).toString();
const method = (name, type) => new MethodDescriptor(`/test.Echo/${name}`, type, Message, Message, bytes, text);

function call(name, message, metadata = {}) {
  return new Promise((resolve) => {
    let status = '';
    const one = client.rpcCall(`${url}/test.Echo/${name}`, message, metadata, method(name, MethodType.UNARY), (error, answer) => {
      const said = error ? `error ${error.code} ${error.message}` : `answer ${answer.length > 40 ? answer.length : answer}`;
      setTimeout(() => resolve(`${name}: ${said}${status}`), 0);
    });
    one.on('status', ({ code, metadata: trailers }) => { status = ` status ${code} x-name ${(trailers || {})['x-name'] || '-'}`; });
  });
}

function stream(name, message) {
  return new Promise((resolve) => {
    const got = [];
    const one = client.serverStreaming(`${url}/test.Echo/${name}`, message, {}, method(name, MethodType.SERVER_STREAMING));
    one.on('data', (answer) => got.push(answer));
    one.on('error', (error) => resolve(`${name}: error ${error.code} ${error.message}`));
    one.on('end', () => resolve(`${name}: ${got.length} messages, the last ${got[got.length - 1]}`));
  });
}

async function main() {
  console.log(await call('Unary', 'hello'));
  console.log(await call('Unary', 'x'.repeat(300000)));
  console.log(await call('Fail', '5'));
  console.log(await call('Fail', '14'));
  if (format === 'text') console.log(await stream('Down', '300'));
  console.log(await call('Nowhere', ''));
}

main();
