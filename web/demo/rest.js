// Calls to Herald over plain HTTP, each shown in the wire log.

export class RestError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Rest {
  #session;
  #wire;

  constructor(session, wire) {
    this.#session = session;
    this.#wire = wire;
  }

  // What a page may do: with the visitor's own token.

  channelToken(socketId, channel) {
    return this.#call("/ws/auth", { body: { socketId, channel }, as: "token" });
  }

  joinStream(connectionId, channel) {
    return this.#call("/events/subscribe", { body: { connectionId, channel }, as: "token" });
  }

  // What a backend does: with the API key. Only a demo hands that to a page.

  broadcast(channel, event, data, except) {
    return this.#call("/api/v1/broadcast", { body: { channel, event, data, except }, as: "apiKey" });
  }

  publish(type, payload) {
    const body = { type, userId: this.#session.userId, payload };
    return this.#call("/api/v1/events", { body, as: "apiKey" });
  }

  event(id) {
    return this.#call(`/api/v1/events/${encodeURIComponent(id)}`, { method: "GET", as: "apiKey" });
  }

  disconnect(socketId) {
    const path = `/api/v1/connections/${encodeURIComponent(socketId)}/disconnect`;
    return this.#call(path, { as: "apiKey" });
  }

  /** The round trip of the smallest call there is, in milliseconds. */
  async time() {
    const start = performance.now();
    await this.#send("/healthz", { method: "GET", quiet: true });
    return performance.now() - start;
  }

  /** One renewal on a 401: `herald dev` makes new secrets each time it starts. */
  async #call(path, request) {
    let response = await this.#send(path, request);
    if (response.status === 401) {
      await this.#session.renew();
      response = await this.#send(path, request);
    }
    if (response.ok) return response.body;
    const error = response.body?.error;
    throw new RestError(
      response.status,
      String(error?.code ?? "").toLowerCase(),
      error?.message ?? (typeof error === "string" ? error : `HTTP ${response.status}`),
    );
  }

  async #send(path, { method = "POST", body, as, quiet }) {
    const headers = {};
    if (as) headers.Authorization = `Bearer ${this.#session[as]}`;
    if (body) headers["Content-Type"] = "application/json";
    const sent = body ? JSON.stringify(body) : "";
    this.#wire.record({ direction: "out", via: "http", label: `${method} ${path}`, text: sent, quiet });
    const response = await fetch(path, { method, headers, body: sent || undefined });
    const text = await response.text();
    this.#wire.record({ direction: "in", via: "http", label: `${response.status} ${path}`, text, quiet });
    return { ok: response.ok, status: response.status, body: parse(text) };
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
