"""A repair of the page library's client, which can lose what a person does while an earlier event ends.

The library's server ends the stream of messages once no event is left, and its client opens the next stream with the
next event. Between the two there is a gap: an event that was sent before the client has read the end of the stream is
believed to be told of on that stream, so its messages wait on the server and the page hangs until the next event. The
slower the network or the machine, the wider the gap (gradio 6.31; in its client `close_stream` only marks the stream as
closed, whatever is still waited for).

Here the stream goes on instead: where its end is read while an event is still waited for, another one is opened behind
it, and the client sees one stream. It also ends in order where the connection broke while nothing was waited for, as
after a laptop's sleep; the client would go on to believe in the broken one.
"""

from __future__ import annotations

GO_ON = """(() => {
  const plain = window.fetch.bind(window);
  const END = 'data: {"msg":"close_stream"}\\n\\n';
  const waited = new Set();  // events that were sent and have not ended
  const early = new Set();   // events whose end was read before the answer to their sending
  const settled = [];        // called once nothing is being sent any more
  let sending = 0;

  const idOf = text => (text.match(/"event_id":"([^"]+)"/) || [])[1];

  const send = async (input, init) => {
    sending += 1;
    try {
      const answer = await plain(input, init);
      const id = answer.ok ? idOf(await answer.clone().text()) : undefined;
      if (id !== undefined && !early.delete(id)) { waited.add(id); }
      return answer;
    } finally {
      sending -= 1;
      if (sending === 0) { settled.splice(0).forEach(go => go()); }
    }
  };

  const listen = async request => {
    const spare = () => request.clone();
    const first = await plain(spare());
    if (!first.ok || first.body === null) { return first; }
    let reader = first.body.getReader();
    let decoder = new TextDecoder();
    const encoder = new TextEncoder();
    let rest = '', ended = false;

    const note = message => {  // quotes inside of texts are escaped, so these are the message's own
      if (message.includes('"msg":"close_stream"')) { ended = true; return false; }
      if (message.includes('"msg":"process_completed"')) {
        const id = idOf(message);
        if (id !== undefined && !waited.delete(id)) { early.add(id); }
      }
      return true;
    };

    const pull = async controller => {
      for (;;) {
        let value, done;
        try {
          ({value, done} = await reader.read());
        } catch (broken) {
          if (request.signal.aborted) { throw broken; }
          done = true;
        }
        if (!done) {
          const messages = (rest + decoder.decode(value, {stream: true})).split('\\n\\n');
          rest = messages.pop();
          const told = messages.filter(note).map(one => one + '\\n\\n').join('');
          if (told) { controller.enqueue(encoder.encode(told)); return; }
          continue;
        }
        if (!ended && waited.size > 0) { throw new Error('the stream of messages broke'); }
        if (!ended && sending > 0) { await new Promise(go => settled.push(go)); }
        if (waited.size > 0 || sending > 0) {
          const next = await plain(spare());
          if (!next.ok || next.body === null) { throw new Error('the stream of messages cannot be opened again'); }
          reader = next.body.getReader();
          decoder = new TextDecoder();
          rest = '';
          ended = false;
          continue;
        }
        controller.enqueue(encoder.encode(END));
        controller.close();
        return;
      }
    };

    const body = new ReadableStream({pull, cancel: why => reader.cancel(why)});
    return new Response(body, {status: first.status, headers: first.headers});
  };

  window.fetch = (input, init) => {
    const path = new URL(input instanceof Request ? input.url : String(input), document.baseURI).pathname;
    if (path.endsWith('/queue/join')) { return send(input, init); }
    if (path.endsWith('/queue/data')) { return listen(new Request(input, init)); }
    return plain(input, init);
  };
})();"""
