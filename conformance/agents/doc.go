// Package agents runs Claude Code and Codex for real, headless and each in an
// empty home, against a running gateway in front of simulated providers that are
// well, dead, flaky, or come back. It has tests only.
//
// What they ask is counted between them and the gateway, what providers get is
// counted by the providers, and both are written into docs/reference/agents.md.
// `make clients` does it; `make test` leaves it out. The agents are fetched by npm
// in the versions of package-lock.json, into a cache outside the repository.
package agents
