"""What the tests of several rooms share, a module for each idea.

Users and what they see:

* browser: the scripted user, a browser without a screen; its headers CLICK and ARRIVAL
* windows: pages and popups of a real browser that Playwright drives
* engines: Chromium, Firefox and WebKitGTK behind one interface
* responses, page, flow_cookies: reading where a response leads, a page's elements, a flow's cookie

Sites and providers:

* site: a site with the button on a real socket, and a store for its tokens
* flows: the flows of both protocols against a sandbox, without a site
* world: a site and a provider without the middleware, for tests of the browser files only
* wire: the hostile server, which sends exactly the bytes that a test wants sent
* secure: a private certificate authority, and any application over TLS
* sites, frameworks: the same small site in each framework, and which of them are tested
* showcase: every page that a user sees
* configured: the callables that configuration files of tests name

Processes and servers:

* commands, processes, ports: scripts, forks, and free ports
* servers: other people's WSGI servers, each with a site that a test writes
* example_servers, front_servers, front_programs: the files of examples/servers; nginx and Apache
  with those of examples/deployment; whether these two are installed
* databases, stores, forwarder, refresher: database servers, each kind of store, a switch-over, and
  a process that refreshes tokens
* node: the TypeScript compiler, a bundler and React

And for every test: canary, which looks for secrets in what a test wrote, and paths.
"""
