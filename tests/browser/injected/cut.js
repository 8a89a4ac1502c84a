// A connection that breaks between an order and its answer.
(() => {
  const cut = { orders: [], isDue: false };
  const ids = new Set();
  window.cut = cut;
  window.WebSocket = class extends WebSocket {
    set onmessage(take) {
      super.onmessage = take && ((event) => {
        if (!cut.isDue || !ids.has(JSON.parse(event.data).id)) return take(event);
        cut.isDue = false;
        this.close();
      });
    }
    send(text) {
      const { id, method, params } = JSON.parse(text);
      if (method === "catenary_order" && params.order) {
        ids.add(id);
        cut.orders.push(JSON.stringify(params));
      }
      super.send(text);
    }
  };
})();
