/*
 * The demo's page. What the callback is given is only a hint (anybody can open close.html with a query of their
 * own): it is shown as text, and the server says which accounts are connected.
 */
(function () {
  'use strict';

  const REASONS = new Map([
    ['access_denied', 'You did not allow it, so nothing was connected. You can try again at any time.'],
    ['flow_expired', 'That took too long. Please try again.'],
    ['flow_finished', 'This step was already taken once. Please try again.'],
    ['provider_unavailable', 'SoundCloud is not answering at the moment. Please try again in a few minutes.'],
    ['provider_error', 'SoundCloud did not answer as it should, so nothing was connected. Please try again later.'],
  ]);
  const SILENT = { error: 'The demo does not answer. Is it still running?' };
  const SHOWN_FOR = 2500; // milliseconds

  const select = (selector) => Array.from(document.querySelectorAll(selector));
  const query = (fields) => new URLSearchParams(fields).toString();

  async function ask(path, options) {
    try {
      return await (await fetch(path, options)).json();
    } catch (failure) {
      return SILENT;
    }
  }

  // Accounts

  function duration(milliseconds) {
    const seconds = Math.round(milliseconds / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  }

  function trackItem({ title, sharing, duration: length }) {
    const item = document.createElement('li');
    item.append(title);
    if (sharing === 'private') {
      const mark = document.createElement('em');
      mark.textContent = 'private';
      item.append(' ', mark);
    }
    const time = document.createElement('span');
    time.textContent = duration(length);
    item.append(' ', time);
    return item;
  }

  // One connected account, as connections.json describes it.
  class Account {
    constructor(card, fields) {
      this.card = card;
      this.id = fields.oauth_token_id;
      this.works = true;
      this.element = document.getElementById('account').content.firstElementChild.cloneNode(true);
      this.part('.avatar').src = fields.avatar_url;
      this.part('.full-name').textContent = fields.name;
      this.part('.permalink').textContent = fields.permalink_url.replace('https://', '');
      this.part('.disconnect').addEventListener('click', () => this.card.disconnect(this));
      this.part('.more').addEventListener('click', () => this.load(this.next));
      this.part('.again').addEventListener('click', () => this.load());
    }

    part(selector) {
      return this.element.querySelector(selector);
    }

    say(text, failed) {
      this.part('.said').textContent = text;
      this.element.classList.toggle('failed', failed);
    }

    // Ask for the first page of tracks, or for the one at an address, which is added.
    async load(address) {
      this.latest = {}; // of two questions, the answer to the later one counts
      const asked = this.latest;
      const { protocol } = this.card;
      this.element.setAttribute('aria-busy', 'true');
      this.say('Asking SoundCloud …', false);
      const answer = await ask(`/tracks?${query({ protocol, oauth_token_id: this.id, ...(address && { next: address }) })}`);
      if (asked !== this.latest) return;
      this.element.removeAttribute('aria-busy');
      this.works = !('error' in answer);
      this.part('.again').hidden = this.works;
      if (this.works) this.show(answer, address);
      else this.fail(answer);
    }

    show({ tracks, next, refreshed }, address) {
      const items = tracks.map(trackItem);
      if (address) this.part('.tracks').append(...items);
      else this.part('.tracks').replaceChildren(...items);
      this.next = next;
      this.part('.more').hidden = !next;
      const none = this.part('.tracks').children.length ? '' : 'No tracks so far.';
      this.say(refreshed ? 'The token had expired, and was refreshed for this answer.' : none, false);
    }

    fail({ error }) {
      this.part('.more').hidden = true;
      this.part('.tracks').replaceChildren();
      this.say(error, true);
    }
  }

  // Buttons

  class Card {
    constructor(element) {
      this.element = element;
      this.protocol = element.dataset.protocol;
      this.assets = element.dataset.assets;
      this.accounts = [];
      SC.Connect.prepareButton(this.part('.connect'), {
        request_token_endpoint: element.dataset.start,
        access_token_endpoint: element.dataset.callback,
        callback: (fields) => this.called(fields),
      });
    }

    part(selector) {
      return this.element.querySelector(selector);
    }

    say(text, failed) {
      this.part('.status').textContent = text;
      this.element.classList.toggle('failed', failed);
    }

    called(fields) {
      this.part('pre').textContent = JSON.stringify(fields, null, 2);
      if ('error' in fields) {
        this.say(REASONS.get(fields.error) || 'That did not work. Please try again.', true);
        return;
      }
      this.say(`Connected as ${fields.username}.`, false);
      this.refresh();
    }

    // Show the accounts that are connected now, each with its tracks.
    async refresh() {
      this.latest = {}; // of two questions, the answer to the later one counts
      const asked = this.latest;
      const { connections, error } = await ask(`${this.assets}/connections.json`);
      if (asked !== this.latest) return;
      if (error) this.say(error, true);
      this.accounts = (connections || []).map((fields) => new Account(this, fields));
      this.part('.accounts').replaceChildren(...this.accounts.map(({ element }) => element));
      await this.load();
      judge();
    }

    load() {
      return Promise.all(this.accounts.map((account) => account.load()));
    }

    async disconnect(account) {
      const body = new URLSearchParams({ oauth_token_id: account.id });
      const { error } = await ask(`${this.assets}/disconnect`, { method: 'POST', body });
      if (error) {
        account.say(error, true);
        return;
      }
      this.accounts = this.accounts.filter((other) => other !== account);
      account.element.remove();
      this.say('Disconnected: the site has deleted the tokens.', false);
      this.part('.connect').focus();
      judge();
    }
  }

  const cards = select('[data-protocol]').map((element) => new Card(element));

  // Bad days

  const days = select('[name=day]');
  const verdict = document.querySelector('.verdict');
  let wasBad = false;

  function verdictOn({ value, dataset }, accounts) {
    const isGood = value === 'good';
    if (!accounts.length) return `${isGood ? '' : dataset.site} Connect an account, and watch it on a bad day.`;
    if (!isGood || !wasBad || accounts.every(({ works }) => works)) return dataset.site;
    return 'SoundCloud is well again, but a permission is gone. Only its user can give it again, with the button.';
  }

  function told(text, evidence) {
    verdict.querySelector('p').textContent = text;
    verdict.querySelector('ul').replaceChildren(...evidence);
  }

  // What a user reads at an account, for those whose window shows only the days.
  function evidenceOf(account) {
    const item = document.createElement('li');
    item.textContent = `${account.part('.full-name').textContent} reads: “${account.part('.said').textContent}”`;
    return item;
  }

  // Say what the site makes of today.
  function judge() {
    const today = days.find((day) => day.checked);
    const accounts = cards.flatMap((card) => card.accounts);
    const speaking = accounts.filter((account) => account.part('.said').textContent);
    told(verdictOn(today, accounts), speaking.map(evidenceOf));
  }

  async function change(day) {
    told(day.dataset.site, []);
    verdict.setAttribute('aria-busy', 'true');
    const { error } = await ask(`/day?${query({ day: day.value })}`, { method: 'POST' });
    if (!error) await Promise.all(cards.map((card) => card.load()));
    if (!day.checked) return; // another day has begun meanwhile
    verdict.removeAttribute('aria-busy');
    if (error) told(error, []);
    else judge();
    wasBad = day.value !== 'good';
  }

  for (const day of days) day.addEventListener('change', () => change(day));

  // The looks, and what can be copied

  for (const button of select('.stage .sc-connect-button[aria-busy=false]')) {
    button.addEventListener('click', () => {
      button.setAttribute('aria-busy', 'true');
      setTimeout(() => button.setAttribute('aria-busy', 'false'), SHOWN_FOR);
    });
  }

  const copied = document.getElementById('copied'); // read aloud, and not shown
  let clearing;

  async function copy(button) {
    const code = button.dataset.copy || button.closest('.code').querySelector('pre').textContent;
    let said = 'Copied';
    try {
      await navigator.clipboard.writeText(code);
    } catch (refused) {
      said = 'Not allowed';
    }
    button.textContent = said;
    copied.textContent = `${said}.`;
    clearTimeout(clearing);
    clearing = setTimeout(() => copied.replaceChildren(), SHOWN_FOR);
    setTimeout(() => button.replaceChildren('Copy'), SHOWN_FOR);
  }

  for (const button of select('.copy')) button.addEventListener('click', () => copy(button));

  for (const card of cards) card.refresh();
})();
