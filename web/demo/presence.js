// Who is in the lobby: one entry a member, however many tabs the member has open.

import { $, el } from "./dom.js";
import { Emitter } from "./emitter.js";
import { arms, shield } from "./shield.js";

export const lobby = "presence-lobby";

/** Emits "joined" and "left" with a member. */
export class Presence extends Emitter {
  #session;
  #members = new Map();

  constructor(connection, session) {
    super();
    this.#session = session;
    connection.want(lobby);
    connection.on("message", (message) => message.channel === lobby && this.#follow(message));
    connection.on("state", ({ name }) => $("members").classList.toggle("stale", name !== "open"));
  }

  nameOf(id) {
    return this.#members.get(id)?.info?.name;
  }

  #follow({ type, event, data }) {
    if (type === "subscription_succeeded") {
      this.#members = new Map((data?.members ?? []).map((member) => [member.id, member]));
    } else if (type === "event" && event === "member_added") {
      this.#members.set(data.id, data);
      this.emit("joined", data);
    } else if (type === "event" && event === "member_removed") {
      const member = this.#members.get(data.id) ?? data;
      this.#members.delete(data.id);
      this.emit("left", member);
    } else {
      return;
    }
    this.#show();
  }

  #show() {
    const list = $("members");
    const shown = new Map([...list.children].map((item) => [item.dataset.memberId, item]));
    for (const [id, item] of shown) if (!this.#members.has(id)) item.remove();
    for (const member of this.#inOrder()) {
      list.append(shown.get(member.id) ?? this.#item(member)); // append moves what is there already
    }
    const count = this.#members.size;
    $("member-count").textContent = count === 1 ? "only you" : `${count} here`;
    $("alone").hidden = count > 1 || $("chat-log").children.length > 1; // it stands in an empty lobby only
  }

  /** The visitor first, then by name. */
  #inOrder() {
    const me = this.#session.userId;
    return [...this.#members.values()].sort((a, b) =>
      (b.id === me) - (a.id === me) || displayName(a).localeCompare(displayName(b)));
  }

  #item(member) {
    const me = member.id === this.#session.userId;
    const { blazon } = arms(member.id);
    return el("li", { class: "member", "data-testid": "member", "data-member-id": member.id, title: `${member.id}: ${blazon}` },
      shield(member.id),
      el("span", { class: "member-name" }, displayName(member)),
      me && el("span", { class: "you" }, "you"));
  }
}

export function displayName({ id, info }) {
  return String(info?.name || id);
}
