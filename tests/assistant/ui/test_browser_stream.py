"""A slow network between the page and its server, in a real Chromium: nothing that a person does is lost."""

import pytest

from assistant.ui.talking import BUSY
from tests.assistant.ui.browsing import ask, jpeg

pytestmark = pytest.mark.browser

NETWORK = """(() => {
  const plain = window.fetch;
  let waiting = 0;
  window.fetch = async (input, init) => {
    if (String(input.url || input).includes('/queue/join')) { waiting += 1; }
    const answer = await plain(input, init);
    if (!String(input.url || input).includes('/queue/data')) { return answer; }
    const reader = answer.body.getReader(), decoder = new TextDecoder(), encoder = new TextEncoder();
    const pull = async controller => {
      const {value, done} = await reader.read();
      if (done) { controller.close(); return; }
      for (const message of decoder.decode(value).split(/(?<=\\n\\n)/)) {
        if (message.includes('process_completed')) { waiting -= 1; }
        if (message.includes('close_stream')) { AT_THE_END }
        controller.enqueue(encoder.encode(message));
      }
    };
    return new Response(new ReadableStream({pull}), {status: answer.status, headers: answer.headers});
  };
})()"""
LATE_END = NETWORK.replace("AT_THE_END", "await new Promise(go => setTimeout(go, 300));")
"""A network on which the end of a stream of messages arrives after the answer to what was sent meanwhile."""
CUT_END = NETWORK.replace("AT_THE_END", "if (!waiting) { controller.close(); return; }")
"""One that breaks before the end is told, once nothing is waited for any more."""
ANSWERED = "const answer = await plain(input, init);"
SLOWLY = """
    if (String(input.url || input).includes('/queue/join')) { await new Promise(go => setTimeout(go, 500)); }
"""
CUT_EARLY = CUT_END.replace(ANSWERED, ANSWERED + SLOWLY)
"""One that breaks so, and tells that a question was sent only after the stream told of its end."""


@pytest.fixture
def on(visit):
    """Return a function that opens a visitor's tab on such a network."""

    def opened(network):
        tab = visit()
        tab.add_init_script(network)
        tab.reload()
        tab.get_by_placeholder("Ask about").wait_for()
        return tab

    return opened


@pytest.mark.parametrize("network", [LATE_END, CUT_END, CUT_EARLY], ids=["late", "cut", "early"])
def test_a_question_sent_while_an_earlier_event_ends_is_answered(on, tmp_path, network):
    far = on(network)
    ask(far, "What kind of image is this?", jpeg(tmp_path)).get_by_text("Confidence").wait_for()
    for question in ("Which organ is shown?", "Where?"):
        ask(far, question).get_by_text("Confidence").wait_for()
    assert far.locator("#conversation .bot").count() == 3


def test_a_question_sent_while_an_answer_is_written_stays_in_the_box_and_the_answer_comes(tab):
    held, free = [], []

    def pass_on(route):
        # A question has a text; what answers it, or draws its pictures, has none.
        if free or '"text":"' in route.request.post_data:
            route.continue_()
        else:
            held.append(route)

    tab.route("**/queue/join*", pass_on)
    first = ask(tab, "What kind of image is this?")
    box = tab.get_by_placeholder("Ask about")
    box.fill("Which organ is shown?")
    box.press("Enter")
    tab.get_by_text(BUSY).first.wait_for()
    assert box.input_value() == "Which organ is shown?"
    assert len(held) >= 2
    free.append(True)
    for route in held:
        route.continue_()
    first.get_by_text("Confidence").wait_for()
    box.press("Enter")
    tab.locator("#conversation .bot").nth(1).get_by_text("Confidence").wait_for()
    asked = tab.locator("#conversation .user").all_inner_texts()
    assert asked == ["What kind of image is this?", "Which organ is shown?"]
