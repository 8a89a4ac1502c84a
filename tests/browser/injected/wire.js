// The page's socket as it is, and within reach: what it was told, what it asked, and a way to tell it more.
(() => {
  const Real = WebSocket;
  const asked = new Map();
  /** By channel: epoch, sequence, the state that it was opened with, and each level of a book that was ever told. */
  const channels = new Map();
  const wire = { socket: null, channels, calls: [], take: null };
  window.wire = wire;

  /** From here on the page hears what a test tells it, and the node no more. */
  wire.takeOver = () => {
    if (wire.take === null) {
      wire.take = wire.socket.onmessage;
      wire.socket.onmessage = null;
    }
  };

  /** A message as if the node had sent it. */
  wire.tell = (channel, data) => {
    const at = channels.get(channel);
    at.sequence += 1;
    const params = { channel, epoch: at.epoch, sequence: at.sequence, data };
    wire.take({ data: JSON.stringify({ jsonrpc: "2.0", method: "catenary_subscription", params }) });
  };

  /** From here on nobody is reached. */
  wire.cut = () => {
    window.WebSocket = class extends Real {
      constructor(url) {
        super(url);
        this.close();
      }
    };
    wire.socket.close();
  };

  /** Once a channel of a family is open. */
  wire.opened = async (family) => {
    while (![...channels.keys()].some((name) => name.startsWith(family))) await new Promise((passed) => setTimeout(passed, 20));
  };

  window.WebSocket = class extends Real {
    constructor(url) {
      super(url);
      wire.socket = this;
      this.addEventListener("message", (event) => {
        if (wire.take !== null) return;
        const message = JSON.parse(event.data);
        const channel = message.params?.channel ?? asked.get(message.id);
        const told = message.params ?? message.result;
        if (channel === undefined || !told?.epoch) return;
        const before = channels.get(channel);
        const levels = new Set(told.snapshot ? [] : before?.levels);
        for (const part of [told.snapshot, told.data, ...(told.updates ?? []).map((one) => one.data)]) {
          for (const side of ["bids", "asks"]) for (const [price] of part?.[side] ?? []) levels.add(`${side} ${price}`);
        }
        channels.set(channel, { epoch: told.epoch, sequence: told.sequence, snapshot: told.snapshot ?? before?.snapshot, levels });
      });
    }
    send(text) {
      const call = JSON.parse(text);
      wire.calls.push(call.method);
      if (call.method === "catenary_subscribe") asked.set(call.id, call.params.channel);
      super.send(text);
    }
  };
})();
