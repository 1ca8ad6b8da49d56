// The demo page: one connection, and the parts of the page that listen to it.

import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { CopyCorner } from "./copy.js";
import { $ } from "./dom.js";
import { DomainEvents } from "./events.js";
import { Presence } from "./presence.js";
import { PrivateChannel } from "./private.js";
import { Session } from "./session.js";
import { Status } from "./status.js";
import { Tape } from "./tape.js";
import { Views } from "./views.js";
import { Wire } from "./wire.js";
import { WireLog } from "./wirelog.js";

const wire = new Wire();
const session = new Session(wire);
const connection = new Connection(session, wire);

new WireLog(wire);
new Tape(wire);
new Views(connection);
const status = new Status(connection);
const presence = new Presence(connection, session);
new Chat(connection, session, presence);
const privateChannel = new PrivateChannel(connection, session);
new DomainEvents(connection, session);
const copyCorner = new CopyCorner(session);

session.on("known", () => {
  status.introduce(session);
  privateChannel.want();
  copyCorner.show();
});

const dialog = $("person-dialog");
$("new-person").addEventListener("click", () => dialog.showModal());
$("person-cancel").addEventListener("click", () => dialog.close());
$("person-form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.becomeSomebodyElse($("person-name").value.trim());
});

connection.open();
