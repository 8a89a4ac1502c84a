// The page's previews within reach: each question and its answer, which a test may hold back and let go in any order.
(() => {
  const held = { questions: [], isHolding: false, take: null };
  window.held = held;
  const deliver = (text) => held.take({ data: text });

  /** Lets the answer of a question go, once it is there; again, as a network that repeats itself. */
  held.release = async (at) => {
    while (!held.questions[at]?.text) await new Promise((passed) => setTimeout(passed, 10));
    held.questions[at].isHeld = false;
    deliver(held.questions[at].text);
  };

  /** Lets answers go, one after another, until a question of a side is held; which one that is. */
  held.reach = async (side) => {
    for (;;) {
      const at = held.questions.findIndex((one) => one.isHeld);
      if (at < 0) await new Promise((passed) => setTimeout(passed, 10));
      else if (held.questions[at].operation.side === side) return at;
      else await held.release(at);
    }
  };

  window.WebSocket = class extends WebSocket {
    set onmessage(take) {
      held.take = take;
      super.onmessage = take && ((event) => {
        const { id, result } = JSON.parse(event.data);
        const question = id === undefined ? undefined : held.questions.find((one) => one.id === id);
        if (question) Object.assign(question, { text: event.data, result });
        if (!question?.isHeld) take(event);
      });
    }
    send(text) {
      const { id, method, params } = JSON.parse(text);
      if (method === "catenary_preview") held.questions.push({ id, operation: params.operation, text: "", isHeld: held.isHolding });
      super.send(text);
    }
  };
})();
