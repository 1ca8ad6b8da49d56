// Socket.IO with its own rooms and its in-memory adapter, over the WebSocket transport. The connection's
// first HTTP request is dropped, which the library's documentation advises for memory. Compression is off.
import { Server } from 'socket.io';
import { ping, serve } from './peer.js';

const server = serve(({ channel, event, data }) => io.to(channel).emit('event', { channel, event, data }));

const io = new Server(server, { transports: ['websocket'], pingInterval: ping, perMessageDeflate: false, serveClient: false });

io.engine.on('connection', (raw) => { raw.request = null; });

io.on('connection', (socket) => {
  socket.on('subscribe', (channel, acknowledge) => {
    socket.join(channel);
    acknowledge('subscribed');
  });
});
