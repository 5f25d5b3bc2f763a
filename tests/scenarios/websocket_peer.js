// WebSocket peers of the npm package `ws` and Node's HTTP/2, for test_websocket.py.
//
//   node websocket_peer.js FOLDER server PORT     speaks first, then echoes; over HTTP/1.1
//   node websocket_peer.js FOLDER server2 PORT    the same over HTTP/2 in the clear (RFC 8441)
//   node websocket_peer.js FOLDER client URL      wants all of that through URL: ws: or wss:
//   node websocket_peer.js FOLDER client2 URL     the same by extended CONNECT, at http: or https:
//   node websocket_peer.js FOLDER hold URL        stays until it is cut, and says how that was
'use strict';
const [folder, role, where] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = require(`${folder}/node_modules/ws`);
const http2 = require('http2');
const assert = require('assert');

// A WebSocket on a stream that stands already.
function over(stream, isServer) {
  const socket = new WebSocket(null, undefined, { autoPong: true });
  socket._isServer = isServer;
  socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 1 << 26, allowSynchronousEvents: true, skipUTF8Validation: false });
  return socket;
}

function serve(socket) {
  socket.send('I speak first');
  socket.on('message', (data, isBinary) => {
    if (!isBinary && data.toString() === 'please close') return socket.close(4001, 'as you wish');
    socket.send(data, { binary: isBinary });
  });
}

function next(socket, event) {
  return new Promise((resolve, reject) => {
    socket.once(event, (...what) => resolve(what));
    socket.once('error', reject);
  });
}

async function check(socket, greeting) {
  assert.equal((await greeting)[0].toString(), 'I speak first');
  console.log('greeting: ok');
  socket.send('gr\u00fc\u00dfe');
  assert.equal((await next(socket, 'message'))[0].toString(), 'gr\u00fc\u00dfe');
  console.log('text: ok');
  const large = Buffer.alloc(3 << 20, 'abcdefg');
  socket.send(large);
  const [data, isBinary] = await next(socket, 'message');
  assert(isBinary && large.equals(data));
  console.log('binary: ok');
  socket.ping('there?');
  assert.equal((await next(socket, 'pong'))[0].toString(), 'there?');
  console.log('ping: ok');
  socket.send('please close');
  const [code, reason] = await next(socket, 'close');
  assert.deepEqual([code, reason.toString()], [4001, 'as you wish']);
  console.log('close: ok');
}

async function extendedConnect(url) {
  const session = http2.connect(url.origin, { rejectUnauthorized: false });
  const [settings] = await next(session, 'remoteSettings');
  assert(settings.enableConnectProtocol, 'SETTINGS_ENABLE_CONNECT_PROTOCOL');
  const stream = session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':path': url.pathname, ':authority': url.host, 'sec-websocket-version': '13',
  });
  const [headers] = await next(stream, 'response');
  assert.equal(headers[':status'], 200);
  return { session, socket: over(stream, false) };
}

const roles = {
  server() {
    new WebSocketServer({ host: '127.0.0.1', port: Number(where) }).on('connection', serve);
  },
  server2() {
    const server = http2.createServer({ settings: { enableConnectProtocol: true } });
    server.on('stream', (stream, headers) => {
      if (headers[':protocol'] !== 'websocket') return stream.respond({ ':status': 426 }, { endStream: true });
      stream.respond({ ':status': 200 });
      serve(over(stream, true));
    });
    server.listen(Number(where), '127.0.0.1');
  },
  async client() {
    const socket = new WebSocket(where, { rejectUnauthorized: false });
    await check(socket, next(socket, 'message'));
  },
  async client2() {
    const { session, socket } = await extendedConnect(new URL(where));
    await check(socket, next(socket, 'message'));
    session.close();
  },
  async hold() {
    const socket = new WebSocket(where);
    await next(socket, 'message');
    console.log('open');
    socket.on('error', () => {});
    socket.once('close', (code) => console.log(`closed ${code}`));
  },
};
Promise.resolve(roles[role]()).catch((error) => { console.error(error); process.exit(1); });
