/** Types of sc-connect.js, a classic script that puts `SC` on `window`. docs/browser.md is its manual. */

declare namespace SC.Connect {
  /** Why a flow failed. A site's own `on_failure` may add codes. */
  type ErrorCode =
    | 'access_denied'
    | 'flow_expired'
    | 'flow_mismatch'
    | 'flow_finished'
    | 'wrong_user'
    | 'provider_unavailable'
    | 'provider_error'
    | 'storage_failed'
    | 'start_refused';

  /**
   * What the site's `store_token` returned, every value as text; or `error` (an ErrorCode) with `error_description`, a
   * sentence for developers. A hint and no proof: whose account it is, the server knows.
   */
  type Fields = { [name: string]: string | undefined };

  interface Options {
    /** Where a flow starts, on the page's own origin. Default: `oauth/request_token` beside the folder of sc-connect.js. */
    request_token_endpoint?: string;
    /** Where the provider sends the user back to. The specification names it; the browser does not need it. */
    access_token_endpoint?: string;
    /** Called once for each flow, however it ended. */
    callback?: (fields: Fields) => void;
    /** Called after `callback`, if the flow did not fail. */
    success?: (fields: Fields) => void;
    /** Called after `callback`, if the flow failed: `fields.error` says why. */
    error?: (fields: Fields) => void;
    /** Called when the popup seems to be gone without an answer. One may still come. */
    closed?: () => void;
    /** false: never a popup, the flow takes the whole page and returns to it. */
    popup?: boolean;
    /** Aborting ends the flow, closes the popup where the browser lets it, and makes a prepared button do nothing. */
    signal?: AbortSignal;
  }

  /** What `initiate()` takes, and what a flow that `open()` began in the whole page reports to when it is back. */
  let options: Options | undefined;

  /** Make a button of an element, or of the first one of a jQuery object. Prepared again, it has the later options. */
  function prepareButton(button: Element | ArrayLike<Element> | null | undefined, options?: Options): void;

  /**
   * Begin a flow, from a click handler and before anything asynchronous; while its popup is open, a second call brings
   * that to the front and returns the first promise, its options unused. The promise stays pending as long as an answer
   * may come, and resolves with what the callback gets (failures too). It is rejected by `signal`, and with a TypeError
   * if the address is not an http or https address of the page's own origin.
   */
  function open(options?: Options): Promise<Fields>;

  /** `open(SC.Connect.options)`. */
  function initiate(): Promise<Fields>;
}

interface Window {
  SC: typeof SC;
}

/** The events of a button; they bubble. `preventDefault()` on `start` begins nothing, on the next two stays on the page. */
interface GlobalEventHandlersEventMap {
  'scconnect:start': CustomEvent<null>;
  'scconnect:done': CustomEvent<SC.Connect.Fields>;
  'scconnect:failed': CustomEvent<SC.Connect.Fields>;
  'scconnect:closed': CustomEvent<null>;
}
