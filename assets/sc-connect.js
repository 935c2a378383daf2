// "Connect with SoundCloud" in the browser. See docs/browser.md for the manual and sc-connect.d.ts for the types.
(function () {
  'use strict';

  // Only a value that a script has set counts: an element such as <a id="SC"> would shadow it otherwise.
  const published = () => (Object.prototype.hasOwnProperty.call(window, 'SC') ? window.SC : null);
  if (attempt(() => published().Connect.prepareButton)) return; // included twice

  const WIDTH = 456; // CSS pixels; providers design their popup pages for this size
  const HEIGHT = 550;
  const LOOK = 500; // milliseconds between two checks of a popup
  const GRACE = 3; // checks: a popup can seem closed just before its answer arrives
  const FLOW = 'sc-connect:flow'; // sessionStorage, read by close.js: the flow of its window
  const RESULT = 'sc-connect:result'; // sessionStorage, written by close.js: the result of a flow without a popup
  const MARKED = '[data-sc-connect]:not(form)'; // not forms, because their fields can shadow any property

  // Read a property or method of the document itself. Injected markup such as <img name="currentScript"> can
  // shadow any of them on `document`.
  const ofDocument = (name) => Reflect.get(Document.prototype, name, document);
  const select = (selector) => Array.from(ofDocument('querySelectorAll').call(document, selector));

  // A page in <iframe srcdoc> has its parent's origin, but its address has none.
  const ORIGIN = location.protocol === 'about:' ? window.origin : location.origin;

  // Where a flow starts if its file, or button.css, is at an address in this text. So the default is right below any
  // prefix.
  function startBeside(text) {
    const [file] = /https?:[^\s()?#]+?\/sc-connect(\.js|\/button\.css)/.exec(text) || [];
    return file && ORIGIN + new URL('../oauth/request_token', file).pathname;
  }

  // A stack trace says where this script came from, for a module as well, which has no document.currentScript, and
  // markup cannot change it. If the script is in a bundle, or a loader evaluates its text, an element of the page may
  // say it, unless the page itself does: sanitizers let no script or link through.
  const own = startBeside(new Error().stack);
  let nearby = startBeside(select('script[src], link[href]').map(({ src, href }) => src || href).join(' '));

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

  // Where a flow starts if neither the button nor its options say so.
  function defaultStart() {
    const { request_token_endpoint: given } = Connect.options || {};
    if (!own && !given && !nearby) {
      nearby = `${ORIGIN}/oauth/request_token`;
      console.warn(`sc-connect: flows start at ${nearby}, because this page does not show where sc-connect.js comes from. `
        + 'If that is wrong, set request_token_endpoint or data-sc-connect.');
    }
    return own || given || nearby;
  }

  // A message is the query of close.html and, after a failure, a # and the likely cause. fromEntries defines its keys
  // instead of assigning them, so "__proto__" is a field like any other.
  function read(message) {
    const [query, ...advice] = message.split('#');
    const fields = Object.fromEntries(new URLSearchParams(query));
    if ('error' in fields) console.warn('sc-connect:', fields.error, fields.error_description || '', advice.join('#'));
    return fields;
  }

  function claim(name) {
    if (!returned || returned.button !== name) return null;
    const { query } = returned;
    returned = null;
    return read(query);
  }

  function report(options, fields) {
    if (options.callback) options.callback(fields);
    const other = 'error' in fields ? options.error : options.success;
    if (other) other(fields);
  }

  // close.js answers in three ways at once, because each of them fails in some browser. The first answer counts.
  function deliver(id, message) {
    const flow = flows.get(id);
    if (!flow || typeof message !== 'string') return;
    end(flow);
    flow.done(read(message));
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

  // Reports what the popup shows, and once that it seems closed. A popup cut off by a Cross-Origin-Opener-Policy always
  // seems closed, but then this page does not have the focus. A later answer is still delivered.
  function look(flow) {
    // A popup that says why nothing was started stays open, so this page finds out here.
    const notice = attempt(() => flow.popup.document.querySelector('meta[name=sc-connect]').content);
    if (notice) deliver(flow.id, notice);
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
    const href = button.getAttribute('href') || button.getAttribute('xlink:href') || '';
    const link = marked === undefined ? '' : marked || href;
    const url = local(options.request_token_endpoint || (link[0] === '#' ? '' : link) || defaultStart());
    const page = url.href;
    const named = url.searchParams.get('return_to');
    url.searchParams.delete('return_to');
    const home = named && !options.callback && attempt(() => local(named, ORIGIN));
    return home ? { start: url.href, page, home } : { start: url.href };
  }

  // Returns false if a listener of the page called preventDefault(). The event leaves a shadow root as well.
  const dispatch = (target, event) => EventTarget.prototype.dispatchEvent.call(target, event);
  const SEEN = { bubbles: true, cancelable: true, composed: true };
  const tell = ({ button }, name, detail) =>
    dispatch(button.isConnected ? button : document, new CustomEvent(`scconnect:${name}`, { ...SEEN, detail }));

  function answer(state, fields) {
    const { home } = attempt(() => route(state)) || {};
    const leaving = tell(state, 'error' in fields ? 'failed' : 'done', fields) && home;
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
    if (focused(button) || refuses(state) || !tell(state, 'start', null)) return;
    const flow = { key: button, button, done: (fields) => state.options && answer(state, fields) };
    flow.gone = () => {
      tell(state, 'closed', null);
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
      if (native || (event.key !== ' ' && event.key !== 'Enter')) return;
      event.preventDefault(); // the space bar would scroll, and Enter would click a link once more
      dispatch(button, new MouseEvent('click', SEEN)); // a link in a drawing has no click()
    });
    // With hx-boost, htmx (2 and 4) would fetch the address as well, and lead the page there.
    for (const type of ['htmx:beforeRequest', 'htmx:before:request']) {
      button.addEventListener(type, (event) => event.target === button && event.preventDefault());
    }
    button.removeAttribute('aria-busy'); // in case it is a copy of a busy button
    buttons.set(button, state);
    return state;
  }

  function prepareButton(node, options) {
    const button = node && !node.nodeType ? node[0] : node; // also accepts a jQuery object
    if (!button || button.nodeType !== 1) {
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
    const { signal, request_token_endpoint: address = defaultStart() } = settings;
    const earlier = focused(address);
    if (earlier) return earlier.promise;
    const flow = { key: address, gone: () => settings.closed && settings.closed() };
    flow.promise = new Promise((resolve, reject) => {
      if (signal && signal.aborted) throw signal.reason;
      flow.reject = reject;
      flow.done = (fields) => {
        resolve(fields);
        report(settings, fields);
      };
      const fields = claim(address); // the page had no popup, left, and came back: this is the result
      if (fields) setTimeout(flow.done, 0, fields);
      else begin(flow, { start: address, name: address, options: settings });
    });
    return flow.promise;
  }

  // Elements with the attribute become buttons, even if they are added later.
  const prepareAll = (elements) => elements.forEach((button) => buttons.has(button) || prepareButton(button));

  function prepareInside(hosts) {
    for (const { shadowRoot } of hosts) {
      if (!(shadowRoot instanceof ShadowRoot)) continue; // a form may have a field of that name
      prepareAll(shadowRoot.querySelectorAll(MARKED));
      prepareInside(shadowRoot.querySelectorAll('*'));
    }
  }

  // An observer does not look into shadow roots, but events tell what they passed through, unless the root is closed.
  for (const type of ['focusin', 'click']) {
    const isMarked = (node) => attempt(() => Element.prototype.matches.call(node, MARKED));
    window.addEventListener(type, (event) => prepareAll(event.composedPath().filter(isMarked)), true);
  }

  const Connect = {}; // always the same object, whatever another script makes of window.SC
  const methods = { prepareButton, open, initiate: () => open(Connect.options) }; // options: as pages of 2010 set them
  let current; // the value of window.SC

  // Adds SC.Connect to an object of another script, or to a new one. Returns the object.
  function extend(sc) {
    const object = Object(sc) !== sc ? {} : Object.isExtensible(sc) ? sc : Object.create(sc);
    if (object.Connect !== Connect) object.Connect = Object.assign(Connect, object.Connect, methods);
    return object;
  }

  // SoundCloud's own sdk.js sets window.SC anew, before or after this script: both keep what they have.
  const property = {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (sc) => {
      current = extend(sc);
    },
  };

  function publish() {
    current = extend(published());
    const defined = attempt(() => Object.defineProperty(window, 'SC', property));
    if (!defined) attempt(() => Object.assign(window, { SC: current })); // a `var SC` of the page stays a variable
    attempt(() => extend(SC)); // a `const SC` of the page hides window.SC
  }

  function refresh() {
    publish();
    prepareAll(select(MARKED));
  }
  refresh();
  new MutationObserver(refresh).observe(document, { childList: true, subtree: true });
  ready.then(() => {
    refresh();
    prepareInside(select('*'));
    const { options } = Connect;
    const fields = options && returned && claim(options.request_token_endpoint || defaultStart());
    if (fields) report(options, fields);
  });
})();
