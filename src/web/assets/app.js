// What htmx can't do: editing a text while others change it, taking in pictures, and a few keys.
'use strict';

const byId = (id) => document.getElementById(id);

/** Whether this window was drawn by a run of everleaf that has ended: nothing it asks for is answered. */
let bygone = false;

/** Says what went wrong. With nothing to say all is well again, but for what others say. */
const alarm = (who, text = '') => {
  if (bygone) return;
  const place = byId('alert');
  if (!text && place.dataset.who !== who) return;
  place.dataset.who = who;
  place.textContent = text;
};

/** What the server says for people in an answer that is no success. */
const complaint = async (response) => {
  // Each run has an address and a cookie of its own, so only those of another run are refused like this.
  if ([403, 421].includes(response.status)) {
    alarm('run', 'This window is of an earlier run of everleaf, which saves nothing any more. Copy what you have written, and open the address that `everleaf web` printed last.');
    bygone = true;
  }
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  return page.getElementById('message')?.textContent || `everleaf answers ${response.status}`;
};

// A picture that can't be had from its address, offline for instance, is shown from the local file.
document.addEventListener('error', ({ target }) => {
  if (!(target instanceof HTMLImageElement)) return;
  const hash = /[0-9a-f]{64}/.exec(target.src);
  if (hash && !target.dataset.local) {
    target.dataset.local = target.src;
    target.src = `image/${hash[0]}`;
  } else {
    target.classList.add('broken');
  }
}, true);

/**
 * A stream of events that rests while nobody sees the page: a browser keeps six connections to a server,
 * and each open page would take one. What was missed meanwhile is made up for at once.
 */
class Stream extends EventTarget {
  #url;
  #source = null;
  #ended = false;
  #rested = false;
  #names = new Set();

