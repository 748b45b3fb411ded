/**
 * A WebSocket as the client uses it; sse.mjs is the other transport, and has the same methods.
 */

const BUFFERED_MAX = 4 * 2 ** 20; // bytes that a connection was given and has not sent

/** Where the WebSocket is; what is relative is so to the page. */
export function addressOf(url) {
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  if (!address.protocol.startsWith("ws")) throw new TypeError(`${url} is no URL of a WebSocket`);
  return address.href;
}

export function openSocket(url, token, { WebSocket }) {
  // The subprotocol carries the token: a URL would end up in logs.
  const socket = new WebSocket(url, token === null ? [] : ["bearer", token]);
  let opened = false;
  const wire = {
    send: (text) => socket.readyState === 1 && socket.send(text),
    isFull: () => socket.bufferedAmount > BUFFERED_MAX,
    close: (code = 1000, reason = "") => socket.close(code, reason),
    begin: (all) => all.forEach((subscription) => wire.subscribe(subscription)),
    subscribe: (subscription) => wire.sends(subscription.command()),
    unsubscribe: (subscription) => wire.sends("unsubscribe:" + subscription.key),
  };
  socket.onopen = () => {
    opened = true;
    wire.onopen();
  };
  socket.onmessage = (event) => wire.onmessage(event.data);
  socket.onerror = () => {}; // a close follows
  socket.onclose = (event) => wire.onclose(event.code, event.reason, opened);
  return wire;
}
