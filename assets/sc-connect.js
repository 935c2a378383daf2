/*
 * "Connect with SoundCloud", the page's side.
 *
 *   SC.Connect.prepareButton(node, {
 *     request_token_endpoint: '/oauth/request_token',  // where the popup starts
 *     access_token_endpoint: '/oauth/access_token',    // where the provider sends it back; the browser needs no telling
 *     callback: function (query_obj) {}                // {username: 'joe', oauth_token_id: '43'}, or {error: ...}
 *   });
 *
 * SC.Connect.open(options) does the same from a click handler of your own and returns a Promise of the same object.
 * No dependencies and no build step; close.js is the popup's side.
 */
(function () {
  'use strict';

  const SC = (window.SC = window.SC || {});
  if (SC.Connect && SC.Connect.prepareButton) return; // included twice: flows under way stay with the first

  const WIDTH = 456; // CSS pixels, the size the provider's popup pages are made for
  const HEIGHT = 550;
  const DEFAULT_ENDPOINT = '/oauth/request_token';
  const FLOW = 'sc-connect:flow'; // sessionStorage: what close.js needs to know about the flow its window belongs to
  const RESULT = 'sc-connect:result'; // sessionStorage: what close.js brings back to a page that had no popup

  const flows = new Map(); // flow id -> what to do with its answer
  const buttons = new WeakMap(); // node -> its options
  let prepared = 0;

  // Where storage is switched off, even naming it throws. Everything here also works, less well, without it.
  function attempt(action) {
    try {
      return action();
    } catch (refused) {
      return null;
    }
  }

  const remember = (flow) => attempt(() => sessionStorage.setItem(FLOW, JSON.stringify(flow)));
  const forget = () => attempt(() => sessionStorage.removeItem(FLOW));

  // Taken out at once, whoever claims it: neither Back nor a reload may call a callback again.
  let returned = attempt(() => JSON.parse(sessionStorage.getItem(RESULT)));
  attempt(() => sessionStorage.removeItem(RESULT));

  // An ordinary object, so that query_obj.hasOwnProperty works; fromEntries defines its keys and does not assign
  // them, so that "__proto__" is a field like any other.
  const decode = (query) => Object.fromEntries(new URLSearchParams(query));

  function claim(button) {
    if (!returned || returned.button !== button) return null;
    const { query } = returned;
    returned = null;
    return decode(query);
  }

  function report(options, fields) {
    if (options.callback) options.callback(fields);
    const other = 'error' in fields ? options.error : options.success; // SC.Connect.open({success, error}) of 2011
    if (other) other(fields);
  }

  // close.js answers on three roads at once, because each of them is closed in some browser. The first one wins.
  // A flow waits as long as its page lives: popup.closed reads true for an open popup once a
  // Cross-Origin-Opener-Policy has cut it off, so it says nothing about whether an answer is still to come.
  function deliver(id, query) {
    const flow = flows.get(id);
    if (!flow || typeof query !== 'string') return;
    flows.delete(id);
    if (flow.channel) flow.channel.close();
    flow.done(decode(query));
  }

  window.addEventListener('message', (event) => {
    if (event.origin === location.origin && event.data) deliver(event.data.flow, event.data.query);
  });
  window.addEventListener('storage', (event) => {
    if (event.key) deliver(event.key.replace('sc-connect:', ''), event.newValue);
  });

  // Centred on this window and not on the screen, which may be one of several: its left edge may be negative.
  function features() {
    const left = Math.round(window.screenX + (window.outerWidth - WIDTH) / 2);
    const top = Math.round(window.screenY + (window.outerHeight - HEIGHT) / 2);
    return `popup=yes,scrollbars=yes,resizable=yes,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`;
  }

  // Called in the click itself: a browser gives a popup to nobody who asks later. Returns the popup, or null if the
  // flow takes the whole page because there is none.
  function begin(options, button, done) {
    const endpoint = options.request_token_endpoint || DEFAULT_ENDPOINT;
    const id = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('-');

    // A new window starts with a copy of this page's sessionStorage and keeps it through every redirect, also when
    // its opener and its name are taken away. So the id is there for just as long as it takes to be copied.
    remember({ id });
    const popup = window.open(endpoint, `sc-connect-${id}`, features());
    forget();

    if (!popup) {
      remember({ page: location.href, button, started: Date.now() });
      location.assign(endpoint);
      return null;
    }
    const channel = attempt(() => new BroadcastChannel(`sc-connect:${id}`));
    if (channel) channel.onmessage = (event) => deliver(id, event.data);
    flows.set(id, { channel, done });
    return popup;
  }

  function prepareButton(node, options) {
    const button = node && !node.nodeType ? node[0] : node; // a jQuery object will do as well
    if (!button) {
      console.warn('SC.Connect.prepareButton: there is no such button on this page');
      return;
    }
    const again = buttons.has(button);
    buttons.set(button, options || {});
    if (again) return; // prepared twice: new options, but one popup a click

    prepared += 1;
    const name = button.id || String(prepared); // what it will be known by when the page is loaded again
    let popup = null;
    button.addEventListener('click', (event) => {
      event.preventDefault(); // href="#" would jump to the top
      if (popup && !popup.closed) {
        popup.focus();
        return;
      }
      popup = begin(buttons.get(button), name, (fields) => {
        popup = null;
        report(buttons.get(button), fields);
      });
    });

    const fields = claim(name);
    if (fields) setTimeout(() => report(buttons.get(button), fields)); // once the page's own script has run
  }

  function open(options) {
    const settings = options || {};
    return new Promise((resolve) => {
      const done = (fields) => {
        resolve(fields);
        report(settings, fields);
      };
      const fields = claim(''); // this page had no popup, left, and is back: that was the flow asked for
      if (fields) setTimeout(done, 0, fields);
      else begin(settings, '', done);
    });
  }

  SC.Connect = Object.assign(SC.Connect || {}, {
    prepareButton,
    open,
    initiate: () => open(SC.Connect.options), // with SC.Connect.options = {...}, as pages of 2010 do
  });
})();
