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
  const PATIENCE = 60 * 60 * 1000; // milliseconds; a flow older than this was abandoned, and its page is not returned to

  const REASONS = new Map([
    ['access_denied', 'You did not allow the connection, so nothing was changed.'],
    ['flow_expired', 'It took too long, or your browser did not keep the cookie that is needed. Please try again.'],
    ['flow_mismatch', 'The answer that came back does not belong to the connection you started. Please try again.'],
    ['flow_finished', 'This step was already taken once. If you do not see your account on the site, please try again.'],
    ['wrong_user', 'You are signed in here as somebody else than when you started. Please sign in again and retry.'],
    ['provider_unavailable', 'The other service is not answering at the moment. Please try again in a few minutes.'],
    ['provider_error', 'The other service reported a problem. Please try again later.'],
    ['storage_failed', 'You allowed the connection, but this site could not save it. Please try again.'],
    ['start_refused', 'This site could not begin the connection. If that happens again, please tell the people who run it.'],
  ]);
  const UNKNOWN_REASON = 'Something went wrong on the way. Please try again.';

  function attempt(action) {
    try {
      return action();
    } catch (refused) {
      return null; // storage switched off, a channel unknown to this browser, a window of another site
    }
  }

  function show(query) {
    const code = query.get('error');
    const failed = code !== null;
    const heading = failed ? 'Not connected' : 'You are connected';
    document.title = heading;
    document.getElementById('heading').textContent = heading;
    document.getElementById('reason').textContent = failed ? REASONS.get(code) || UNKNOWN_REASON : '';
    document.getElementById('parting').textContent = 'You can close this window.';
    document.documentElement.className = failed ? 'failed' : 'connected';
    if (failed) console.warn('sc-connect:', code, query.get('error_description') || '');
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

  show(new URLSearchParams(location.search));
  if (flow.id) deliver(flow.id);

  // Browsers let a script close more tabs than one would think, also some that a person opened by a link. So
  // only a popup is closed: one of a flow, or one that a page of this site opened.
  const opened = attempt(() => window.opener.location.origin) === location.origin;
  if (flow.id || opened) window.close();
})();
