// What the Node servers share, as peers/internal/peer is what the Go servers share.
import { createServer } from 'node:http';

const flag = process.argv.indexOf('-ping');

/** ping is the interval of keep-alive in milliseconds; the flag is in seconds, such as 0.5s. */
export const ping = flag < 0 ? 30_000 : parseFloat(process.argv[flag + 1]) * 1000;

/** serve listens, and prints the port, which the runner waits for. */
export function serve(publish) {
  const server = createServer((req, res) => {
    if (req.method === 'POST' && req.url === '/publish') {
      readBody(req, res, publish);
    } else if (req.method === 'POST' && req.url === '/free') {
      globalThis.gc();
      globalThis.gc();
      answer(res, 200, '{"ok":true}');
    } else {
      answer(res, 404, '{"ok":false}');
    }
  });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => console.log(server.address().port));
  process.stdin.on('end', () => process.exit(0)).resume(); // the runner is gone
  return server;
}

function readBody(req, res, publish) {
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => {
    try {
      publish(JSON.parse(Buffer.concat(parts).toString()));
      answer(res, 200, '{"ok":true}');
    } catch (err) {
      console.error(err);
      answer(res, 400, '{"ok":false}');
    }
  });
}

function answer(res, status, text) {
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length });
  res.end(text);
}
