// The connection: it asks whether the node is there only where nothing comes from it by itself, and again what was not begun.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Api } from "../../../../sequencer/dashboard/static/api.js";

/** An open connection under a clock that the test moves; what was sent over its sockets. */
function connection(context) {
  context.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_000 });
  const sockets = [];
  const sent = [];
  const api = new Api("ws://node/ws", () => {
    const socket = { readyState: 1, send: (text) => sent.push(JSON.parse(text)), close: () => {} };
    sockets.push(socket);
    return socket;
  });
  api.start();
  sockets[0].onopen();
  const hear = (said = { id: 0, result: {} }) => sockets.at(-1).onmessage({ data: JSON.stringify({ jsonrpc: "2.0", ...said }) });
  return { api, sockets, sent, hear, pass: (ms) => context.mock.timers.tick(ms) };
}

test("what has just delivered is not asked", (context) => {
  const { api, sent, hear, pass } = connection(context);
  for (let at = 0; at < 60; at++) {
    pass(1_000);
    hear();
  }
  assert.deepEqual([sent, api.link], [[], "open"]);
});

test("what is silent is asked, and given up where it says nothing", (context) => {
  const { api, sockets, sent, hear, pass } = connection(context);
  pass(7_000);
  assert.deepEqual(sent.map((one) => one.method), ["catenary_status"]);
  hear();
  pass(7_000);
  assert.deepEqual([sent.length, api.link], [2, "open"]);
  pass(14_000);
  assert.deepEqual([api.link, sockets.length], ["away", 1]);
  pass(1_000);
  assert.equal(sockets.length, 2, "it is tried again");
});

const limited = (id, retry_after_ms) => ({ id, error: { code: -32000, message: "Too many calls.", data: { name: "RATE_LIMITED", retry_after_ms } } });

test("a call that was not begun is sent again when the node says", async (context) => {
  const { api, sent, hear, pass } = connection(context);
  const answer = api.call("catenary_markets", {});
  const [{ id }] = sent;
  hear(limited(id, 300));
  pass(299);
  assert.equal(sent.length, 1);
  pass(1);
  assert.deepEqual(sent[1], sent[0]);
  hear({ id, result: [7] });
  assert.deepEqual(await answer, [7]);
});

test("a call that is never begun is given up, and nothing is sent after a cut", async (context) => {
  const { api, sockets, sent, hear, pass } = connection(context);
  const late = assert.rejects(api.call("catenary_markets", {}), { name: "NO_ANSWER" });
  for (let at = 0; at < 30; at++) {
    hear(limited(sent[0].id, 1_000));
    pass(1_000);
  }
  await late;
  const cut = assert.rejects(api.call("catenary_limits", {}), { name: "AWAY" });
  const before = sent.length;
  hear(limited(sent.at(-1).id, 10));
  sockets[0].onclose();
  await cut;
  pass(10);
  assert.equal(sent.length, before);
});

/** A connection that is being made. */
function beginning(context) {
  const { api, sockets, sent, ...rest } = connection(context);
  sockets[0].onclose();
  const refused = assert.rejects(api.call("catenary_limits", {}), { name: "AWAY" });
  rest.pass(1_000);
  const connect = () => (Object.assign(sockets.at(-1), { readyState: 1 }), sockets.at(-1).onopen());
  Object.assign(sockets[1], { readyState: 0 });
  return { api, sent, refused, connect, fail: () => sockets[1].onclose(), ...rest };
}

test("what is asked while the connection is made is sent over it once, before what is asked when it is there", async (context) => {
  const { api, sent, refused, connect, hear } = beginning(context);
  await refused;
  const early = api.call("catenary_markets", {});
  assert.deepEqual([sent, api.link], [[], "connecting"]);
  let next;
  api.onLink = () => (next = api.call("catenary_status", {}));
  connect();
  assert.deepEqual(sent.map((one) => one.method), ["catenary_markets", "catenary_status"]);
  for (const { id, method } of sent) hear({ id, result: method });
  assert.deepEqual([await early, await next], ["catenary_markets", "catenary_status"]);
});

test("what is asked while a connection is made that fails, or never comes, is given up and sent over none", async (context) => {
  const { api, sent, refused, connect, fail, pass } = beginning(context);
  await refused;
  const late = assert.rejects(api.call("catenary_markets", {}), { name: "NO_ANSWER" });
  pass(30_000);
  await late;
  const cut = assert.rejects(api.call("catenary_limits", {}), { name: "AWAY" });
  fail();
  await cut;
  pass(1_000);
  connect();
  assert.deepEqual(sent, []);
});
