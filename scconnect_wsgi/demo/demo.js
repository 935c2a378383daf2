/*
 * The demo's page. What the callback is given is only a hint (anybody can open close.html with a query of their
 * own): it is shown as text, and the server says whose account it is.
 */
(function () {
  'use strict';

  const REASONS = new Map([
    ['access_denied', 'You did not allow it, so nothing was connected. You can try again at any time.'],
    ['flow_expired', 'That took too long. Please try again.'],
    ['flow_finished', 'This step was already taken once. Please try again.'],
    ['provider_unavailable', 'SoundCloud is not answering at the moment. Please try again in a few minutes.'],
  ]);

  async function ask(path, options) {
    try {
      const response = await fetch(path, options);
      return await response.json();
    } catch (failure) {
      return { error: 'The demo does not answer. Is it still running?' };
    }
  }

  function prepare(card) {
    const part = (name) => card.querySelector(name);
    let current = null; // the oauth_token_id that is shown

    function say(text, failed) {
      part('.status').textContent = text;
      card.classList.toggle('failed', failed);
    }

    function show(account) {
      part('.avatar').src = account.avatar_url;
      part('.full-name').textContent = account.full_name;
      part('.username').textContent = account.username;
      part('.tracks').replaceChildren(...account.private_tracks.map((title) => {
        const item = document.createElement('li');
        item.textContent = title;
        return item;
      }));
      if (!account.private_tracks.length) part('.tracks').textContent = 'None so far.';
    }

    async function load(id) {
      const account = await ask(`/account?oauth_token_id=${encodeURIComponent(id)}`);
      const failed = 'error' in account;
      current = failed ? null : id;
      part('.account').hidden = failed;
      part('.offer').hidden = !failed;
      if (!failed) show(account);
      say(failed ? account.error : 'Connected.', failed);
    }

    function callback(fields) {
      part('.answer').hidden = false;
      part('pre').textContent = JSON.stringify(fields, null, 2);
      if ('error' in fields) say(REASONS.get(fields.error) || 'That did not work. Please try again.', true);
      else if (fields.oauth_token_id) load(fields.oauth_token_id);
    }

    part('.disconnect').addEventListener('click', async () => {
      const answer = await ask(`/disconnect?oauth_token_id=${encodeURIComponent(current)}`, { method: 'POST' });
      if ('error' in answer) {
        say(answer.error, true);
        return;
      }
      current = null;
      part('.account').hidden = true;
      part('.answer').hidden = true;
      part('.offer').hidden = false;
      say('Disconnected: the demo has forgotten the token.', false);
      part('.connect').focus();
    });

    SC.Connect.prepareButton(part('.connect'), {
      request_token_endpoint: card.dataset.start,
      access_token_endpoint: card.dataset.callback,
      callback,
    });
    return load;
  }

  const loaders = new Map();
  for (const card of document.querySelectorAll('.card')) loaders.set(card.dataset.protocol, prepare(card));

  ask('/connections').then((connections) => {
    for (const [protocol, load] of loaders) if (connections[protocol]) load(connections[protocol]);
  });
})();
