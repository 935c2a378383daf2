// "Connect with SoundCloud", the page's side. docs/browser.md is its manual, sc-connect.d.ts has its types.
(function () {
  'use strict';

  // What a script of the page put there, and no element: <a id="SC"> would stand in for it.
  const SC = (window.SC = (Object.prototype.hasOwnProperty.call(window, 'SC') && window.SC) || {});
  if (SC.Connect && SC.Connect.prepareButton) return; // included twice

  const WIDTH = 456; // CSS pixels, what popup pages are made for
  const HEIGHT = 550;
  const LOOK = 500; // milliseconds between two looks at a popup
  const GRACE = 3; // looks: a popup that ended well may seem gone before its answer is heard
  const FLOW = 'sc-connect:flow'; // sessionStorage, for close.js: what its window is there for
  const RESULT = 'sc-connect:result'; // sessionStorage, from close.js: what a flow without a popup brought back

  // A property or method of the document itself. Markup from elsewhere may shadow each of them on `document`:
  // <img name="currentScript">.
  const ofDocument = (name) => Reflect.get(Document.prototype, name, document);

  // A page in <iframe srcdoc> has its parent's origin, and an address that has none.
  const ORIGIN = location.protocol === 'about:' ? window.origin : location.origin;

  // Beside the folder of this script: right under any prefix.
  const own = ofDocument('currentScript');
  const START = attempt(() => new URL('../oauth/request_token', own.src).pathname) || '/oauth/request_token';

  const flows = new Map(); // id -> flow: all that may still be answered
  const latest = new Map(); // button, or start of an open() -> the flow that a click returns to
  const buttons = new WeakMap(); // button -> {button, name, options}; no options: taken back
  let prepared = 0;

  // Where storage is switched off, even naming it throws.
  function attempt(action) {
    try {
      return action();
    } catch (refused) {
      return null;
    }
  }

  // The one check of every address that a window is sent to. What the page says, and its markup may be written by
  // anybody, could be `javascript:`, which runs in this page, or lead to another site.
  function local(address, base) {
    const url = attempt(() => new URL(address, base || ofDocument('baseURI')));
    if (url && /^https?:/.test(url.href) && url.href.startsWith(`${ORIGIN}/`)) return url;
    throw new TypeError(`Nothing was opened, because ${address} is not an http or https address of ${ORIGIN}. Check `
      + 'data-sc-connect, href, request_token_endpoint, and whether the page has a <base> of another site.');
  }

  const remember = (it) => attempt(() => sessionStorage.setItem(FLOW, JSON.stringify(it)));

  // Taken out at once: neither Back nor a reload calls a callback again.
  let returned = attempt(() => JSON.parse(sessionStorage.getItem(RESULT)));
  attempt(() => sessionStorage.removeItem(RESULT));

  // When the page's own scripts have run, those that wait for the document too.
  const ready = new Promise((go) => {
    const soon = () => setTimeout(go);
    if (ofDocument('readyState') === 'complete') soon();
    for (const type of ['DOMContentLoaded', 'load']) window.addEventListener(type, soon);
  });

  // fromEntries defines its keys and does not assign them: "__proto__" is a field like any other.
  const decode = (query) => Object.fromEntries(new URLSearchParams(query));

  function claim(name) {
    if (!returned || returned.button !== name) return null;
    const { query } = returned;
    returned = null;
    return decode(query);
  }

  function report(options, fields) {
    const failed = 'error' in fields;
    if (failed) console.warn('sc-connect:', fields.error, fields.error_description || '');
    if (options.callback) options.callback(fields);
    const other = failed ? options.error : options.success;
    if (other) other(fields);
  }

  // close.js answers on three roads at once, since each is closed in some browser. The first answer counts.
  function deliver(id, query) {
    const flow = flows.get(id);
    if (!flow || typeof query !== 'string') return;
    end(flow);
    flow.done(decode(query));
  }

  function end(flow) {
    flows.delete(flow.id);
    clearInterval(flow.timer);
    if (flow.channel) flow.channel.close();
    leave(flow);
  }

  function leave(flow) {
    if (latest.get(flow.key) !== flow) return false; // a later one of this button is under way, or ended
    if (flow.button) flow.button.removeAttribute('aria-busy');
    return latest.delete(flow.key);
  }

  window.addEventListener('message', ({ origin, data }) => {
    if (origin === ORIGIN && data) deliver(data.flow, data.query);
  });
  window.addEventListener('storage', ({ key, newValue }) => {
    if (key) deliver(key.replace('sc-connect:', ''), newValue);
  });

  // Centred on this window: the screen may be one of several.
  function features() {
    const left = Math.round(window.screenX + (window.outerWidth - WIDTH) / 2);
    const top = Math.round(window.screenY + (window.outerHeight - HEIGHT) / 2);
    return `popup=yes,scrollbars=yes,resizable=yes,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`;
  }

  // Says once that the popup seems gone. One that a Cross-Origin-Opener-Policy cut off always does, but this page has
  // no focus then. An answer is still heard.
  function look(flow) {
    flow.looks = flow.popup.closed && ofDocument('hasFocus').call(document) ? (flow.looks || 0) + 1 : 0;
    if (flow.looks < GRACE) return;
    clearInterval(flow.timer);
    if (leave(flow)) flow.gone();
  }

  function focused(key) {
    const flow = latest.get(key);
    if (!flow || flow.popup.closed) return null;
    flow.popup.focus();
    return flow;
  }

  // Called in the click itself: browsers give no popup later. Throws a TypeError if the address is not of this site.
  function begin(flow, { start, page, name, options: { popup: wanted, signal } }) {
    const [narrow, wide] = [start, page || start].map((address) => local(address).href);
    const id = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('-');
    let popup = null;
    // A new window keeps a copy of this page's sessionStorage, also when opener and name are taken away.
    if (wanted !== false) {
      remember({ id });
      popup = window.open(narrow, `sc-connect-${id}`, features());
      attempt(() => sessionStorage.removeItem(FLOW));
    }
    if (!popup || popup === window) { // blocked, not wanted, or an in-app browser
      if (!page) remember({ page: location.href, button: name, started: Date.now() });
      location.assign(wide);
      return;
    }
    const channel = attempt(() => new BroadcastChannel(`sc-connect:${id}`));
    if (channel) channel.onmessage = ({ data }) => deliver(id, data);
    Object.assign(flow, { id, popup, channel, timer: setInterval(look, LOOK, flow) });
    flows.set(id, flow);
    latest.set(flow.key, flow);
    if (signal) {
      signal.addEventListener('abort', () => {
        if (!flows.has(id)) return;
        end(flow);
        popup.close();
        if (flow.reject) flow.reject(signal.reason);
      });
    }
  }

  // Where return_to leads if there is no callback: after a popup to `home`, without one by the link itself, `page`.
  // Throws a TypeError if the flow would start at another site.
  function route({ button, options }) {
    const marked = button.dataset.scConnect;
    const link = marked === undefined ? '' : marked || button.getAttribute('href') || '';
    const url = local(options.request_token_endpoint || (link[0] === '#' ? '' : link) || START);
    const page = url.href;
    const named = url.searchParams.get('return_to');
    url.searchParams.delete('return_to');
    const home = named && !options.callback && attempt(() => local(named, ORIGIN));
    return home ? { start: url.href, page, home } : { start: url.href };
  }

  // False if a listener of the page called preventDefault().
  function tell(button, name, detail) {
    const event = new CustomEvent(`scconnect:${name}`, { bubbles: true, cancelable: true, detail });
    return EventTarget.prototype.dispatchEvent.call(button.isConnected ? button : document, event);
  }

  function answer(state, fields) {
    const { home } = attempt(() => route(state)) || {};
    const leaving = tell(state.button, 'error' in fields ? 'failed' : 'done', fields) && home;
    report(state.options, fields);
    if (!leaving) return;
    for (const [name, value] of Object.entries(fields)) home.searchParams.append(name, value);
    location.assign(home);
  }

  // Says in the console why a click does nothing.
  function refuses(state) {
    try {
      route(state);
      return false;
    } catch (refused) {
      console.error('sc-connect:', refused.message);
      return true;
    }
  }

  function click(event, state) {
    const { button, name, options } = state;
    if (!options) return;
    event.preventDefault(); // href="#" would jump to the top, href="javascript:..." would run
    if (focused(button) || refuses(state) || !tell(button, 'start', null)) return;
    const flow = { key: button, button, done: (fields) => state.options && answer(state, fields) };
    flow.gone = () => {
      tell(button, 'closed', null);
      if (options.closed) options.closed();
    };
    const popup = options.popup === undefined ? button.dataset.scPopup !== 'false' : options.popup;
    begin(flow, { ...route(state), name, options: { ...options, popup } });
    if (flow.popup) button.setAttribute('aria-busy', 'true');
  }

  // A link becomes a button for the keyboard and for screen readers too.
  function wire(button) {
    prepared += 1;
    const state = { button, name: button.id || String(prepared) }; // known by it when the page is loaded again
    const native = button.matches('button, input');
    const missing = (name, value) => native || button.hasAttribute(name) || button.setAttribute(name, value);
    missing('role', 'button');
    missing('tabindex', '0');
    button.addEventListener('click', (event) => click(event, state));
    button.addEventListener('keydown', (event) => {
      if (native || !(event.key === ' ' || (event.key === 'Enter' && !button.hasAttribute('href')))) return;
      event.preventDefault(); // the space bar would scroll
      button.click();
    });
    button.removeAttribute('aria-busy'); // of a copy of a busy one
    buttons.set(button, state);
    return state;
  }

  function prepareButton(node, options) {
    const button = node && !node.nodeType ? node[0] : node; // a jQuery object will do as well
    if (!button) {
      console.warn('SC.Connect.prepareButton: there is no such button on this page');
      return;
    }
    const settings = { ...options };
    const { signal } = settings;
    if (signal && signal.aborted) return;
    const state = buttons.get(button) || wire(button);
    state.options = settings; // prepared twice: new options, but one popup a click
    if (signal) {
      signal.addEventListener('abort', () => {
        if (state.options === settings) state.options = null;
      });
    }
    ready.then(() => {
      const fields = state.options && claim(state.name);
      if (fields) answer(state, fields);
    });
  }

  function open(options) {
    const settings = options || {};
    const { signal, request_token_endpoint: start = START } = settings;
    const earlier = focused(start);
    if (earlier) return earlier.promise;
    const flow = { key: start, gone: () => settings.closed && settings.closed() };
    flow.promise = new Promise((resolve, reject) => {
      if (signal && signal.aborted) throw signal.reason;
      flow.reject = reject;
      flow.done = (fields) => {
        resolve(fields);
        report(settings, fields);
      };
      const fields = claim(start); // this page had no popup, left, and is back: that was the flow asked for
      if (fields) setTimeout(flow.done, 0, fields);
      else begin(flow, { start, name: start, options: settings });
    });
    return flow.promise;
  }

  // A button with this attribute needs no script, whenever it comes into the page.
  // Not a form: its fields may shadow each of its properties.
  function prepareMarked() {
    const marked = ofDocument('querySelectorAll').call(document, '[data-sc-connect]:not(form)');
    for (const button of marked) if (!buttons.has(button)) prepareButton(button);
  }
  prepareMarked();
  new MutationObserver(prepareMarked).observe(document, { childList: true, subtree: true });

  SC.Connect = Object.assign(SC.Connect || {}, {
    prepareButton,
    open,
    initiate: () => open(SC.Connect.options), // with SC.Connect.options = {...}, as pages of 2010 do
  });
  ready.then(() => {
    const { options } = SC.Connect;
    const fields = options && claim(options.request_token_endpoint || START);
    if (fields) report(options, fields);
  });
})();
