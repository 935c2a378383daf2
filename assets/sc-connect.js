// "Connect with SoundCloud" in the browser. See docs/browser.md for the manual and sc-connect.d.ts for the types.
(function () {
  'use strict';

  // Only a value that a script has set counts: an element such as <a id="SC"> would shadow it otherwise.
  const SC = (window.SC = (Object.prototype.hasOwnProperty.call(window, 'SC') && window.SC) || {});
  if (SC.Connect && SC.Connect.prepareButton) return; // included twice

  const WIDTH = 456; // CSS pixels; providers design their popup pages for this size
  const HEIGHT = 550;
  const LOOK = 500; // milliseconds between two checks of a popup
  const GRACE = 3; // checks: a popup can seem closed just before its answer arrives
  const FLOW = 'sc-connect:flow'; // sessionStorage, read by close.js: the flow of its window
  const RESULT = 'sc-connect:result'; // sessionStorage, written by close.js: the result of a flow without a popup

  // Read a property or method of the document itself. Injected markup such as <img name="currentScript"> can
  // shadow any of them on `document`.
  const ofDocument = (name) => Reflect.get(Document.prototype, name, document);

  // A page in <iframe srcdoc> has its parent's origin, but its address has none.
  const ORIGIN = location.protocol === 'about:' ? window.origin : location.origin;

  // Relative to this script, so that it is right below any prefix.
  const own = ofDocument('currentScript');
  const START = attempt(() => new URL('../oauth/request_token', own.src).pathname) || '/oauth/request_token';

  const flows = new Map(); // id -> flow: every flow that may still get an answer
  const latest = new Map(); // button, or the address given to open() -> the flow whose popup a click brings to the front
  const buttons = new WeakMap(); // button -> {button, name, options}; options is null after an abort
  let prepared = 0;

  // If storage is disabled, even accessing it throws.
  function attempt(action) {
    try {
      return action();
    } catch (refused) {
      return null;
    }
  }

  // Every address passes this check before a window opens it. Markup may be written by anybody: the address could be
  // `javascript:`, which would run in this page, or lead to another site.
  function local(address, base) {
    const url = attempt(() => new URL(address, base || ofDocument('baseURI')));
    if (url && /^https?:/.test(url.href) && url.href.startsWith(`${ORIGIN}/`)) return url;
    throw new TypeError(`Nothing was opened, because ${address} is not an http or https address of ${ORIGIN}. Check `
      + 'data-sc-connect, href, request_token_endpoint, and whether the page has a <base> of another site.');
  }

  const remember = (it) => attempt(() => sessionStorage.setItem(FLOW, JSON.stringify(it)));

  // Removed at once, so that neither Back nor a reload calls a callback again.
  let returned = attempt(() => JSON.parse(sessionStorage.getItem(RESULT)));
  attempt(() => sessionStorage.removeItem(RESULT));

  // Resolves when the page's own scripts have run, including those that wait for the document.
  const ready = new Promise((go) => {
    const soon = () => setTimeout(go);
    if (ofDocument('readyState') === 'complete') soon();
    for (const type of ['DOMContentLoaded', 'load']) window.addEventListener(type, soon);
  });

  // fromEntries defines its keys instead of assigning them, so "__proto__" is a field like any other.
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

  // close.js answers in three ways at once, because each of them fails in some browser. The first answer counts.
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
    if (latest.get(flow.key) !== flow) return false; // a later flow of this button is under way, or has ended
    if (flow.button) flow.button.removeAttribute('aria-busy');
    return latest.delete(flow.key);
  }

  window.addEventListener('message', ({ origin, data }) => {
    if (origin === ORIGIN && data) deliver(data.flow, data.query);
  });
  window.addEventListener('storage', ({ key, newValue }) => {
    if (key) deliver(key.replace('sc-connect:', ''), newValue);
  });

  // Centred on this window, because there may be several screens.
  function features() {
    const left = Math.round(window.screenX + (window.outerWidth - WIDTH) / 2);
    const top = Math.round(window.screenY + (window.outerHeight - HEIGHT) / 2);
    return `popup=yes,scrollbars=yes,resizable=yes,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`;
  }

  // Reports once that the popup seems closed. A popup cut off by a Cross-Origin-Opener-Policy always seems closed, but
  // then this page does not have the focus. A later answer is still delivered.
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

  // Must be called during the click, because browsers allow no popup later. Throws a TypeError if the address is not on
  // this site.
  function begin(flow, { start, page, name, options: { popup: wanted, signal } }) {
    const [narrow, wide] = [start, page || start].map((address) => local(address).href);
    const id = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('-');
    let popup = null;
    // A new window gets a copy of this page's sessionStorage, and keeps it even if opener and name are removed.
    if (wanted !== false) {
      remember({ id });
      popup = window.open(narrow, `sc-connect-${id}`, features());
      attempt(() => sessionStorage.removeItem(FLOW));
    }
    if (!popup || popup === window) { // blocked, switched off, or an in-app browser
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

  // Returns where the flow starts. Without a callback, return_to decides where it ends: after a popup the script goes to
  // `home`; without a popup the server does, because `page` still has the parameter. Throws a TypeError if the flow
  // would start on another site.
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

  // Returns false if a listener of the page called preventDefault().
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

  // Explains in the console why a click has no effect.
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

  // Makes a link a button for the keyboard and for screen readers as well.
  function wire(button) {
    prepared += 1;
    const state = { button, name: button.id || String(prepared) }; // identifies the button after the page is loaded again
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
    button.removeAttribute('aria-busy'); // in case it is a copy of a busy button
    buttons.set(button, state);
    return state;
  }

  function prepareButton(node, options) {
    const button = node && !node.nodeType ? node[0] : node; // also accepts a jQuery object
    if (!button) {
      console.warn('SC.Connect.prepareButton: there is no such button on this page');
      return;
    }
    const settings = { ...options };
    const { signal } = settings;
    if (signal && signal.aborted) return;
    const state = buttons.get(button) || wire(button);
    state.options = settings; // if it is prepared twice: new options, but still one popup for each click
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
      const fields = claim(start); // the page had no popup, left, and came back: this is the result
      if (fields) setTimeout(flow.done, 0, fields);
      else begin(flow, { start, name: start, options: settings });
    });
    return flow.promise;
  }

  // Elements with this attribute become buttons, even if they are added later. Forms do not, because their fields can
  // shadow any property.
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
