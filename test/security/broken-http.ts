import { connect } from 'node:net';

const REPLY_LIMIT_MS = 5_000;
const HOST = 'Host: shop.test\r\n';
const post = (headers: string, body: string): string => `POST /v1/checkouts HTTP/1.1\r\n${HOST}${headers}\r\n${body}`;

/** What is no HTTP, or HTTP that two readers may read as two different requests. */
export const BROKEN: Readonly<Record<string, string>> = {
  'a length and chunks': post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nGET / HTTP/1.1\r\n\r\n'),
  'two lengths': post('Content-Length: 1\r\nContent-Length: 2\r\n', '{}'),
  'a negative length': post('Content-Length: -1\r\n', '{}'),
  'a length that is no number': post('Content-Length: 1e3\r\n', '{}'),
  'a length beyond all numbers': post('Content-Length: 99999999999999999999999\r\n', '{}'),
  'chunks of no size': post('Transfer-Encoding: chunked\r\n', 'xyz\r\n{}\r\n0\r\n\r\n'),
  'chunks of a huge size': post('Transfer-Encoding: chunked\r\n', 'ffffffffffffffffff\r\n{}\r\n'),
  'an unknown coding': post('Transfer-Encoding: xchunked\r\n', '{}'),
  'chunks within chunks': post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'),
  'a blank before the colon': post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'),
  'a folded header': post('X-A: b\r\n c\r\n Transfer-Encoding: chunked\r\nContent-Length: x\r\n', ''),
  'a NUL in a header': post('X-A: b\u0000c\r\n', ''),
  'a header without a name': post(': x\r\n', ''),
  'a carriage return alone': `GET / HTTP/1.1\r${HOST}\r\n\r\n`,
  'no host': 'GET /v1/orders HTTP/1.1\r\n\r\n',
  'a version of the future': `GET / HTTP/9.9\r\n${HOST}\r\n`,
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'an unknown method': `HACK /v1/orders HTTP/1.1\r\n${HOST}\r\n`,
  'a blank in the path': `GET /v1/orders x HTTP/1.1\r\n${HOST}\r\n`,
  'a line break in the path': `GET /v1/orders\nX: y HTTP/1.1\r\n${HOST}\r\n`,
  'headers of 100 KB': `GET /v1/orders HTTP/1.1\r\n${HOST}X: ${'x'.repeat(100_000)}\r\n\r\n`,
  'a path of 100 KB': `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n${HOST}\r\n`,
  'five thousand headers': `GET /v1/orders HTTP/1.1\r\n${HOST}${'X: y\r\n'.repeat(5_000)}\r\n`,
  'an absolute target elsewhere': `GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
  'a tunnel': `CONNECT 127.0.0.1:5432 HTTP/1.1\r\n${HOST}\r\n`,
  'a trace': `TRACE /v1/orders HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
  'an upgrade': `GET /v1/orders HTTP/1.1\r\n${HOST}Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n`,
  'a TLS greeting': '\u0016\u0003\u0001\u0002\u0000\u0001\u0000',
  'another protocol': 'EHLO shop.test\r\n',
  'three of them in one go': `${`DELETE /v1/orders HTTP/1.1\r\n${HOST}\r\n`.repeat(2)}DELETE /v1/orders HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
  'a body that breaks off': post('Content-Length: 1000\r\nConnection: close\r\n', '{"items":'),
};

/** Sends bytes, says that no more will come, and waits until the other side closes. @returns what it said, maybe nothing */
export function saidTo(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    const socket = connect({ port, host: '127.0.0.1' });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection is still open after ${REPLY_LIMIT_MS} ms: ${said}`));
    }, REPLY_LIMIT_MS);
    socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
    // Whoever is cut off while he still sends is reset; that is an end as well.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(said);
    });
    socket.end(bytes, 'latin1');
  });
}
