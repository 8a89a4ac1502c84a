// A node that lies: by method, what becomes of a result on its way to the page.
(() => {
  const lied = { about: {} };
  const methods = new Map();
  window.lied = lied;
  window.WebSocket = class extends WebSocket {
    set onmessage(take) {
      super.onmessage = take && ((event) => {
        const message = JSON.parse(event.data);
        const change = lied.about[methods.get(message.id)];
        take(change && message.result ? { data: JSON.stringify({ ...message, result: change(message.result) }) } : event);
      });
    }
    send(text) {
      const { id, method } = JSON.parse(text);
      methods.set(id, method);
      super.send(text);
    }
  };
})();
