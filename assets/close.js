/*
 * The last page of a flow: passes this page's query to the page that started the flow, and closes the window.
 *
 * The query came through a redirect, and anybody may have written it. It is passed on as a string and never
 * displayed: the user sees one of the sentences below.
 */
(function () {
  'use strict';

  const FLOW = 'sc-connect:flow'; // the same two keys as in sc-connect.js
  const RESULT = 'sc-connect:result';
  const PATIENCE = 15 * 60 * 1000; // milliseconds, the lifetime of a flow's cookie; an older flow was abandoned

  // What happened, in words for the user.
  const REASONS = new Map([
    ['access_denied', 'You did not allow the connection, so nothing was changed.'],
    ['flow_expired', 'It took too long, or your browser did not keep the cookie that is needed.'],
    ['flow_mismatch', 'The answer that came back does not belong to the connection you started.'],
    ['flow_finished', 'This step was taken before: a double click, Back or a reload brought you here again.'],
    ['wrong_user', 'You are signed in here as somebody else than when you started.'],
    ['not_signed_in', 'You are not signed in here, so there is nobody to connect the account to.'],
    ['provider_unavailable', 'The other service is not answering at the moment.'],
    ['provider_error', 'The other service reported a problem.'],
    ['storage_failed', 'You allowed the connection, but this site could not save it.'],
    ['start_refused', 'This site could not begin the connection.'],
  ]);
  const UNKNOWN_REASON = 'Something went wrong on the way.';

  // What to do next: first in a popup, then in a window that is not a popup.
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
      'Close this window, sign in with the account you started with, and press the button once more.',
      'Go back to the site, sign in with the account you started with, and press the button once more.',
    ]],
    ['not_signed_in', [
      'Close this window, sign in on the site, and press the button once more.',
      'Go back to the site, sign in, and press the button once more.',
    ]],
    ['provider_unavailable', LATER],
    ['provider_error', LATER],
    ['start_refused', [
      'Close this window and try again. If it happens again, please tell the people who run the site.',
      'Go back and try again. If it happens again, please tell the people who run the site.',
    ]],
  ]);

  // For the site's developer, in the consoles of this window and of the page: the likely cause, and what to do.
  const ADVICE = new Map([
    ['access_denied', 'Nothing is wrong. Keep the button on the page, and do not start another flow automatically.'],
    ['flow_expired',
      'The cookie of the flow is missing or too old. Check that base_url is exactly the address in the '
        + 'address bar (localhost is not 127.0.0.1), that all workers have the same secret_key, and that '
        + 'cookie_max_age is long enough.'],
    ['flow_mismatch',
      'The state or request token is not the one that was sent. Often an old callback address was opened '
        + 'again; if it happens to everybody, something between browser and site changes the query or the '
        + 'cookies.'],
    ['flow_finished',
      'The same callback came twice. The first one counted, and store_token was not called again; look in '
        + 'your storage for the token.'],
    ['wrong_user',
      'identify(request) returned a different user than at the start. It must return the same string for the '
        + 'same user on both requests, even if the session was renewed.'],
    ['not_signed_in',
      'identify(request) named nobody. Show the button to signed-in users only, or give SCConnect the page where '
        + 'users sign in: sign_in_url="/login". If they are signed in, check that the session\'s cookie belongs to '
        + 'the host of base_url.'],
    ['provider_unavailable',
      'The provider cannot be reached from your server, or it asked to wait. Look at its status page and at '
        + 'your log; Transport(proxy=..., ca_bundle=...) sets a proxy or a private CA.'],
    ['provider_error',
      'The provider refused, or its answer made no sense. Check the client id and secret, and that base_url '
        + 'plus access_token_path is the registered callback, byte for byte: `python -m scconnect_wsgi check` '
        + 'prints it.'],
    ['storage_failed',
      'Your store_token raised an exception twice, or returned a value of a wrong type. See the log of the '
        + 'server, under scconnect_wsgi.'],
    ['start_refused',
      'Your server could not start the flow, and users cannot mend that. The sentence before this one says why; if a '
        + 'callable of yours raised an exception, its traceback is in the log of the server.'],
  ]);
  // The entries about the codes above. The heading of each is its code in words, such as "Flow expired".
  const ENTRIES = 'https://scconnect-wsgi.readthedocs.io/en/stable/troubleshooting.html#';
  const UNKNOWN_ADVICE = 'This is not a code of scconnect_wsgi: it comes from on_failure, or somebody made this address up.';

  function attempt(action) {
    try {
      return action();
    } catch (refused) {
      return null; // storage is disabled, this browser has no such channel, or the window belongs to another site
    }
  }

  // The sentences of this page by their English ones, in each language: close.html has them. A language of the site's own
  // may lack some.
  const texts = attempt(() => JSON.parse(document.querySelector('main').dataset.texts)) || {};

  // Returns the first language of the user's that there is: for de-AT also de. English is always there.
  function chosenLanguage() {
    for (const wanted of navigator.languages || []) {
      const parts = wanted.toLowerCase().split('-');
      for (; parts.length > 0; parts.pop()) {
        const tag = parts.join('-');
        if (tag === 'en' || Object.prototype.hasOwnProperty.call(texts, tag)) return tag;
      }
    }
    return 'en';
  }

  const language = chosenLanguage();
  const translated = texts[language] || {};
  const translate = (text) => translated[text] || text;
  document.documentElement.lang = language;
  if (/^(ar|dv|fa|he|ps|ur|yi)\b/.test(language)) document.documentElement.dir = 'rtl';

  const say = (id, text, values = {}) => {
    const fill = (placeholder, name) => values[name] || placeholder;
    document.getElementById(id).textContent = translate(text).replace(/\{(\w+)\}/g, fill);
  };

  const query = new URLSearchParams(location.search);
  const code = query.get('error');
  const entry = ADVICE.has(code) ? ENTRIES + code.replaceAll('_', '-') : '';
  const advice = code === null ? '' : entry ? `${ADVICE.get(code)} See ${entry}` : UNKNOWN_ADVICE;

  // For the people who run the site. A new window, because this one may be about to close; noreferrer, because the
  // query of this page is nobody else's.
  function linkToEntry() {
    const link = document.createElement('a');
    Object.assign(link, { href: entry, target: '_blank', rel: 'noreferrer', className: 'entry' });
    const line = document.getElementById('error-id');
    link.append(...line.childNodes);
    line.append(link);
  }

  function show(popup) {
    const failed = code !== null;
    const finished = code === 'flow_finished'; // the first time may have succeeded
    const heading = finished ? 'Already done' : failed ? 'Not connected' : 'You are connected';
    const next = failed ? NEXT.get(code) || AGAIN : ['You can close this window.', 'You can go on where you left off.'];
    document.title = translate(heading);
    say('heading', heading);
    say('reason', failed ? REASONS.get(code) || UNKNOWN_REASON : '');
    say('parting', next[popup ? 0 : 1]);
    say('on', failed ? 'Back to the site' : 'Continue to the site');
    document.documentElement.className = `${failed && !finished ? 'failed' : 'connected'} ${popup ? 'popup' : 'page'}`;
    if (!failed) return;
    const id = query.get('error_id');
    if (/^[0-9a-f]{8}$/.test(id)) {
      say('error-id', 'Error {id}', { id });
      if (entry) linkToEntry();
    }
    console.warn('sc-connect:', code, query.get('error_description') || '', advice);
  }

  // A popup that closed now would leave a user with a page that knows nothing.
  function explain() {
    if (query.get('relay') === 'refused') {
      say('parting', NEXT.get('start_refused')[0]);
      console.error(`sc-connect: This window ended at ${location.origin}, because another deployment of the site began this flow, `
        + 'and the answer was not sent on to it. The reason is above, and in the log of the server.');
      return;
    }
    say('parting', 'The page you came from is at another address, so it does not know of this. Close this window, and open '
      + 'that page at {address}.', { address: location.origin });
    console.error(`sc-connect: This window ended at ${location.origin}, and the page that opened it has another origin, `
      + 'which no answer can reach. Set base_url to the address of the page, or redirect people to this one.');
  }

  // What sc-connect.js left in this window. It is removed, so that a reload delivers nothing. The window's name is
  // used instead if storage is disabled or partitioned (a page framed by another site).
  function takeFlow() {
    const flow = attempt(() => JSON.parse(sessionStorage.getItem(FLOW)));
    attempt(() => sessionStorage.removeItem(FLOW));
    const named = /^sc-connect-(.+)$/.exec(window.name);
    if (named) window.name = '';
    return flow || (named ? { id: named[1], isNamed: true } : {});
  }

  // What sc-connect.js gets to read: the query as it is, and the advice behind a #. The & is for a page that has an
  // earlier sc-connect.js, which takes the advice for one more field.
  const answer = advice ? `${location.search}&#${advice}` : location.search;

  // In three ways, because each of them fails somewhere: BroadcastChannel in old browsers and for a framed page,
  // window.opener after a Cross-Origin-Opener-Policy, storage events sometimes in WebKit.
  function deliver(id) {
    attempt(() => new BroadcastChannel(`sc-connect:${id}`).postMessage(answer));
    attempt(() => window.opener.postMessage({ flow: id, query: answer }, location.origin));
    attempt(() => localStorage.setItem(`sc-connect:${id}`, answer));
    attempt(() => localStorage.removeItem(`sc-connect:${id}`));
  }

  // Goes back to the page whose popup was blocked, if that page is on this origin. Returns whether it does.
  function goHome({ page, button, started }) {
    const home = attempt(() => new URL(page, location.origin).href);
    if (!page || !home || !home.startsWith(`${location.origin}/`) || Date.now() - started > PATIENCE) return false;
    attempt(() => sessionStorage.setItem(RESULT, JSON.stringify({ button, query: answer })));
    location.replace(home);
    return true;
  }

  const flow = takeFlow();
  if (goHome(flow)) return;

  // Browsers let a script close some tabs that the user opened with a link. So this closes only popups: one of a
  // flow, or one that a page of this site opened.
  const opened = attempt(() => window.opener.origin) === location.origin;
  // A page of this origin would have left its flow in the storage, whatever its window shows by now.
  const elsewhere = flow.isNamed && !opened && Boolean(attempt(() => !window.opener.closed));
  const popup = Boolean(flow.id || opened);
  show(popup);
  if (flow.id) deliver(flow.id);
  if (elsewhere) explain();
  else if (popup) window.close();
})();