  constructor(url) {
    super();
    this.#url = url;
    document.addEventListener('visibilitychange', () => this.#turn());
    this.#turn();
  }

  get readyState() {
    return this.#ended ? EventSource.CLOSED : EventSource.OPEN;
  }

  addEventListener(name, listener) {
    super.addEventListener(name, listener);
    if (!this.#names.has(name)) this.#source?.addEventListener(name, this.#pass);
    this.#names.add(name);
  }

  close() {
    this.#ended = true;
    this.#source?.close();
  }

  #pass = ({ type, data }) => this.dispatchEvent(new MessageEvent(type, { data }));

  #turn() {
    if (document.hidden || this.#ended) {
      this.#source?.close();
      this.#source = null;
      this.#rested = true;
      return;
    }
    if (this.#source) return;
    const source = new EventSource(this.#url);
    this.#source = source;
    this.#names.forEach((name) => source.addEventListener(name, this.#pass));
    source.onerror = (event) => {
      this.#ended = source.readyState === EventSource.CLOSED;
      this.onerror?.(event);
    };
    source.onopen = (event) => {
      this.onopen?.(event);
      if (this.#rested) this.#names.forEach((type) => this.#pass({ type, data: 'Infinity' }));
      this.#rested = false;
    };
  }
}
htmx.createEventSource = (url) => new Stream(url);

document.addEventListener('htmx:responseError', async ({ detail }) => {
  alarm('server', await complaint(new Response(detail.xhr.response, { status: detail.xhr.status || 500 })));
});
document.addEventListener('htmx:sseError', async () => {
  if (bygone) return;
  alarm('stream', 'everleaf does not answer: is it still running? What you type is kept in this window.');
  // A stream of events does not say why it ended.
  const response = await fetch('standing').catch(() => null);
  if (response && !response.ok) await complaint(response);
});
document.addEventListener('htmx:sseOpen', () => alarm('stream'));

/** Whether an answer would draw a part of the page, and what comes with it, as it is already. */
const isDrawn = (target, answer) => {
  const now = target.cloneNode(true);
  now.querySelectorAll('details').forEach((details) => { details.open = false; });
  const next = document.createElement('template');
  next.innerHTML = answer;
  next.content.querySelectorAll('title').forEach((title) => title.remove());
  const besides = [...next.content.querySelectorAll('[hx-swap-oob]')];
  besides.forEach((part) => {
    part.remove();
    part.removeAttribute('hx-swap-oob');
  });
  return now.innerHTML === next.innerHTML
    && besides.every((part) => byId(part.id)?.outerHTML === part.outerHTML);
};
// What is selected, unfolded and in focus stays where nothing is drawn, and what is unfolded also elsewhere.
const unfolded = new WeakSet();
document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  if (!detail.shouldSwap) return;
  if (isDrawn(detail.target, detail.serverResponse)) detail.shouldSwap = false;
  if (detail.target.querySelector('details[open]')) unfolded.add(detail.target);
  else unfolded.delete(detail.target);
});
document.addEventListener('htmx:afterSwap', ({ detail }) => {
  if (!unfolded.has(detail.target)) return;
  detail.target.querySelectorAll('details').forEach((details) => { details.open = true; });
});

document.addEventListener('keydown', (event) => {
  const writing = event.target.closest('input, textarea, select');
  if (event.key === '/' && !writing && byId('q')) {
    event.preventDefault();
    byId('q').focus();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && event.target.closest('#list a, #q')) {
    const links = [byId('q'), ...document.querySelectorAll('#list .rows a')];
    const next = links[links.indexOf(event.target) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
});

/** The kind of what a copied text says besides: the note that it is of. */
const OF_NOTE = 'application/x-everleaf-note';

/**
 * Keeps a text area in step with its note.
 *
 * `base` is a version of the note, and `known` the text that it shows. What is written is sent with the
 * base that it was written on. The answer names the version that shows just what was sent, and what
 * others wrote besides as splices. They are put in only where nothing was typed since: else what is
 * typed is sent first, on the version that shows what was sent, and the next answer brings them again.
 */
function edit(area) {
  const note = area.dataset.note;
  const pause = 500;
  const longest = 2500;
  let base = area.dataset.heads;
  let known = area.value;
  let seen = 0;
  let since = 0;
  let timer = 0;
  let running = null;
  let again = false;
  let composing = false;
  // What was sent, and may be saved though no answer said so.
  let unanswered = null;
  // How often in a row it could not be saved, and when it is tried again.
  let failures = 0;
  let retry = 0;
  // Pictures on their way in, where they are to be shown, and the text that those are places of.
  let taking = 0;
  let places = [];
  let placed = '';
  let taken = Promise.resolve();
  // Whether there is a place that its author chose to write at.
  let visited = false;

  const changed = () => area.value !== known;
  const pending = () => changed() || taking > 0;
  const saved = (text) => { byId('saved').textContent = text; };
  const tell = (text) => { byId('told').textContent = text; };

  const plan = () => {
    const now = performance.now();
    since ||= now;
    clearTimeout(timer);
    const due = failures > 0 ? retry - now : Math.min(pause, since + longest - now);
    timer = setTimeout(exchange, Math.max(0, due));
  };

  /** Moves the places of pictures with the text around them, whatever changed it. */
  const follow = () => {
    const [before, now] = [placed, area.value];
    if (places.length === 0 || before === now) return;
    const more = now.length - before.length;
    let [start, end] = [0, before.length];
    while (start < end && before[start] === now[start]) start += 1;
    while (end > start && end + more > start && before[end - 1] === now[end + more - 1]) end -= 1;
    // What is typed at a place comes behind the picture.
    const move = (at) => (at <= start ? at : Math.max(start, at < end ? 0 : at + more));
    places.forEach((place) => { [place.start, place.end] = [move(place.start), move(place.end)]; });
    placed = now;
  };

  /** Writes a picture as if somebody typed it, so that it can be undone. What is selected stays so. */
  const show = (markdown, place) => {
    follow();
    const { start } = place;
    // What was pasted over, unless it was changed since.
    const end = area.value.slice(start, place.end) === place.text ? place.end : start;
    const move = (at) => (at < start ? at : Math.max(at, end) + markdown.length - (end - start));
    const selected = [move(area.selectionStart), move(area.selectionEnd)];
    const moved = places.map((other) => [other, move(other.start), move(other.end)]);
    const [focused, top] = [document.activeElement, area.scrollTop];
    area.focus({ preventScroll: true });
    area.setSelectionRange(start, end);
    if (!document.execCommand('insertText', false, markdown)) area.setRangeText(markdown, start, end);
    area.setSelectionRange(...selected);
    area.scrollTop = top;
    if (focused !== area) focused?.focus({ preventScroll: true });
    moved.forEach(([other, from, to]) => { [other.start, other.end] = [from, to]; });
    place.text = '';
    placed = area.value;
  };

  /** Puts in what others wrote. The browser moves the cursor with the text around it. */
  const merge = (splices) => {
    const top = area.scrollTop;
    for (const { start, end, text } of splices.toReversed()) {
      area.setRangeText(text, start, end, 'preserve');
      follow();
    }
    area.scrollTop = top;
    if (splices.length > 0) tell('A change made elsewhere was merged.');
  };

  const send = async () => {
    // Sent again as it was, it is what was saved; what was typed since would be a second copy of it on that base.
    const text = unanswered ?? area.value;
    unanswered = text;
    since = 0;
    again = false;
    if (text !== known) saved('Saving…');
    // Half a character is none, and as long as what stands for it.
    const body = JSON.stringify({ heads: base, text: text.toWellFormed?.() ?? text });
    const response = await fetch(`note/${note}/edit`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      // So that it outlives a page that is being left; browsers carry no more than this.
      keepalive: body.length < 20000,
    });
    if (!response.ok) {
      unanswered = null;
      throw new Error(await complaint(response));
    }
    const answer = await response.json();
    unanswered = null;
    seen = Math.max(seen, answer.seq);
    if (area.value === text && !composing) {
      merge(answer.splices);
      base = answer.heads;
      known = area.value;
      saved('Saved');
    } else {
      base = answer.at;
      known = text;
      again = true;
    }
    failures = 0;
    alarm('draft');
  };

  /** Sends all that is written while there still is a window: there may be no time for two requests. */
  const leave = () => {
    unanswered = null;
    exchange();
  };

  const exchange = async () => {
    clearTimeout(timer);
    if (bygone && changed()) saved('Not saved');
    if (bygone) return;
    if (running || composing) {
      again = true;
      await running;
      return;
    }
    running = send().catch((error) => {
      saved('Not saved');
      alarm('draft', `Not saved, and tried again: ${error.message}`);
      again = true;
      retry = performance.now() + Math.min(pause * 2 ** failures, 30_000);
      failures += 1;
    });
    await running;
    running = null;
    if (again || changed()) plan();
  };

  /** Waits for the character that is being composed: nobody writes between its halves. */
  const written = async () => {
    if (composing) await new Promise((done) => { area.addEventListener('compositionend', done, { once: true }); });
  };

  /** Takes in pictures, one after the other, and shows them at a place. */
  const add = async (files, place) => {
    const refused = [];
    alarm('pictures');
    for (const file of files) {
      const name = file.name || 'A picture';
      saved(`Taking in ${name}…`);
      try {
        const response = await fetch(`note/${note}/picture?name=${encodeURIComponent(file.name)}`, {
          method: 'POST',
          body: file,
        });
        if (!response.ok) throw new Error(await complaint(response));
        const { markdown } = await response.json();
        await written();
        show(`${markdown}\n`, place);
      } catch (error) {
        refused.push(`${name} was not taken in: ${error.message}`);
        alarm('pictures', refused.join(' '));
      }
    }
  };

  /** Has something come in at the place that it is given to, after what was given before. */
  const receive = (event, come) => {
    event.preventDefault();
    // Not before the front matter.
    if (!visited) area.setSelectionRange(area.value.length, area.value.length);
    follow();
    placed = area.value;
    // What is selected gives way to what is pasted, and to nothing else.
    const { selectionStart, selectionEnd: end, value } = area;
    const start = event.type === 'paste' ? selectionStart : end;
    const place = { start, end, text: value.slice(start, end) };
    places.push(place);
    taking += 1;
    const here = async () => {
      await come(place);
      places = places.filter((other) => other !== place);
      saved(changed() ? 'Not saved' : 'Saved');
      if (changed()) await exchange();
    };
    taken = taken.then(here).finally(() => { taking -= 1; });
  };
  const take = (event, items) => {
    const files = [...(items?.files || [])];
    if (files.length > 0) receive(event, (place) => add(files, place));
  };

  /** Takes over the pictures of a text that was copied out of another note, and shows it at a place. */
  const carry = async (from, text, place) => {
    // As a text area has it.
    let markdown = (text.toWellFormed?.() ?? text).replaceAll(/\r\n?/g, '\n');
    try {
      const response = await fetch(`note/${note}/paste`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ from, text: markdown }),
        signal: AbortSignal.timeout(10_000),
      });
      if (!response.ok) throw new Error(await complaint(response));
      ({ markdown } = await response.json());
      alarm('pictures');
    } catch (error) {
      alarm('pictures', `The pictures of what was pasted were not taken over: ${error.message}`);
    }
    await written();
    show(markdown, place);
  };

