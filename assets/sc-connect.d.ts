/** The types of sc-connect.js, a script that defines `window.SC`. See docs/browser.md for the manual. */

declare namespace SC.Connect {
  /** Why a flow failed. A site's `on_failure` can add codes. */
  type ErrorCode =
    | 'access_denied'
    | 'flow_expired'
    | 'flow_mismatch'
    | 'flow_finished'
    | 'wrong_user'
    | 'not_signed_in'
    | 'provider_unavailable'
    | 'provider_error'
    | 'storage_failed'
    | 'start_refused';

  /**
   * What the site's `store_token` returned, with every value as text: `true`, and a list or an object as JSON. Fields
   * beyond 2 KB are left out, and `fields_dropped` is their number. After a failure: `error` (an ErrorCode) with
   * `error_description`, a sentence for developers, and `error_id`, which finds the failure in the server's log.
   * This is a hint, not a proof: ask the server whose account it is.
   */
  type Fields = { [name: string]: string | undefined };

  interface Options {
    /**
     * Where a flow starts, on the page's own origin. Default: `oauth/request_token` next to the folder of sc-connect.js, if
     * the script was loaded from there; else what `SC.Connect.options` says, or `/oauth/request_token`.
     */
    request_token_endpoint?: string;
    /** The address the provider redirects to. It is part of the specification; the browser does not need it. */
    access_token_endpoint?: string;
    /** Called once for each flow, whether it succeeded or failed. */
    callback?: (fields: Fields) => void;
    /** Called after `callback`, if the flow did not fail. */
    success?: (fields: Fields) => void;
    /** Called after `callback`, if the flow failed: `fields.error` says why. */
    error?: (fields: Fields) => void;
    /** Called when the popup seems to be closed without an answer. An answer may still come. */
    closed?: () => void;
    /** false: never open a popup; the flow uses the whole page and returns to it. */
    popup?: boolean;
    /** Aborting ends the flow, closes the popup if the browser allows it, and disables a prepared button. */
    signal?: AbortSignal;
  }

  /** The options of `initiate()`; also told the result of a flow that `open()` started without a popup. */
  let options: Options | undefined;

  /** Make an element, or the first element of a jQuery object, a button. Preparing it again replaces the options. */
  function prepareButton(button: Element | ArrayLike<Element> | null | undefined, options?: Options): void;

  /**
   * Start a flow. Call it in a click handler, before anything asynchronous. While its popup is open, a second call brings
   * the popup to the front and returns the first promise; its options are ignored. The promise stays pending as long as an
   * answer may come, and resolves with what the callback gets (for failures too). It is rejected by `signal`, and with a
   * TypeError if the address is not an http or https address of the page's own origin.
   */
  function open(options?: Options): Promise<Fields>;

  /** `open(SC.Connect.options)`. */
  function initiate(): Promise<Fields>;
}

interface Window {
  SC: typeof SC;
}

/**
 * The events of a button; they bubble. `preventDefault()` on `scconnect:start` prevents the flow, and on `:done` and
 * `:failed` it prevents the page from going to `return_to`.
 */
interface GlobalEventHandlersEventMap {
  'scconnect:start': CustomEvent<null>;
  'scconnect:done': CustomEvent<SC.Connect.Fields>;
  'scconnect:failed': CustomEvent<SC.Connect.Fields>;
  'scconnect:closed': CustomEvent<null>;
}
