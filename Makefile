# All the set-up there is. What each command needs, tools/bootstrap.sh installs into .venv.
# More arguments: make demo ARGS="--protocol oauth1"; make quick ARGS="-k cookies"

.PHONY: help demo test quick lint docs bench release-check pythons clean

help:
	@echo 'make demo    the whole thing on this machine, no account needed; Ctrl-C ends it'
	@echo 'make test    everything the CI runs: lint, the tests against the built wheel, databases, servers, three real browsers'
	@echo 'make quick   while working: a sample of the tests that need neither a browser nor a build'
	@echo 'make lint    ruff, mypy, the types of every public name, linters for the scripts and the Dockerfile'
	@echo 'make docs    the documentation site, in build/docs; it prints where its first page is'
	@echo 'make bench   every budget of the performance beside its peers, in one table; two minutes'
	@echo 'make release-check  before a release: two builds compared, then wheel and sdist tried out on each Python'
	@echo 'make pythons the newest Pythons, for make test: from Debian unstable into .pythons, without root'
	@echo 'make clean   remove everything these commands made'

demo test quick lint docs bench release-check pythons:
	@sh tools/bootstrap.sh $@ $(ARGS)

clean:
	rm -rf .venv .tox .pythons build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/.hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo 'What make test installed with apt-get (browsers, database servers, nginx, Apache) is still there.'