  /** Says, with what is copied, of which note it is: its pictures go with it. */
  const copy = (event) => {
    const { selectionStart, selectionEnd, value } = area;
    const text = value.slice(selectionStart, selectionEnd);
    if (!text) return;
    event.preventDefault();
    event.clipboardData.setData('text/plain', text);
    event.clipboardData.setData(OF_NOTE, note);
    if (event.type === 'cut') document.execCommand('delete');
  };

  area.addEventListener('input', () => { follow(); plan(); });
  area.addEventListener('focus', () => { visited = true; });
  area.addEventListener('compositionstart', () => { composing = true; });
  area.addEventListener('compositionend', () => {
    composing = false;
    plan();
  });
  area.addEventListener('paste', (event) => {
    // Office programs give a picture of what they give as text, too.
    const { types } = event.clipboardData;
    const from = event.clipboardData.getData(OF_NOTE);
    const text = event.clipboardData.getData('text/plain');
    if (from && from !== note && /!\[|<img/i.test(text)) {
      receive(event, (place) => carry(from, text, place));
      return;
    }
    if (!types.includes('text/plain') || !types.includes('text/html')) take(event, event.clipboardData);
  });
  area.addEventListener('copy', copy);
  area.addEventListener('cut', copy);
  area.addEventListener('drop', (event) => {
    area.classList.remove('over');
    take(event, event.dataTransfer);
  });
  area.addEventListener('dragover', (event) => {
    if (!event.dataTransfer.types.includes('Files')) return;
    event.preventDefault();
    area.classList.add('over');
  });
  area.addEventListener('dragleave', () => area.classList.remove('over'));
  byId('file').addEventListener('change', (event) => {
    take(event, event.target);
    event.target.value = '';
    area.focus();
  });

  document.addEventListener('htmx:sseMessage', ({ detail }) => {
    if (detail.type === `note-${note}` && Number(detail.data) > seen) exchange();
  });
  document.addEventListener('htmx:sseOpen', exchange);
  document.addEventListener('visibilitychange', () => { if (document.hidden && changed()) leave(); });
  document.addEventListener('keydown', (event) => {
    if (event.key === 's' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      exchange();
    }
  });
  document.addEventListener('click', async (event) => {
    const done = event.target.closest('#done');
    if (!done || !pending()) return;
    event.preventDefault();
    await taken;
    // What was typed while a save was on its way goes with the next.
    do await exchange(); while (changed() && failures === 0 && !composing && !bygone);
    if (!pending()) window.location.assign(done.href);
  });
  window.addEventListener('beforeunload', (event) => {
    if (!pending()) return;
    if (changed()) leave();
    event.preventDefault();
  });

  if (!area.value) area.focus();
}

if (byId('text')) edit(byId('text'));
document.querySelector('#list [aria-current]')?.scrollIntoView({ block: 'nearest' });
