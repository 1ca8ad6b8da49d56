// Why a connection ended, in words, and whether to come back: the table of the
// protocol, section 2.
//
//   "drain"    after the retryAfter that was announced, else as "backoff"
//   "soon"     almost at once, and resume
//   "backoff"  after a wait that doubles
//   "no"       only when the visitor says so

const table = {
  1001: ["drain", "The server is going down for a moment and asked to be called again."],
  1002: ["backoff", "The server saw a breach of the WebSocket protocol."],
  1003: ["backoff", "The server takes text frames only, and got a binary one."],
  1006: ["backoff", "The line went dead without a goodbye: the server is away, or refused the handshake."],
  1007: ["backoff", "A frame was not valid UTF-8."],
  1009: ["backoff", "A message was larger than the server takes."],
  4400: ["no", "Too many messages that the server could not understand."],
  4401: ["no", "This server wants to know who you are, and did not learn it in time."],
  4403: ["no", "This origin or address is not allowed to connect."],
  4408: ["soon", "Messages came faster than this page took them. It resumes where it stopped."],
  4409: ["backoff", "The server had no sign of life from this page."],
  4410: ["no", "You were disconnected through the server API."],
  4429: ["backoff", "Too many connections, or too many in too short a time."],
};

const backoffBase = 500;
const backoffCap = 20_000;

/** What to do about a close: { retry, words }. */
export function explain(code) {
  const [retry, words] = table[code] ?? ["backoff", `The connection was closed with code ${code}.`];
  return { retry, words };
}

/** How long to wait before the given attempt, in milliseconds. The half that is random keeps a crowd from coming back at once. */
export function backoff(attempt) {
  const ceiling = Math.min(backoffCap, backoffBase * 2 ** attempt);
  return ceiling / 2 + Math.random() * (ceiling / 2);
}
