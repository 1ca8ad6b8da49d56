// A hub on ws: a set of sockets by channel, a message encoded once and sent to each in turn, and the
// keep-alive of the library's documentation. Compression is off, which is its default.
import { WebSocketServer } from 'ws';
import { ping, serve } from './peer.js';

const channels = new Map();

const server = serve(({ channel, event, data }) => {
  const frame = Buffer.from(JSON.stringify({ type: 'event', channel, event, data }));
  for (const socket of channels.get(channel) ?? []) socket.send(frame, { binary: false });
});

const wss = new WebSocketServer({ server, path: '/ws' });

wss.on('connection', (socket) => {
  socket.isAlive = true;
  socket.on('pong', () => { socket.isAlive = true; });
  socket.on('error', () => socket.terminate());
  socket.on('message', (text) => {
    const { type, channel } = JSON.parse(text);
    if (type !== 'subscribe') return;
    if (!channels.has(channel)) channels.set(channel, new Set());
    channels.get(channel).add(socket);
    socket.on('close', () => leave(channel, socket));
    socket.send(JSON.stringify({ type: 'subscribed', channel }));
  });
});

function leave(channel, socket) {
  const sockets = channels.get(channel);
  sockets.delete(socket);
  if (sockets.size === 0) channels.delete(channel);
}

setInterval(() => {
  for (const socket of wss.clients) {
    if (!socket.isAlive) {
      socket.terminate();
      continue;
    }
    socket.isAlive = false;
    socket.ping();
  }
}, ping);
