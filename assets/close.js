/*
 * The last page of a flow: brings this page's query to the page that began the flow and closes the window.
 *
 * The query came through a redirect and may have been written by anybody. It is passed on as a string and
 * shown nowhere: what a reader sees is one of the sentences below.
 */
(function () {
  'use strict';

  const FLOW = 'sc-connect:flow'; // these two as in sc-connect.js
  const RESULT = 'sc-connect:result';
  const PATIENCE = 15 * 60 * 1000; // milliseconds, as long as a flow's cookie lives; an older one was abandoned

  // What happened, in the words of who presses the button.
  const REASONS = new Map([
    ['access_denied', 'You did not allow the connection, so nothing was changed.'],
    ['flow_expired', 'It took too long, or your browser did not keep the cookie that is needed.'],
    ['flow_mismatch', 'The answer that came back does not belong to the connection you started.'],
    ['flow_finished', 'This step was taken before: a double click, Back or a reload brought you here again.'],
    ['wrong_user', 'You are signed in here as somebody else than when you started.'],
    ['provider_unavailable', 'The other service is not answering at the moment.'],
    ['provider_error', 'The other service reported a problem.'],
    ['storage_failed', 'You allowed the connection, but this site could not save it.'],
    ['start_refused', 'This site could not begin the connection.'],
  ]);
  const UNKNOWN_REASON = 'Something went wrong on the way.';

  // What to do next, in a popup and in a window that is none.
  const AGAIN = [
    'Close this window and press the button once more.',
    'Go back to the site and press the button once more.',
  ];
  const LATER = [
    'Close this window and try again in a few minutes.',
    'Go back to the site and try again in a few minutes.',
  ];
  const NEXT = new Map([
    ['access_denied', ['You can close this window.', 'You can go on without it, or press the button again.']],
    ['flow_finished', [
      'Close this window: the site shows whether you are connected.',
      'The site shows whether you are connected.',
    ]],
    ['wrong_user', [
      'Close this window, sign in as the person you were, and press the button once more.',
      'Go back to the site, sign in as the person you were, and press the button once more.',
    ]],
    ['provider_unavailable', LATER],
    ['provider_error', LATER],
    ['start_refused', [
      'Close this window and try again. If it happens again, please tell the people who run the site.',
      'Go back and try again. If it happens again, please tell the people who run the site.',
    ]],
  ]);

  // For the site's developer, in the console alone: the likely cause, and what to do.
  const ADVICE = new Map([
    ['access_denied', 'Nothing is wrong. Keep the button on the page, and do not ask again by yourself.'],
    ['flow_expired',
      'The cookie of the flow is missing or old. Look whether base_url is exactly the address in the '
        + 'address bar (localhost is not 127.0.0.1), whether all workers have the same secret_key, and whether '
        + 'cookie_max_age is enough.'],
    ['flow_mismatch',
      'State or request token differ from the one that left. Often an old callback address was opened '
        + 'again; if it happens to everybody, something between browser and site changes the query or the '
        + 'cookies.'],
    ['flow_finished',
      'The same callback came twice. The first one counted, and store_token was not called again; look in '
        + 'your storage for the token.'],
    ['wrong_user',
      'identify(request) names another user than at the start. If nobody changed the account, it must '
        + 'return the same string for the same user on both requests, also when the session is renewed.'],
    ['provider_unavailable',
      'The provider cannot be reached from your server, or said to wait. Look at its status page and at the'
        + ' log; a proxy or a private CA is given with Transport(proxy=..., ca_bundle=...).'],
    ['provider_error',
      'The provider refused, or its answer made no sense. Check client id and secret, and that base_url '
        + 'plus access_token_path is the registered callback to the byte: `python -m scconnect_wsgi check` '
        + 'prints it.'],
    ['storage_failed',
      'Your store_token raised an exception, twice. The traceback is in the log of the server, under '
        + 'scconnect_wsgi.'],
    ['start_refused',
      'Your server could not begin: base_url is not set on a host other than localhost, or one of your '
        + 'callables (base_url, identify) raised. The log of the server says which.'],
  ]);
  const UNKNOWN_ADVICE = 'This code is not one of scconnect_wsgi: on_failure, or whoever made this address, wrote it.';

  function attempt(action) {
    try {
      return action();
    } catch (refused) {
      return null; // storage switched off, a channel unknown to this browser, a window of another site
    }
  }

  const say = (id, text) => {
    document.getElementById(id).textContent = text;
  };

  function show(query, popup) {
    const code = query.get('error');
    const failed = code !== null;
    const finished = code === 'flow_finished'; // the first time may well have succeeded
    const heading = finished ? 'Already done' : failed ? 'Not connected' : 'You are connected';
    const next = failed ? NEXT.get(code) || AGAIN : ['You can close this window.', 'You can go on where you left off.'];
    document.title = heading;
    say('heading', heading);
    say('reason', failed ? REASONS.get(code) || UNKNOWN_REASON : '');
    say('parting', next[popup ? 0 : 1]);
    say('on', failed ? 'Back to the site' : 'Continue to the site');
    document.documentElement.className = `${failed && !finished ? 'failed' : 'connected'} ${popup ? 'popup' : 'page'}`;
    if (!failed) return;
    console.warn('sc-connect:', code, query.get('error_description') || '');
    console.warn('sc-connect:', ADVICE.get(code) || UNKNOWN_ADVICE);
  }

  // What sc-connect.js left in this window. Taken out, so that a reload delivers nothing. The window's name
  // stands in where storage is off or, in a page framed by another site, not the same.
  function takeFlow() {
    const flow = attempt(() => JSON.parse(sessionStorage.getItem(FLOW)));
    attempt(() => sessionStorage.removeItem(FLOW));
    const named = /^sc-connect-(.+)$/.exec(window.name);
    if (named) window.name = '';
    return flow || (named ? { id: named[1] } : {});
  }

  // Three roads, since each is closed somewhere: BroadcastChannel in old browsers and for a framed page,
  // window.opener after a Cross-Origin-Opener-Policy, storage events in some of WebKit.
  function deliver(id) {
    const query = location.search;
    attempt(() => new BroadcastChannel(`sc-connect:${id}`).postMessage(query));
    attempt(() => window.opener.postMessage({ flow: id, query }, location.origin));
    attempt(() => localStorage.setItem(`sc-connect:${id}`, query));
    attempt(() => localStorage.removeItem(`sc-connect:${id}`));
  }

  // Back to the page whose popup was blocked, if that is a page of this very site. True if we are on our way.
  function goHome({ page, button, started }) {
    const home = attempt(() => new URL(page, location.origin).href);
    if (!page || !home || !home.startsWith(`${location.origin}/`) || Date.now() - started > PATIENCE) return false;
    attempt(() => sessionStorage.setItem(RESULT, JSON.stringify({ button, query: location.search })));
    location.replace(home);
    return true;
  }

  const flow = takeFlow();
  if (goHome(flow)) return;

  // Browsers let a script close more tabs than one would think, also some that a person opened by a link. So
  // only a popup is closed: one of a flow, or one that a page of this site opened.
  const opened = attempt(() => window.opener.location.origin) === location.origin;
  const popup = Boolean(flow.id || opened);
  show(new URLSearchParams(location.search), popup);
  if (flow.id) deliver(flow.id);
  if (popup) window.close();
})();
